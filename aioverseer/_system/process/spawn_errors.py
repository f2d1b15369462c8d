"""Errors of a launch as sentences: the service, the value, the reason, and what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
from collections.abc import Generator

from aioverseer._system.host.environment import of_host
from aioverseer._system.host.fd_limit import fitting
from aioverseer._system.host.path_lookup import find
from aioverseer._system.process.did_you_mean import hint_for_name, hint_for_path
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.spec import Spec

__all__ = ["as_spawn_error", "asked_environment", "explained", "look_up"]

_FIRST_LINE = 256
"""Bytes of a file in which Linux looks for the interpreter (BINPRM_BUF_SIZE)."""


def asked_environment(spec: Spec) -> dict[str, str] | None:
    """Return the environment that a Spec asks for; None for that of the host."""
    if spec.env is None and not spec.extra_env:
        return None
    base = of_host() if spec.env is None else spec.env
    return {**base, **spec.extra_env}


@contextlib.contextmanager
def as_spawn_error(spec: Spec) -> Generator[None]:
    """Turn an OSError in the block into a SpawnError."""
    try:
        yield
    except OSError as error:
        raise explained(spec, list(spec.argv), error) from error


def look_up(spec: Spec) -> None:
    """Check that the program, its interpreter and its working folder exist, where otherwise a wrapper would fail.

    Raises:
        OSError: If one of them does not exist, with the errno of exec.
    """
    if spec.cwd is not None and not os.path.isdir(spec.cwd):
        os.stat(spec.cwd)  # raises the error of the system if there is no such file
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), spec.cwd)
    found = _found(spec)
    if found is None:
        number = _why_not_found(_program(spec))
        raise OSError(number, os.strerror(number), spec.argv[0])
    interpreter = _interpreter(found)
    if interpreter is not None and not os.path.exists(os.path.join(spec.cwd or "", interpreter)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), spec.argv[0])


def _why_not_found(path: str) -> int:
    try:
        os.stat(path)
    except OSError as error:
        return error.errno or errno.ENOENT
    return errno.EACCES


def _program(spec: Spec) -> str:
    """Return the program as exec searches for it: a relative path starts from the working folder."""
    program = spec.argv[0]
    return os.path.join(spec.cwd or "", program) if "/" in program else program


def _path_of(spec: Spec) -> str | None:
    """Return PATH as the lookup of the program uses it; None for the default of the system."""
    given = asked_environment(spec)
    return os.environ.get("PATH") if given is None else given.get("PATH", os.defpath)


def _found(spec: Spec) -> str | None:
    return find(_program(spec), _path_of(spec))


def _interpreter(path: str) -> str | None:
    """Return the interpreter in the first line of a script; None for any other file."""
    try:
        with open(path, "rb") as file:
            first = file.read(_FIRST_LINE).partition(b"\n")[0]
    except OSError:  # a program may be executable and not readable
        return None
    words = first[2:].strip(b" \t").replace(b"\t", b" ").split(b" ") if first.startswith(b"#!") else []
    return os.fsdecode(words[0]) or None if words else None


def _no_interpreter(program: str, path: str) -> str:
    interpreter = _interpreter(path)
    if interpreter is None:
        return f"{program!r} is there, but the loader that it needs is not: it was built for another system"
    why = f"{program!r} is there, but the interpreter in its first line is not: mend its #! line"
    if interpreter.endswith("\r"):
        return f"{why} ({interpreter!r} ends with the line end of Windows: save the file with \\n line ends)"
    return f"{why} ({interpreter!r})"


def explained(spec: Spec, words: list[str], error: OSError | ValueError, *, option: str = "") -> SpawnError:
    """Return the SpawnError for an error of the system.

    Args:
        spec: Spec of the program.
        words: Command line as it was spawned, with its prefixes.
        error: Error of the system.
        option: Option that needs the program, with its value, if it is not the program of the service.
    """
    program = spec.argv[0]
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    filename = error.filename if isinstance(error, OSError) else None
    text = f"service {spec.id!r} cannot be started{f' with {option}' if option else ''}: "
    if spec.cwd is not None and filename == spec.cwd:
        text += f"its working folder cwd={spec.cwd!r} cannot be entered ({error.strerror}): create it or change cwd"  # type: ignore[union-attr]  # only an OSError has a filename
        return SpawnError(text, errno=number, filename=spec.cwd)
    match number:
        case errno.ENOENT if (found := _found(spec)) is not None:
            why = _no_interpreter(program, found)
        case errno.ENOENT if "/" in program:
            why = f"there is no file {program!r}: mend the path, or install the program{hint_for_path(spec)}"
        case errno.ENOENT:
            hint = hint_for_name(spec, _path_of(spec))
            why = f"there is no program {program!r} on PATH: install it, or name it with its full path{hint}"
        case errno.EACCES if os.path.isdir(_program(spec)):
            why = f"{program!r} may not be executed, as it is a folder: name the program in it"
        case errno.EACCES:
            why = f"{program!r} may not be executed: make it executable (chmod +x), and its folders accessible"
        case errno.ENOEXEC:
            why = (
                f"{program!r} is no program that this system can run: it may lack a #! line, or be built for another "
                "machine"
            )
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
