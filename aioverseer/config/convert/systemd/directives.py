"""Keys of one section of a unit, where each may have several values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aioverseer.config.convert.conversion import Notes
from aioverseer.config.convert.keys import Keys, Problems
from aioverseer.config.convert.systemd.lost import reason
from aioverseer.config.convert.systemd.values import NO, YES, read_seconds

__all__ = ["Directives"]


class Directives(Keys):
    """Keys of one section. ``take`` returns the last value of a key, as most keys have one."""

    def __init__(self, place: str, values: Mapping[str, Sequence[str]], notes: Notes, problems: Problems) -> None:
        super().__init__(place, {key: each[-1] if each else "" for key, each in values.items()}, notes, problems)
        self._all = values
        for key, each in values.items():
            if not each:
                self.take(key)
                self.carried(key, "nothing, as it is empty")

    def take_all(self, key: str) -> list[str]:
        """Return all values of a key and remove it; an empty list if the unit does not have it."""
        return [] if self.take(key) is None else [*self._all[key]]

    def switch(self, key: str) -> bool | None:
        """Take a key that is true or false; see ``boolean``."""
        return self.boolean(key, yes=YES, no=NO)

    def span(self, key: str) -> float | None:
        """Take a key with a time span; infinity for ``infinity``, None if the unit does not have it."""
        text = self.take(key)
        if text is None:
            return None
        seconds = read_seconds(text)
        if seconds is None:
            self.refuse(key, "is no time span: write for example 1min 30s")
        return seconds

    def lose_rest_of(self, table: dict[str, str], unknown: str | None = None) -> None:
        """Take all keys that are left, and note why each is lost.

        Args:
            table: Reasons of a section.
            unknown: Reason of a key that the table does not have; None if systemd has no such key.
        """
        for key in self.rest():
            self.take(key)
            self.lost(key, reason(table, key) if unknown is None else reason(table, key, unknown))

    def lose_rest(self, why: str) -> None:
        """Take all keys that are left, and note that they are lost.

        Args:
            why: Reason.
        """
        for key in self.rest():
            self.take(key)
            self.lost(key, why)
