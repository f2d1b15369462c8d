"""Which failed spawns cannot succeed later, because the program is not there or may not run."""

from __future__ import annotations

import errno

from aioverseer.core.errors import SpawnError
from aioverseer.core.options.spec import Spec

__all__ = ["is_impossible"]

_IMPOSSIBLE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ENOEXEC,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.E2BIG,
        errno.EINVAL,
        errno.ENOTSUP,
        *((errno.ELIBBAD,) if hasattr(errno, "ELIBBAD") else ()),
    }
)
"""Errors that time does not mend: of execve(2), of a working folder, and of options that this host cannot provide.

Missing here are shortages (EAGAIN, ENOMEM, EMFILE), a file that is being written (ETXTBSY), and errors of a disk.
"""


def is_impossible(spec: Spec, error: BaseException) -> bool:
    """Return whether a program can never be started as its Spec says.

    Args:
        spec: Spec of the program.
        error: Error of the spawn. An error about another file, such as that of standard input, does not count:
            another program may still make the file.
    """
    if not isinstance(error, SpawnError) or error.errno not in _IMPOSSIBLE:
        return False
    filename, program = error.filename, spec.argv[0]
    # A program that was found on PATH is named with its folder.
    return filename in (program, spec.cwd) or (filename or "").endswith(f"/{program}")
