"""Input of a reader: the text of a file, its path, and a way to the files that it includes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["OpenIncluded", "Source"]

OpenIncluded = Callable[[str], Mapping[str, str]]
"""Function that takes a pattern of paths and returns text by path, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to read.

    Attributes:
        text: Text of the file.
        path: Path of the file, for messages and for names that come from it.
        included: Function that reads included files; None if there is none.
    """

    text: str
    path: str
    included: OpenIncluded | None = None

    @property
    def folder(self) -> str:
        """Folder of the file, as its path says it; ``.`` without one."""
        return self.path.rpartition("/")[0] or ("/" if self.path.startswith("/") else ".")
