"""Errors of a launch as sentences: the service, the value, the reason, and what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
from collections.abc import Generator

from aioverseer._system.host.fd_limit import fitting
from aioverseer._system.host.path_lookup import find
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.spec import Spec

__all__ = ["as_spawn_error", "asked_environment", "explained", "look_up"]

_FIRST_LINE = 256
"""Bytes of a program in which the kernel looks for its interpreter."""


def asked_environment(spec: Spec) -> dict[str, str] | None:
    """Return the environment that a Spec asks for; None for that of the host."""
    if spec.env is None and not spec.extra_env:
        return None
    base = os.environ if spec.env is None else spec.env
    return {**base, **spec.extra_env}


@contextlib.contextmanager
def as_spawn_error(spec: Spec) -> Generator[None]:
    """Turn an OSError in the block into a SpawnError."""
    try:
        yield
    except OSError as error:
        raise explained(spec, list(spec.argv), error) from error


def look_up(spec: Spec) -> None:
    """Check that the program and its working folder exist, where otherwise a wrapper would fail.

    Raises:
        OSError: If one of them does not exist, or the interpreter that its first line names.
    """
    if spec.cwd is not None and not os.path.isdir(spec.cwd):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), spec.cwd)
    if not _is_found(spec):
        number = errno.EACCES if os.path.exists(_program(spec)) else errno.ENOENT
        raise OSError(number, os.strerror(number), spec.argv[0])
    if _lacks_interpreter(spec):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), spec.argv[0])


def _lacks_interpreter(spec: Spec) -> bool:
    program = _found(spec)
    try:
        with open(program or "", "rb", buffering=0) as file:
            first = file.read(_FIRST_LINE).partition(b"\n")[0]
    except OSError:  # it may be executed, but not read
        return False
    words = first[2:].split() if first.startswith(b"#!") else []
    return bool(words) and not os.path.exists(os.path.join(os.fsencode(spec.cwd or ""), words[0]))


def _program(spec: Spec) -> str:
    """Return the program as exec searches for it: a relative path starts from the working folder."""
    program = spec.argv[0]
    return os.path.join(spec.cwd or "", program) if "/" in program else program


def _is_found(spec: Spec) -> bool:
    return _found(spec) is not None


def _found(spec: Spec) -> str | None:
    given = asked_environment(spec)
    path = os.environ.get("PATH") if given is None else given.get("PATH", os.defpath)
    return find(_program(spec), path)


def explained(spec: Spec, words: list[str], error: OSError | ValueError) -> SpawnError:
    """Return the SpawnError for an error of the system."""
    program = spec.argv[0]
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    filename = error.filename if isinstance(error, OSError) else None
    text = f"service {spec.id!r} cannot be started: "
    if spec.cwd is not None and filename == spec.cwd:
        text += f"its working folder cwd={spec.cwd!r} cannot be entered ({error.strerror}): create it or change cwd"  # type: ignore[union-attr]  # only an OSError has a filename
        return SpawnError(text, errno=number, filename=spec.cwd)
    match number:
        case errno.ENOENT if _is_found(spec):
            why = f"{program!r} is there, but the interpreter in its first line is not: mend its #! line"
        case errno.ENOENT if "/" in program:
            why = f"there is no file {program!r}: mend the path, or install the program"
        case errno.ENOENT:
            why = f"there is no program {program!r} on PATH: install it, or name it with its full path"
        case errno.EACCES:
            why = f"{program!r} may not be executed: make it executable (chmod +x), and its folders accessible"
        case errno.ENOEXEC:
            why = f"{program!r} is no program that this system can run: it may lack a #! line"
        case errno.EMFILE | errno.ENFILE:
            limit, fit = fitting()
            why = (
                f"there are no file descriptors left: raise the limit (ulimit -n) of {limit}, into which about {fit} "
                "services fit, or pass Overseer(raise_fd_limit=True)"
            )
        case errno.E2BIG:
            why = "its arguments and environment are too long for this system: pass them in a file"
        case errno.EAGAIN | errno.ENOMEM:
            why = f"the system has no room for another process ({os.strerror(number)}): see ulimit -u and free memory"
        case _:
            why = f"{shlex.join(words)}: {error}"
    return SpawnError(text + why, errno=number, filename=filename or program)
