"""Keys of one part of a file: each is taken once, and leaves a note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aioverseer.config.convert.conversion import Notes
from aioverseer.config.problems import ConfigError, Problem

__all__ = ["Keys", "Problems"]


class Problems:
    """Everything that makes a file invalid, collected until its end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._found: list[Problem] = []

    def add(self, place: str, key: str, why: str) -> None:
        """Add a problem of one key.

        Args:
            place: Part of the file.
            key: Key of the file.
            why: Cause, and what to write. No value of a variable.
        """
        keys = tuple(each for each in (place, key) if each)
        self._found.append(Problem(file=self._path, path=keys, message=why))

    def raise_any(self) -> None:
        """Raise the problems, if there are any.

        Raises:
            ConfigError: With all of them.
        """
        if self._found:
            raise ConfigError(self._found)


class Keys:
    """Keys and values of one part of a file, with the notes about them.

    A reader asks for the keys that it knows by ``take``, and says what became of each. ``rest`` returns the others.
    """

    def __init__(self, place: str, values: Mapping[str, str], notes: Notes, problems: Problems) -> None:
        self.place = place
        self._values = dict(values)
        self._notes = notes
        self._problems = problems

    def take(self, key: str) -> str | None:
        """Return the value of a key and remove it; None if the file does not have it."""
        return self._values.pop(key, None)

    def value(self, key: str) -> str | None:
        """Return the value of a key, which stays; None if the file does not have it."""
        return self._values.get(key)

    def rest(self) -> tuple[str, ...]:
        """Return the keys that nobody has taken, in the order of the file."""
        return tuple(self._values)

    def whole(self, key: str, *, least: int = 0) -> int | None:
        """Take a key with a whole number; None if the file does not have it, or its value is a problem."""
        text = self.take(key)
        if text is None:
            return None
        try:
            number = int(text.strip())
        except ValueError:
            number = least - 1
        if number < least:
            self.refuse(key, f"is no whole number from {least} on")
            return None
        return number

    def seconds(self, key: str) -> float | None:
        """Take a key with seconds; None if the file does not have it, or its value is a problem."""
        text = self.take(key)
        if text is None:
            return None
        try:
            number = float(text.strip())
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            self.refuse(key, "is no number of seconds")
            return None
        return int(number) if number.is_integer() else number

    def boolean(self, key: str, *, yes: Sequence[str], no: Sequence[str]) -> bool | None:
        """Take a key that is true or false; None if the file does not have it, or its value is a problem.

        Args:
            key: Key of the file.
            yes: Words for true, in small letters.
            no: Words for false.
        """
        text = self.take(key)
        if text is None:
            return None
        word = text.strip().lower()
        if word in yes:
            return True
        if word not in no:
            self.refuse(key, f"is neither true nor false: write {yes[0]} or {no[0]}")
            return None
        return False

    def refuse(self, key: str, why: str) -> None:
        """Add a problem about a key."""
        self._problems.add(self.place, key, why)

    def carried(self, key: str, text: str) -> None:
        """Add a note about a key that means the same here."""
        self._notes.carried(self.place, key, text)

    def changed(self, key: str, text: str) -> None:
        """Add a note about a key with a counterpart that differs."""
        self._notes.changed(self.place, key, text)

    def lost(self, key: str, text: str) -> None:
        """Add a note about a key without a counterpart."""
        self._notes.lost(self.place, key, text)
