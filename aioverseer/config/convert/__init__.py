"""Readers of the files of other supervisors: data in the form of ``aioverseer.toml``, and a note about every key.

A reader takes text and returns data. It opens no file and does not import the loader: the data goes through the same
checks as a file. ``conversion.py`` has the result of a reader, ``kinds.py`` the formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from aioverseer import SpecError
from aioverseer.config.convert.conversion import Conversion, Note, What
from aioverseer.config.convert.kinds import KINDS, kind_of
from aioverseer.config.convert.source import OpenIncluded, Source

__all__ = ["KINDS", "Conversion", "Note", "OpenIncluded", "What", "kind_of", "read", "read_units"]

_READERS: dict[str, str] = {
    "supervisord": "supervisord",
    "circus": "circus",
    "systemd": "systemd",
    "process-compose": "process_compose",
    "compose": "compose",
    "pm2": "pm2",
}
"""The package beside this file that reads each format by its function ``read_`` and its name; imported on first use."""


def read(text: str, *, kind: str, path: str, included: OpenIncluded | None = None) -> Conversion:
    """Read the file of another supervisor.

    Args:
        text: The text of the file.
        kind: The format, one of ``KINDS``; ``kind_of`` finds it.
        path: The path of the file. Errors name it, and a unit of systemd has its name from it.
        included: Function that reads the files which a file includes: it takes a pattern, such as ``conf.d/*.conf``,
            and returns text by path, in order. A relative pattern begins at the folder of ``path``. Without it the
            key that includes them is lost.

    Raises:
        SpecError: If the kind is unknown, or the text is not valid in its format.
        ModuleNotFoundError: If the format needs a package that is not installed; it names the extra.
    """
    package = _READERS.get(kind)
    if package is None:
        raise SpecError(f"kind={kind!r} is unknown: there are {', '.join(_READERS)}", option="kind", value=kind)
    try:
        reader = getattr(import_module(f"{__name__}.{package}"), f"read_{package}")
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        why = f"files of {kind} are read by PyYAML: pip install 'aioverseer[convert]'"
        raise ModuleNotFoundError(why, name=error.name) from error
    return cast("Conversion", reader(Source(text=text, path=path, included=included)))


def read_units(texts: Mapping[str, str]) -> Conversion:
    """Read several units of systemd as one file.

    Args:
        texts: Text by path. A path such as ``web.service.d/memory.conf`` is a drop-in file of ``web.service``.

    Raises:
        SpecError: If a text is not valid.
    """
    reader = import_module(f"{__name__}.systemd").read_units
    return cast("Conversion", reader(texts))
