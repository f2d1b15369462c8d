"""Readers of the files of other supervisors: data in the form of ``aioverseer.toml``, and a note about every key.

A reader takes text and returns data. It opens no file and does not import the loader: the data goes through the same
checks as a file. ``conversion.py`` has the result of a reader, ``kinds.py`` the formats.
"""

from __future__ import annotations

from collections.abc import Callable

from aioverseer import SpecError
from aioverseer.config.convert.conversion import Conversion, Note, What
from aioverseer.config.convert.kinds import KINDS, kind_of

__all__ = ["KINDS", "Conversion", "Note", "What", "kind_of", "read"]

_READERS: dict[str, Callable[[str, str], Conversion]] = {}
"""The reader of each format: it takes the text and the path of a file."""


def read(text: str, *, kind: str, path: str) -> Conversion:
    """Read the file of another supervisor.

    Args:
        text: The text of the file.
        kind: The format, one of ``KINDS``; ``kind_of`` finds it.
        path: The path of the file. Errors name it, and a unit of systemd has its name from it.

    Raises:
        SpecError: If the kind is unknown, or the text is not valid in its format.
        ModuleNotFoundError: If the format needs a package that is not installed; it names the extra.
    """
    reader = _READERS.get(kind)
    if reader is None:
        raise SpecError(f"kind={kind!r} is unknown: there are {', '.join(_READERS)}", option="kind", value=kind)
    return reader(text, path)
