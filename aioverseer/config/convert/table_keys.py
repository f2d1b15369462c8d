"""Keys of one table of a file that is read, so that each of them gets a note, in the order of the file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard, cast

from aioverseer.config.convert.conversion import Note, What

__all__ = ["TableKeys", "TableReport", "is_list", "is_table"]

Order = tuple[int, ...]
"""Place of a key in the file, for sorting."""


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is a list."""
    return isinstance(value, list)


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is a table."""
    return isinstance(value, dict)


class TableReport:
    """Notes about a file, which are sorted into its order at the end."""

    def __init__(self) -> None:
        self._made: list[tuple[Order, Note]] = []

    def add(self, order: Order, note: Note) -> None:
        """Add a note.

        Args:
            order: Place of its key.
            note: The note.
        """
        self._made.append((order, note))

    def notes(self) -> tuple[Note, ...]:
        """Return the notes in the order of the file."""
        return tuple(note for _order, note in sorted(self._made, key=lambda each: each[0]))


class TableKeys:
    """A table of a file, and its keys that have a note. Notes about missing keys are left out; the first one counts."""

    def __init__(
        self,
        report: TableReport,
        place: str,
        data: Mapping[str, Any],
        *,
        order: Order = (),
        prefix: str = "",
        spelled: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; nothing has a note yet.

        Args:
            report: Report that gets the notes.
            place: Part of the file, for the notes.
            data: The table.
            order: Place of the table in the file.
            prefix: Names of the tables between ``place`` and this one, with a dot after each.
            spelled: Keys as the file spells them, where ``data`` has another name.
        """
        self.data = data
        self.place = place
        self._report = report
        self._order = order
        self._prefix = prefix
        self._spelled = spelled or {}
        self._index = {key: number for number, key in enumerate(data)}
        self._noted: set[str] = set()
        self._silent: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def get(self, key: str) -> Any:
        """Return the value of a key, None without one. The key still needs a note."""
        return self.data.get(key)

    def carried(self, key: str, text: str) -> None:
        """Note that a key means the same here.

        Args:
            key: The key.
            text: The option here.
        """
        self._note(key, "carried", text)

    def changed(self, key: str, text: str) -> None:
        """Note that a key has a counterpart that differs.

        Args:
            key: The key.
            text: The difference.
        """
        self._note(key, "changed", text)

    def lost(self, key: str, text: str) -> None:
        """Note that nothing here does what a key says.

        Args:
            key: The key.
            text: Advice.
        """
        self._note(key, "lost", text)

    def part(self, key: str, part: str, what: What, text: str) -> None:
        """Note the fate of a part of a value, such as one dependency of several.

        Args:
            key: The key.
            part: Name of the part.
            what: Its fate.
            text: The option here, the difference, or advice.
        """
        self._add(key, f"{key}.{part}", what, text)

    def table(self, key: str) -> TableKeys | None:
        """Return the table of a key, whose own keys get notes instead; None if there is none."""
        value = self.data.get(key)
        if not is_table(value):
            if key in self.data and value is not None:
                self.lost(key, "is no table of names and values, so it is left out")
            elif key in self.data:
                self.carried(key, "nothing, as it is empty")
            return None
        if not value:
            self.carried(key, "nothing, as it is empty")
        return self.inner(key, value)

    def inner(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        place: str | None = None,
        spelled: Mapping[str, str] | None = None,
    ) -> TableKeys:
        """Return the keys of a table below a key.

        Args:
            key: The key.
            value: The table.
            place: Part of the file for its notes; None is that of this table.
            spelled: Keys as the file spells them, where ``value`` has another name.
        """
        self._silent.add(key)
        prefix = f"{self._prefix}{key}." if place is None else ""
        order = (*self._order, self._index.get(key, -1))
        place = self.place if place is None else place
        return TableKeys(self._report, place, value, order=order, prefix=prefix, spelled=spelled)

    def close(self, lost: Mapping[str, str], known: Iterable[str] = ()) -> None:
        """Name every key without a note as lost.

        Args:
            lost: Advice for keys that nothing here does.
            known: All other keys of the format, for what was probably meant.
        """
        for key in self.data:
            if key in self._noted or key in self._silent:
                continue
            if key in lost:
                self.lost(key, lost[key])
            elif key.startswith("x-"):
                self.lost(key, "an extension, which means nothing here")
            else:
                near = difflib.get_close_matches(key, [*lost, *known], n=1)
                self.lost(key, f"an unknown key, which is ignored{f'; did you mean {near[0]!r}?' if near else ''}")

    def _note(self, key: str, what: What, text: str) -> None:
        """Add a note, unless the file does not have the key, or the key has a note already."""
        if key in self.data and key not in self._noted:
            self._noted.add(key)
            self._add(key, self._spelled.get(key, key), what, text)

    def _add(self, key: str, name: str, what: What, text: str) -> None:
        order = (*self._order, self._index.get(key, -1))
        self._report.add(order, Note(place=self.place, key=f"{self._prefix}{name}", what=what, text=text))


def texts(value: object) -> list[str] | None:
    """Return the texts of a list; None for any other value."""
    items = cast("list[object]", value) if isinstance(value, list) else None
    return None if items is None or not all(isinstance(each, str) for each in items) else cast("list[str]", items)
