"""Result of an exporter: files by name, and a note about everything that the target cannot do as it is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aioverseer.config.convert.conversion import Note, What
from aioverseer.core.export import exported_from

__all__ = ["Export"]


@exported_from("aioverseer.config.export")
@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Result of an exporter.

    Attributes:
        files: Text of each file, by its name.
        notes: Options that mean something else there (``"changed"``), or that the target cannot do (``"lost"``). All
            other options are carried. No note holds the value of a variable.
    """

    files: Mapping[str, str]
    notes: tuple[Note, ...]

    def of(self, what: What) -> tuple[Note, ...]:
        """Return the notes of one kind."""
        return tuple(note for note in self.notes if note.what == what)
