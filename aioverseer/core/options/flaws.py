"""Flaw and DataError: all that is wrong in data, each thing with its place. No value is part of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from

__all__ = ["DataError", "Flaw", "refused"]


@exported_from("aioverseer.forms")
@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """One thing that is wrong in data.

    Attributes:
        path: Keys and indexes that lead to the place in the data.
        message: Cause, and what to write. It goes on after the name of the place: ``is no number: write 5``.
        hint: Further advice, such as a name that was probably meant; None without one.
        of_key: Whether the last key of the path itself is wrong, and not its value.
    """

    path: tuple[str | int, ...] = ()
    message: str
    hint: str | None = None
    of_key: bool = False

    def __str__(self) -> str:
        """Return the flaw as a sentence."""
        place = _shown(self.path[:-1] if self.of_key else self.path)
        said = f"{place}{': ' if self.of_key else ' '}{self.message}" if place else self.message
        return said if self.hint is None else f"{said}; {self.hint}"

    def below(self, *keys: str | int) -> Flaw:
        """Return the flaw of data that contain these, under some keys."""
        return replace(self, path=(*keys, *self.path))


@exported_from("aioverseer.forms")
class DataError(SpecError):
    """Data cannot be read.

    Attributes:
        flaws: All that is wrong, in the order of the data.
        option: Place of the first flaw, such as ``restart.within``.
        value: None, as it may be a secret.
    """

    def __init__(
        self, message: str, *, option: str | None = None, value: object = None, flaws: Iterable[Flaw] = ()
    ) -> None:
        super().__init__(message, option=option, value=value)
        self.flaws = tuple(flaws)

    @classmethod
    def of(cls, flaws: Iterable[Flaw], *, owner: str = "") -> Self:
        """Return the error with these flaws.

        Args:
            flaws: All that is wrong; at least one.
            owner: Beginning of each line of the message.
        """
        found = tuple(flaws)
        text = "\n".join(f"{owner}{flaw}" for flaw in found)
        return cls(text, option=_shown(found[0].path) or None, flaws=found)

    def below(self, *keys: str | int) -> list[Flaw]:
        """Return the flaws of data that contain these, under some keys."""
        return [flaw.below(*keys) for flaw in self.flaws]


def refused(message: str, hint: str | None = None) -> DataError:
    """Return the error about data as a whole; what contains them adds the place."""
    return DataError.of([Flaw(message=message, hint=hint)])


def _shown(path: Iterable[str | int]) -> str:
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path).removeprefix(".")
