"""What ``subprocess.Popen`` does for a program in a new session with descriptors of ours, and no more of it.

Popen takes a fifth of the time of a restart for itself, most of it for what is never asked for here, and to encode each
variable of the environment again. So on Python 3.11 to 3.13, which get no more than security fixes, the same function
is called that Popen calls, with the same words, by vfork and with the same report of errors. Later versions get a
Popen. Nothing in here looks along PATH, or waits for a child that has come to life.
"""

from __future__ import annotations

import builtins
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

from aioverseer._system.host.environment import Environment

__all__ = ["spawn"]

_REPORT = 1024
"""Bytes of the report of an error that are read at once: its name, a number, and a word."""


def spawn(
    words: Sequence[str],
    *,
    executable: str | None,
    stdin: int | None,
    stdout: int | None,
    stderr: int | None,
    cwd: str | None,
    env: Environment,
    pass_fds: Collection[int],
) -> int:
    """Start a program in a new session and return its number, once it has been loaded; the caller reaps it.

    Args:
        words: Its command line.
        executable: The file to load; None where it is to be looked for along PATH.
        stdin: The descriptor that it reads from; None is that of the host, as for the next two.
        stdout: The descriptor that it writes to.
        stderr: The descriptor that it writes errors to.
        cwd: The folder to run in; None is that of the host.
        env: Its environment.
        pass_fds: Further descriptors that it inherits, each under its own number.

    Raises:
        OSError: When it cannot be started; ``filename`` is the folder where that is the reason.
    """
    if executable is None or _fork_exec is None:
        popen = subprocess.Popen(
            words,
            executable=executable,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=env.variables,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        # It is to forget it: the caller reaps, and subprocess would at the next spawn of anybody.
        popen.returncode = 0
        return popen.pid
    sys.audit("subprocess.Popen", executable, words, cwd, env.variables)
    read, write = os.pipe()
    try:
        try:
            if write < 3:  # the host has closed some of its own, and they are the child's to be set  # noqa: PLR2004
                low, write = write, fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, 3)
                os.close(low)
            pid = _fork_exec(
                words,
                (os.fsencode(executable),),
                True,  # noqa: FBT003  # close the others
                tuple(sorted({*pass_fds, write})),
                cwd,
                env.entries,
                -1 if stdin is None else stdin,
                -1,
                -1,
                -1 if stdout is None else stdout,
                -1,
                -1 if stderr is None else stderr,
                read,
                write,
                True,  # noqa: FBT003  # signals that Python ignores have their defaults
                True,  # noqa: FBT003  # a new session
                -1,
                None,
                None,
                None,
                -1,
                None,
                subprocess._USE_VFORK,  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # documented: for who must not have vfork
            )
        finally:
            os.close(write)
        try:
            # The other end of the pipe is closed by exec, so this waits for that, and mostly comes back empty.
            report = b""
            while part := os.read(read, _REPORT):
                report += part
        except BaseException:  # a signal handler of the host that raises: nobody else knows of the child
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
    finally:
        os.close(read)
    if report:
        os.waitpid(pid, 0)
        raise _error_of(report, executable, cwd)
    return pid


def _error_of(report: bytes, executable: str, cwd: str | None) -> Exception:
    """Return the error that the child tells of: ``name:errno in hex:text``."""
    name, number, text = report.split(b":", 2)
    kind = getattr(builtins, name.decode("ascii"), subprocess.SubprocessError)
    if kind is not OSError:
        return cast("Exception", kind(text.decode()))
    # What went wrong before the exec: only the change of folder can.
    filename = executable if not text.startswith(b"noexec") else cwd
    code = int(number, 16)
    return OSError(code, os.strerror(code), filename)


def _stable_fork_exec() -> Callable[..., int] | None:
    if sys.version_info >= (3, 14) or sys.platform != "linux":
        return None
    import _posixsubprocess  # noqa: PLC0415  # as above

    return cast("Any", _posixsubprocess).fork_exec  # type: ignore[no-any-return]  # it has no types


_fork_exec = _stable_fork_exec()
