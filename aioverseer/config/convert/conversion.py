"""Results of the readers: data in the form of ``aioverseer.toml``, and a note about every key of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from aioverseer.core.export import exported_from

__all__ = ["Conversion", "Note", "Notes", "What"]

What = Literal["carried", "changed", "lost"]
"""Fate of a key. ``"carried"``: it means the same here. ``"changed"``: something here comes close, and the note tells
the difference. ``"lost"``: nothing here does it, and the note says what to do instead."""


@exported_from("aioverseer.config")
@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Report about one key of the file that was read. It never holds the value of a variable.

    Attributes:
        place: Part of the file that the key belongs to, for example ``"program:web"`` or ``"services.web"``. Empty for
            the top of the file.
        key: The key, as the file spells it.
        what: ``"carried"``, ``"changed"`` or ``"lost"``.
        text: For a key that was carried, its option here, for example ``"services.web.cwd"``. Otherwise the
            difference, or what to do.
    """

    place: str
    key: str
    what: What
    text: str

    def __str__(self) -> str:
        """Return the note as one line."""
        owner = f"{self.place}: " if self.place else ""
        return f"{owner}{self.key}: {self.what}: {self.text}"


@exported_from("aioverseer.config")
@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Result of a reader.

    Attributes:
        data: Data in the form of ``aioverseer.toml``: TOML values alone.
        notes: A note about each key of the file, those of one part of it together.
    """

    data: Mapping[str, Any]
    notes: tuple[Note, ...]

    def of(self, what: What) -> tuple[Note, ...]:
        """Return the notes about keys with one fate.

        Args:
            what: ``"carried"``, ``"changed"`` or ``"lost"``.
        """
        return tuple(note for note in self.notes if note.what == what)

    def summary(self) -> str:
        """Return the numbers of notes, for example ``"12 carried, 3 changed, 1 lost"``."""
        return ", ".join(f"{len(self.of(what))} {what}" for what in get_args(What))


@dataclass(slots=True)
class Notes:
    """Notes that a reader collects."""

    made: list[Note] = field(default_factory=list[Note])

    def all(self) -> tuple[Note, ...]:
        """Return all notes, those of one place together, in the order in which the places came first."""
        places: dict[str, list[Note]] = {}
        for note in self.made:
            places.setdefault(note.place, []).append(note)
        return tuple(note for notes in places.values() for note in notes)

    def carried(self, place: str, key: str, text: str) -> None:
        """Add a note about a key that means the same here.

        Args:
            place: Part of the file.
            key: Key of the file.
            text: The option here.
        """
        self.made.append(Note(place=place, key=key, what="carried", text=text))

    def changed(self, place: str, key: str, text: str) -> None:
        """Add a note about a key with a counterpart that differs.

        Args:
            place: Part of the file.
            key: Key of the file.
            text: The difference.
        """
        self.made.append(Note(place=place, key=key, what="changed", text=text))

    def lost(self, place: str, key: str, text: str) -> None:
        """Add a note about a key without a counterpart.

        Args:
            place: Part of the file.
            key: Key of the file.
            text: Advice.
        """
        self.made.append(Note(place=place, key=key, what="lost", text=text))
