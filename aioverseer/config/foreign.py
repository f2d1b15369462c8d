"""``convert_file``: the file of another supervisor, read from the disk."""

from __future__ import annotations

import os

from aioverseer.config.convert import KINDS, Conversion, kind_of, read
from aioverseer.config.files import matching, read_text
from aioverseer.config.problems import ConfigError, Problem
from aioverseer.core.export import exported_from

__all__ = ["convert_file"]


@exported_from("aioverseer.config")
def convert_file(path: str | os.PathLike[str], *, kind: str | None = None) -> Conversion:
    """Convert the file of another supervisor.

    Args:
        path: Path of the file.
        kind: Format, one of ``KINDS`` of ``aioverseer.config.convert``; by default the name and the text of the file
            tell it.

    Raises:
        ConfigError: If the file cannot be read, or its format is none that is known.
        SpecError: If it is not valid in its format.
    """
    file = os.path.abspath(os.fspath(path))
    folder = os.path.dirname(file)

    def included(pattern: str) -> dict[str, str]:
        files = matching(os.path.normpath(os.path.join(folder, pattern)))
        return {each: read_text(each) for each in files}

    text = read_text(file)
    found = kind_of(file, text) if kind is None else kind
    if found is None:
        message = "this is no file of another supervisor that is known"
        raise ConfigError([Problem(file=file, message=message, hint=f"there are {', '.join(KINDS)}")])
    return read(text, kind=found, path=file, included=included)
