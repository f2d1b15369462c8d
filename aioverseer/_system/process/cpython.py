"""The private names of CPython that a spawn uses.

The page ``docs/explanation/spawning.md`` lists each name with its public alternative, and when the name goes.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import fcntl
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping
from types import FunctionType
from typing import Any, cast

from aioverseer._system.containment.mark_window import MarkWindow, fork_with_mark
from aioverseer._system.process.spawn import SpawnRequest

__all__ = ["call_in_one_step", "can_answer_for", "end_unwatched", "environment_of_host", "start_program"]

# --- the environment of the host

_ERROR_SIZE = 1024
"""Bytes per read of the error that a child reports: the name of an exception, a number and a word."""


def environment_of_host() -> Mapping[bytes, bytes]:
    """Return the live environment of the host, as bytes.

    ``os.environb`` checks each name and value in Python, which costs a tenth of a spawn for sixty variables, so its
    dictionary is read directly. The caller must not change it or keep it.
    """
    data: object = getattr(os.environ, "_data", None)
    return cast("dict[bytes, bytes]", data) if isinstance(data, dict) else os.environb


# --- the program


def start_program(request: SpawnRequest) -> int:
    """Start a program in a new session, and return its process id once the program has been loaded.

    The caller reaps the child. ``subprocess.Popen`` calls the same function with the same arguments. Popen needs more
    time for options that are never set here, and encodes the whole environment for each spawn.

    Args:
        request: The program. Without an executable, or on Python 3.14 and newer, Popen starts it.

    Raises:
        OSError: If the program cannot be started. ``filename`` is the working folder where that is the reason.
    """
    executable = request.executable or (request.words[0] if "/" in request.words[0] else None)
    if executable is None or _fork_exec is None:
        return _start_by_popen(request)
    sys.audit("subprocess.Popen", executable, request.words, request.cwd, request.environment.variables)
    read, write = os.pipe()
    try:
        try:
            if write < 3:  # the host has closed a standard descriptor, whose number the child needs  # noqa: PLR2004
                low, write = write, fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, 3)
                os.close(low)
            fork = functools.partial(
                _fork_exec,
                request.words,
                (os.fsencode(executable),),
                True,  # noqa: FBT003  # close all other descriptors
                tuple(sorted({*request.pass_fds, write})),
                request.cwd,
                request.environment.entries,
                -1 if request.stdin is None else request.stdin,
                -1,
                -1,
                -1 if request.stdout is None else request.stdout,
                -1,
                -1 if request.stderr is None else request.stderr,
                read,
                write,
                True,  # noqa: FBT003  # restore the signals that Python ignores
                True,  # noqa: FBT003  # start a new session
                -1,
                None,
                None,
                None,
                -1,
                None,
                subprocess._USE_VFORK,  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # an application may have switched vfork off
            )
            pid = fork_with_mark(request.mark, fork)
        finally:
            os.close(write)
        try:
            # Exec closes the child's end of the pipe, so this waits for exec. An empty read means success.
            report = b""
            while part := os.read(read, _ERROR_SIZE):
                report += part
        except BaseException:  # a signal handler of the host raised, and nothing else knows the child
            end_unwatched(pid)
            raise
    finally:
        os.close(read)
    if report:
        with contextlib.suppress(ChildProcessError):  # other code in this host has reaped it
            os.waitpid(pid, 0)
        raise _error_of(report, executable, request.cwd)
    return pid


def end_unwatched(pid: int) -> None:
    """Kill and reap a child that nobody watches. It has just been loaded, so it dies at once."""
    with contextlib.suppress(OSError):
        # The process id of a reaped child may belong to another process.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _start_by_popen(request: SpawnRequest) -> int:
    popen = functools.partial(
        subprocess.Popen,
        request.words,
        executable=request.executable,
        stdin=request.stdin,
        stdout=request.stdout,
        stderr=request.stderr,
        cwd=request.cwd,
        env=request.environment.variables,
        pass_fds=request.pass_fds,
        start_new_session=True,
    )
    window = MarkWindow(request.mark)
    try:
        child = window.call(popen)
    except BaseException:
        window.clear_others(0)
        raise
    # Without a return code, the next Popen anywhere in the host would reap the child (``subprocess._cleanup``).
    child.returncode = 0
    window.clear_others(child.pid)
    return child.pid


def _error_of(report: bytes, executable: str, cwd: str | None) -> Exception:
    """Return the error that a child reports as ``name:errno in hex:text``."""
    name, number, text = report.split(b":", 2)
    kind = getattr(builtins, name.decode("ascii"), subprocess.SubprocessError)
    if kind is not OSError:
        return cast("Exception", kind(text.decode()))
    # Before exec, only the change of the working folder can fail.
    filename = executable if not text.startswith(b"noexec") else cwd
    code = int(number, 16)
    return OSError(code, os.strerror(code), filename)


def _find_fork_exec() -> Callable[..., int] | None:
    # Its arguments differ between versions. Python 3.11 to 3.13 receive security fixes only, so there they are fixed.
    # ``fork_with_mark`` relies on the interpreter's lock, which a free-threaded Python ("t") does not have.
    if sys.version_info >= (3, 14) or sys.platform != "linux" or "t" in sys.abiflags:
        return None
    import _posixsubprocess  # noqa: PLC0415  # another platform may not have it

    return cast("Any", _posixsubprocess).fork_exec  # type: ignore[no-any-return]  # it has no types


_fork_exec = _find_fork_exec()


# --- create_subprocess_exec in one step

Start = Callable[[tuple[str, ...], Mapping[str, object]], int]
"""Starts the program of the words and options of ``loop.subprocess_exec``; returns its process id."""


class _StandIn:
    """The event loop, transport and protocol that ``create_subprocess_exec`` sees during one call."""

    stdin = stdout = stderr = None

    def __init__(self, loop: asyncio.AbstractEventLoop, start: Start) -> None:
        self._loop = loop
        self._start = start
        self._pid = 0

    def __getattr__(self, name: str) -> object:
        # A signal handler of the host may run before ``subprocess_exec``, and ask for the running loop.
        return getattr(self._loop, name)

    async def subprocess_exec(
        self, _protocol: Callable[[], asyncio.BaseProtocol], *words: str, **options: object
    ) -> tuple[_StandIn, _StandIn]:
        # Audit hooks and signal handlers of the host run during a spawn. They must find the real loop and task.
        asyncio._set_running_loop(self._loop)  # noqa: SLF001  # as below
        self._pid = self._start(words, options)
        return self, self

    def get_pid(self) -> int:
        return self._pid


def call_in_one_step(call: Callable[[], Coroutine[Any, Any, object]], start: Start) -> None:
    """Run a call of ``create_subprocess_exec`` to its end without returning to the event loop.

    ``create_subprocess_exec`` asks the running loop to fork. For that one call a stand-in replaces the running loop of
    this thread. The stand-in has no pipes to connect, so the call has nothing to wait for, and no cancellation can come
    between the fork and the caller.

    Args:
        call: Function that returns the coroutine.
        start: Function that starts the program.

    Raises:
        OSError: If the program cannot be started.
    """
    loop = asyncio.get_running_loop()
    step = call()
    stand_in = cast("asyncio.AbstractEventLoop", _StandIn(loop, start))
    try:
        # Inside of the ``try``, as a signal handler of the host may raise after any call.
        asyncio._set_running_loop(stand_in)  # noqa: SLF001  # documented for implementations of event loops
        step.send(None)
    except StopIteration:
        return
    finally:
        asyncio._set_running_loop(loop)  # noqa: SLF001  # as above
        step.close()  # an interrupt may have come before the first step
    raise RuntimeError("asyncio.create_subprocess_exec awaits more than its event loop")


def can_answer_for(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether ``call_in_one_step`` may replace what an event loop does by itself.

    False for a loop that spawns in its own way (uvloop, a subclass, a test double), where other code has wrapped
    ``create_subprocess_exec``, and where the application has chosen a child watcher.
    """
    if asyncio.create_subprocess_exec is not _create:
        return False
    if _function_of(loop.subprocess_exec) is not _exec or _function_of(getattr(loop, _MAKE, None)) is not _make:
        return False
    return not _has_own_child_watcher() and _is_one_step()


# An event loop of asyncio forks in this method.
_MAKE = "_make_subprocess_transport"
_DEFAULT_WATCHERS = ("ThreadedChildWatcher", "PidfdChildWatcher")

_create = asyncio.create_subprocess_exec
_exec = asyncio.SelectorEventLoop.subprocess_exec
_make = getattr(asyncio.SelectorEventLoop, _MAKE, None)


def _function_of(method: object) -> object:
    return getattr(method, "__func__", None)


def _has_own_child_watcher() -> bool:
    if not hasattr(asyncio, "get_child_watcher"):  # Python 3.14 has removed them
        return False
    watcher: object = getattr(asyncio.get_event_loop_policy(), "_watcher", None)  # type: ignore[deprecated]  # not on the versions that have watchers
    return watcher is not None and type(watcher).__name__ not in _DEFAULT_WATCHERS


def _is_original() -> bool:
    """Return whether the functions are those of asyncio, and no wrappers that were there before this module."""
    # A wrapper may have the name and the module of the original, but it has other globals.
    return all(
        isinstance(function, FunctionType) and function.__globals__ is vars(module)
        for function, module in (
            (_create, asyncio.subprocess),
            (_exec, asyncio.base_events),
            (_make, asyncio.unix_events),
        )
    )


@functools.cache
def _is_one_step() -> bool:
    """Return whether ``create_subprocess_exec`` of this Python does exactly what ``call_in_one_step`` relies on.

    Tried once, without starting a program: the call must ask the running loop, pass on what it was given, and await
    nothing else.
    """
    if not _is_original():
        return False
    words = ("program", "argument")
    options: dict[str, object] = {
        "executable": "/program",
        "stdin": 10,
        "stdout": 11,
        "stderr": 12,
        "cwd": "/",
        "env": {},
        "pass_fds": (13,),
        "start_new_session": True,
    }
    asked: list[object] = []

    def record(*request: object) -> int:
        asked.append(request)
        return 1

    try:
        call_in_one_step(lambda: _create(*words, **cast("Any", options)), record)
    except Exception:  # noqa: BLE001  # any error means that this Python works differently
        return False
    return asked == [(words, options)]
