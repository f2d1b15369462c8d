"""``make_starter``: read the files of a folder that tell of services, and make a first file of them."""

from __future__ import annotations

import dataclasses
import os

from aioverseer.config.env_files import read_variables
from aioverseer.config.files import read_text
from aioverseer.config.problems import ConfigError
from aioverseer.config.procfile import FIRST_PORT, first_port
from aioverseer.config.starter import READ, SEEN, Starter, starter_from
from aioverseer.core.export import exported_from

__all__ = ["make_starter"]


@exported_from("aioverseer.config")
def make_starter(folder: str | os.PathLike[str] = ".") -> Starter:
    """Make a first ``aioverseer.toml`` for a folder, without writing it.

    Its services are those of a Procfile or a compose file. Without them they are the scripts of ``package.json`` and
    ``pyproject.toml``, and those of a Django project. A folder without any of them gets an example.

    Args:
        folder: The folder to look at.

    Raises:
        OverseerError: If a Procfile has a ``.env``, and python-dotenv is not installed.
    """
    path = os.path.abspath(folder)
    files = dict.fromkeys((name for name in SEEN if os.path.exists(os.path.join(path, name))), "")
    unread: list[ConfigError] = []
    for name in READ:
        try:
            files[name] = read_text(os.path.join(path, name))
        except ConfigError as error:
            if os.path.lexists(os.path.join(path, name)):
                unread.append(error)  # the other files may do
    first, problems = _first_port(path) if files.keys() & {"Procfile", "Procfile.dev"} else (FIRST_PORT, ())
    starter = starter_from(files, name=os.path.basename(path), folder=path, first_port=first)
    return dataclasses.replace(starter, unread=(*unread, *problems, *starter.unread))


def _first_port(folder: str) -> tuple[int, tuple[ConfigError, ...]]:
    """Return the first port of a Procfile, which ``PORT`` in ``.env`` moves, and an error about that file."""
    file = os.path.join(folder, ".env")
    if not os.path.lexists(file):
        return FIRST_PORT, ()
    try:
        return first_port(file, read_variables(read_text(file), file=file, environ={})), ()
    except ConfigError as error:
        return FIRST_PORT, (error,)
