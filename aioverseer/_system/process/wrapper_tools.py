"""The programs of the system that change a process before its exec, and the error where this host cannot use them."""

from __future__ import annotations

import errno
import os

from aioverseer._system.host.path_lookup import find
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.spec import Spec

__all__ = ["refuse", "tool"]


def refuse(spec: Spec, option: str, value: object, why: str, number: int = errno.EPERM) -> SpawnError:
    """Return the error for an option that this host may not or cannot apply.

    Args:
        spec: The program.
        option: Name of the option.
        value: Value of the option.
        why: The reason.
        number: Number of the error, from ``errno``.
    """
    return SpawnError(
        f"service {spec.id!r} cannot be started with {option}={value!r}: {why}",
        errno=number,
        filename=spec.argv[0],
    )


def tool(spec: Spec, name: str, option: str, value: object) -> str:
    """Return the path of a program of the system.

    Args:
        spec: The program on whose behalf it runs.
        name: Name of the program of the system.
        option: Name of the option that needs it.
        value: Value of that option.

    Raises:
        SpawnError: If it is missing.
    """
    path = find(name, os.environ.get("PATH"))
    if path is None:
        raise refuse(spec, option, value, f"it needs the program {name}(1), which is not on PATH", errno.ENOENT)
    return path
