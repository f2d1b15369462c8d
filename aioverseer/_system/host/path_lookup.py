"""Lookup of programs on PATH. It replaces ``shutil.which``, whose module imports three compressors."""

from __future__ import annotations

import os

__all__ = ["find", "locate"]

_CACHE_SIZE = 1000

_cache: dict[tuple[str, str | bytes | None], str] = {}
"""Paths of programs by name and PATH."""


def locate(program: str, path: str | bytes | None) -> str | None:
    """Return the absolute path of a program; None if it is not found, or its path depends on the working folder.

    A path is cached as long as it is executable, as shells do. The lookup is made here because the child would try an
    exec in each folder, while the host waits in vfork.

    Args:
        program: Name without a folder.
        path: Value of PATH as text or bytes; None is the system's default.
    """
    found = _cache.get((program, path))
    if found is not None and os.access(found, os.X_OK):
        return found
    found = find(program, None if path is None else os.fsdecode(path), absolute=True)
    if found is not None:
        if len(_cache) >= _CACHE_SIZE:
            _cache.clear()
        _cache[program, path] = found
    return found


def find(program: str, path: str | None, *, absolute: bool = False) -> str | None:
    """Return the path of a program, or None if it is not found.

    Args:
        program: Name to look up in each folder of ``path``. A name with a folder is checked as it is.
        path: Value of PATH, with relative folders below the working folder of this process; None is the system's
            default.
        absolute: Whether to give up at the first relative folder, because the child's working folder may differ.
    """
    if "/" in program:
        return program if os.access(program, os.X_OK) and not os.path.isdir(program) else None
    for folder in (os.defpath if path is None else path).split(os.pathsep):
        if absolute and not folder.startswith("/"):
            return None
        found = f"{folder or '.'}/{program}"
        # access() first, because most folders of PATH have no file of this name.
        if os.access(found, os.X_OK) and not os.path.isdir(found):
            return found
    return None
