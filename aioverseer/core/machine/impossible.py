"""Which failed spawns cannot succeed later, because the program is not there or may not run."""

from __future__ import annotations

import errno

from aioverseer.core.errors import SpawnError
from aioverseer.core.options.composition import leaves
from aioverseer.core.options.pipeline import pipeline
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
    """Return whether a program, or one before it in its pipeline, can never be started as its Spec says.

    Args:
        spec: Spec of the program.
        error: Error of the spawn. It counts if it is about the program, its working folder or the program of a
            probe's command. Another file, such as that of standard input, may still be made by another program.
    """
    if not isinstance(error, SpawnError) or error.errno not in _IMPOSSIBLE:
        return False
    return any(_is_about(each, error.filename) for each in pipeline(spec))


def _is_about(spec: Spec, filename: str | None) -> bool:
    program = spec.argv[0]
    # A program that was found on PATH is named with its folder.
    return filename in (program, spec.cwd, *_probe_programs(spec)) or (filename or "").endswith(f"/{program}")


def _probe_programs(spec: Spec) -> list[str]:
    """Return the programs of the commands of ``ready`` and ``alive``."""
    probes = [probe for probe in (spec.ready, None if spec.alive is None else spec.alive.probe) if probe is not None]
    return [program for probe in probes for leaf in leaves(probe) if (program := leaf.program) is not None]
