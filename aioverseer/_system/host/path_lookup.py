"""Where a program lies on PATH.

Not ``shutil.which``: that brings three compressors along, a tenth of the time that the import of this library takes.
Nothing in here starts anything.
"""

from __future__ import annotations

import os

__all__ = ["find", "locate"]

_MOST_KNOWN = 1000

_known: dict[tuple[str, str | bytes | None], str] = {}
"""Where programs were found, by name and PATH."""


def locate(program: str, path: str | bytes | None) -> str | None:
    """Return the absolute path of a program, or None where it is not found, or may be different seen from elsewhere.

    Where it was once found it is not looked for again, as long as it can be executed there: so do shells, and a restart
    has no time to lose. (The child, in turn, would try each folder by an exec, while the host waits for it in vfork.)

    Args:
        program: Its name, without a folder.
        path: Folders as in PATH, also as the system keeps them; None is the system's default.
    """
    found = _known.get((program, path))
    if found is not None and os.access(found, os.X_OK):
        return found
    found = find(program, None if path is None else os.fsdecode(path), absolute=True)
    if found is not None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[program, path] = found
    return found


def find(program: str, path: str | None, *, absolute: bool = False) -> str | None:
    """Return where a program lies, or None where it is not found.

    Args:
        program: Its name, looked for in each folder of ``path``; a name with a folder is taken as it is.
        path: Folders as in PATH, whose relative ones are seen from the folder of this process; None is the system's
            default.
        absolute: Give up at the first relative folder, as it may be seen from elsewhere.
    """
    if "/" in program:
        return program if os.access(program, os.X_OK) and not os.path.isdir(program) else None
    for folder in (os.defpath if path is None else path).split(os.pathsep):
        if absolute and not folder.startswith("/"):
            return None
        found = f"{folder or '.'}/{program}"
        # In this order: most folders of PATH have no file of this name at all.
        if os.access(found, os.X_OK) and not os.path.isdir(found):
            return found
    return None
