"""The one module of this package that reads files: their text, the search for the file of a project, and patterns.

A file is read only if it is a regular one of a sensible size, so no pipe, device or folder holds a caller up.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
from collections.abc import Iterator
from typing import NoReturn

from aioverseer.config.problems import ConfigError, Problem

__all__ = ["DOES_NOT_EXIST", "MAX_BYTES", "NAMES", "find_file", "matching", "parent_folders", "read_text"]

MAX_BYTES = 4 * 2**20
"""Size above which a file is refused. A thousand services take about 0.5 MiB."""

DOES_NOT_EXIST = "does not exist"
"""Message about a file that is missing."""

NAMES = ("aioverseer.toml", "pyproject.toml", "Procfile")
"""File names that are looked for in each folder, in this order."""

_TABLE = re.compile(
    r"^[ \t]*\[+[ \t]*tool[ \t]*\.[ \t]*[\"']?aioverseer[\"']?[ \t]*[].]"
    r"|^[ \t]*\[[ \t]*tool[ \t]*\].*(?:\n(?![ \t]*\[).*)*?\n[ \t]*[\"']?aioverseer[\"']?[ \t]*[=.]",
    re.MULTILINE,
)
"""The head of a table of ours in a ``pyproject.toml``, or the table as a value of ``[tool]``."""

_KINDS = (
    (stat.S_ISDIR, "is a folder", "name the file in it, for example {path}/aioverseer.toml"),
    (stat.S_ISFIFO, "is a pipe", "write its content to a file, and name that"),
    (stat.S_ISSOCK, "is a socket", "name a file"),
    (stat.S_ISCHR, "is a device", "name a file"),
    (stat.S_ISBLK, "is a device", "name a file"),
)


def read_text(path: str) -> str:
    """Return the text of a regular file, without a byte order mark.

    Raises:
        ConfigError: If there is none, it cannot be read, it is too large, or it is not UTF-8.
    """
    data = _read_bytes(path)
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        _refuse(
            path,
            f"byte {error.start + 1} is not UTF-8",
            "save the file as UTF-8",
            line=before.count(b"\n") + 1,
            column=len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1,
        )


def _read_bytes(path: str) -> bytes:
    try:
        # O_NONBLOCK: the open of a pipe without a writer would wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError:
        _refuse(repr(path), "is no path: it has a NUL", "name a file")
    except OSError as error:
        _refuse_unreadable(path, error)
    try:
        found = os.fstat(descriptor)
        for is_kind, what, hint in _KINDS:
            if is_kind(found.st_mode):
                _refuse(path, what, hint.format(path=path))
        if found.st_size <= MAX_BYTES:
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                data = stream.read(MAX_BYTES + 1)  # a file of /proc has no size, and another one may grow
            if len(data) <= MAX_BYTES:
                return data
        _refuse(path, f"is larger than {MAX_BYTES // 2**20} MiB", "divide it by include = [...]")
    except OSError as error:
        _refuse_unreadable(path, error)
    finally:
        os.close(descriptor)


def _refuse_unreadable(path: str, error: OSError) -> NoReturn:
    match error.errno:
        case errno.ENXIO:
            _refuse(path, "is a socket", "name a file")
        case errno.ENOENT | errno.ENOTDIR:
            _refuse(path, DOES_NOT_EXIST, "write it, or name another file", cause=error)
        case errno.ELOOP:
            _refuse(path, "is a symbolic link that leads to itself", "look at it by ls -l", cause=error)
        case _:
            why = os.strerror(error.errno or 0)
            _refuse(path, f"cannot be read: {why}", "look at its permissions by ls -l", cause=error)


def _refuse(
    path: str,
    message: str,
    hint: str,
    *,
    line: int | None = None,
    column: int | None = None,
    cause: BaseException | None = None,
) -> NoReturn:
    problem = Problem(file=path, line=line, column=column, path=(), message=message, hint=hint)
    raise ConfigError([problem]) from cause


def parent_folders(folder: str) -> Iterator[str]:
    """Yield a folder and all folders above it, as absolute paths."""
    folder = os.path.abspath(folder)
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


def find_file(folder: str) -> str | None:
    """Return the file of the project that a folder is part of: the nearest one, upwards; None without one.

    In each folder it is ``aioverseer.toml``, else a ``pyproject.toml`` with a table ``[tool.aioverseer]``, else a
    ``Procfile``.
    """
    for each in parent_folders(folder):
        for name in NAMES:
            path = os.path.join(each, name)
            if os.path.isfile(path) and (name != "pyproject.toml" or _TABLE.search(_text_or_nothing(path))):
                return path
    return None


def _text_or_nothing(path: str) -> str:
    try:
        return read_text(path)
    except ConfigError:
        return ""


def matching(pattern: str) -> list[str]:
    """Return the files of a pattern with ``*``, ``?`` or ``[``, sorted; a path without them is returned as it is."""
    return sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
