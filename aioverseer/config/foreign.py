"""``convert_file``: the file of another supervisor, or a folder of units of systemd, read from the disk."""

from __future__ import annotations

import glob
import os

from aioverseer.config.convert import KINDS, Conversion, kind_of, read, read_units
from aioverseer.config.files import matching, read_text
from aioverseer.config.problems import ConfigError, Problem
from aioverseer.core.export import exported_from

__all__ = ["convert_file", "unit_files"]

_UNITS = ("*.service", "*.socket", "*.timer", "*.service.d/*.conf", "*.socket.d/*.conf", "*.timer.d/*.conf")


@exported_from("aioverseer.config")
def convert_file(path: str | os.PathLike[str], *, kind: str | None = None) -> Conversion:
    """Convert the file of another supervisor, or a folder of units of systemd.

    Args:
        path: Path of the file, or of the folder.
        kind: Format, one of ``KINDS`` of ``aioverseer.config.convert``; by default the name and the text of the file
            tell it.

    Raises:
        ConfigError: If the file cannot be read, or its format is none that is known.
        SpecError: If it is not valid in its format.
    """
    file: str = os.path.abspath(path)
    folder = os.path.dirname(file)
    units = unit_files(file)
    if units:
        return read_units({each: read_text(each) for each in units})

    def included(pattern: str) -> dict[str, str]:
        files = matching(os.path.normpath(os.path.join(folder, pattern)))
        return {each: read_text(each) for each in files if os.path.lexists(each)}

    text = read_text(file)
    found = kind_of(file, text) if kind is None else kind
    if found is None and os.path.basename(file).startswith("Procfile"):
        message = "a Procfile is no file of another supervisor"
        raise ConfigError(
            [Problem(file=file, message=message, hint="aioverseer init writes an aioverseer.toml from it")]
        )
    if found is None:
        message = "this is no file of another supervisor that is known"
        raise ConfigError([Problem(file=file, message=message, hint=f"there are {', '.join(KINDS)}")])
    return read(text, kind=found, path=file, included=included)


def unit_files(folder: str) -> list[str]:
    """Return the units of systemd in a folder, and their drop-in files; none if it is no folder."""
    below = glob.escape(folder)
    return sorted(each for pattern in _UNITS for each in glob.glob(os.path.join(below, pattern)))
