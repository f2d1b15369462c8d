"""The one place that starts a program, signals it and learns of its end.

Every child goes through ``asyncio.create_subprocess_exec(..., start_new_session=True)`` with descriptors of our own:
with ``PIPE``, ``Process.wait()`` waits for whoever still holds the pipe (CPython gh-119710). Signals never go through
``Process.send_signal``, which on 3.12 can turn the true exit status into 255 (gh-87744). Nothing in here decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import functools
import os
import shlex
import signal
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, Self
from weakref import WeakValueDictionary

from aioverseer.core.errors import SpawnError
from aioverseer.core.spec import HasDescriptor, PathLike, Spec
from aioverseer.core.state import Exit
from aioverseer.system.pipes import ReadPipe, WritePipe
from aioverseer.system.programs import find
from aioverseer.system.seam import Preparation
from aioverseer.system.waiting import settle
from aioverseer.system.wrappers import passing, prefix_for

__all__ = ["SystemChild", "SystemLauncher"]

_PIDFD_SIGNAL_PROCESS_GROUP = 4  # Linux 6.9: to every member of the group that this pid leads

_SPAWN_GRACE = 0.5
"""Seconds for a spawn whose caller was cancelled to come to its end, before it is cancelled itself."""


class SystemChild:
    """A real child; see ``seam.Child``."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        *,
        stdin: WritePipe | None,
        stdout: ReadPipe | None,
        stderr: ReadPipe | None,
    ) -> None:
        self._process = process
        self._pidfd = _pidfd_of(process.pid)
        self._ended = False
        self.pid = process.pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Send a signal to the group, or to the leader alone; see ``seam.Child``."""
        if self._ended or self._process.returncode is not None:
            raise ProcessLookupError(errno.ESRCH, f"process {self.pid} has ended")
        if self._pidfd is not None and self._signal_by_pidfd(self._pidfd, number, leader_only=leader_only):
            return
        self._signal_by_number(number, leader_only=leader_only)

    async def wait(self) -> Exit:
        """Wait for the end of the leader; see ``seam.Child``."""
        returncode = await self._process.wait()
        self._ended = True
        return Exit.from_returncode(returncode)

    def resize(self, window_size: tuple[int, int]) -> None:
        """Set the size of its terminal; see ``seam.Child``."""
        from aioverseer.system.terminal import set_size  # noqa: PLC0415  # as below

        if self.stdout is not None and (descriptor := self.stdout.fileno()) >= 0:
            set_size(descriptor, window_size)

    def sweep(self) -> None:
        """Kill what is left in the group; see ``seam.Child``."""
        with contextlib.suppress(OSError):
            if self._pidfd is None or not self._signal_by_pidfd(self._pidfd, signal.SIGKILL, leader_only=False):
                self._sweep_by_number()

    def close(self) -> None:
        """Let go of every descriptor; see ``seam.Child``."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _sweep_by_number(self) -> None:
        # Needed often: a program that ends at once is reaped before a pidfd can be had. Its number is given to nobody
        # else while its group has a member (POSIX), so a group of this number without a leader is what ours has
        # left, and one with a leader is somebody else's. Both are asked without a signal.
        self._refuse_what_is_ours()
        try:
            os.getsid(self.pid)
        except ProcessLookupError:
            os.getpriority(os.PRIO_PGRP, self.pid)
            os.killpg(self.pid, signal.SIGKILL)

    def _signal_by_pidfd(self, pidfd: int, number: int, *, leader_only: bool) -> bool:
        """Send it and return True, or return False where this kernel cannot."""
        flags = 0 if leader_only else _PIDFD_SIGNAL_PROCESS_GROUP
        try:
            signal.pidfd_send_signal(pidfd, number, None, flags)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):  # before Linux 6.9, or before 5.1
                raise
            if error.errno == errno.EINVAL and not self._ended:
                # On 3.11 a thread reaps before asyncio tells: raise now if the number is the child's no more.
                signal.pidfd_send_signal(pidfd, 0)
            return False
        return True

    def _signal_by_number(self, number: int, *, leader_only: bool) -> None:
        # The number is still the child's: asyncio has not told of its end, and so nobody but the kernel can give it
        # away.
        self._refuse_what_is_ours()
        if leader_only:
            os.kill(self.pid, number)
        else:
            os.killpg(self.pid, number)

    def _refuse_what_is_ours(self) -> None:
        # 0 and 1 and our own group can only come from a bug, and would be a disaster: look once more.
        if self.pid <= 1 or self.pid in (os.getpid(), os.getpgrp()):
            raise ProcessLookupError(errno.ESRCH, f"{self.pid} is no child of this host")


_turns: WeakValueDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakValueDictionary()
"""Whose turn it is to spawn, for each event loop on which somebody wants to; an entry goes with the last of them."""


class SystemLauncher:
    """Starts real programs, one in each turn of the event loop; see ``seam.Launcher``.

    A spawn blocks the loop for a third of a millisecond. Two hundred that come due together would block it for
    seventy; with a turn of the loop between them the host stays responsive.
    """

    def __init__(self) -> None:
        # Kept as long as this launcher is used there, so that not each spawn makes the lock anew.
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    async def launch(self, spec: Spec, *, capture: bool, preparation: Preparation | None = None) -> SystemChild:
        """Start a program.

        Completes even when its caller is cancelled: the child, if there is one, is then killed with its group
        and reaped before the cancellation goes on, within about a second.

        Args:
            spec: What to start.
            capture: Whether its output comes through pipes.
            preparation: What it is given beyond its Spec; None is nothing.

        Raises:
            SpawnError: When it cannot be started; the message names the service, the value and what to do.
        """
        words = _command_line(spec, behind=preparation is not None and bool(preparation.descriptors))
        environment = _environment(spec)
        with _Descriptors(spec) as ours:
            ours.open(capture=capture)
            if preparation is not None:
                environment = {**(os.environ if environment is None else environment), **preparation.env}
                words = [*passing(preparation.descriptors), *words]
                ours.passed = tuple(preparation.descriptors.values())
            words = [*ours.prefix, *words]
            try:
                process = await self._spawn(spec, words, environment, ours)
            except (OSError, ValueError) as error:
                raise _explained(spec, words, error) from error
            return ours.hand_over(process)

    def _turn_on(self, loop: asyncio.AbstractEventLoop) -> asyncio.Lock:
        if self._turn is None or self._turn[0] is not loop:
            if (turn := _turns.get(loop)) is None:
                turn = _turns[loop] = asyncio.Lock()
            self._turn = loop, turn
        return self._turn[1]

    async def _spawn(
        self, spec: Spec, words: list[str], environment: Mapping[str, str] | None, ours: _Descriptors
    ) -> asyncio.subprocess.Process:
        loop = asyncio.get_running_loop()
        turn = self._turn_on(loop)
        outcome: asyncio.Future[asyncio.subprocess.Process] = loop.create_future()
        await turn.acquire()
        spawn = functools.partial(
            asyncio.create_subprocess_exec,
            *words,
            # Else the child would try each folder by an exec that fails, while the host waits for it in vfork.
            executable=find(words[0], _search_path(spec), absolute=True) if "/" not in words[0] else None,
            stdin=ours.child_stdin,
            stdout=ours.child_stdout,
            stderr=ours.child_stderr,
            cwd=spec.cwd,
            env=environment,
            start_new_session=True,
        )
        if ours.passed:
            spawn = functools.partial(spawn, pass_fds=ours.passed)
        # A task of its own, because a cancellation inside create_subprocess_exec kills the leader alone, and
        # hangs for ever when every task of the loop is cancelled at once (gh-125502, gh-133536).
        task = loop.create_task(_spawn_for(outcome, spawn), name=f"aioverseer spawn {spec.id}")
        task.add_done_callback(functools.partial(_tell_failure, outcome))
        # Called right behind the first step of the task, which is the spawn itself; what remains of it needs no turn.
        loop.call_soon(turn.release)
        try:
            return await outcome
        except asyncio.CancelledError:
            await _abandon(task)
            raise


async def _spawn_for(
    outcome: asyncio.Future[asyncio.subprocess.Process],
    spawn: Callable[[], Coroutine[Any, Any, asyncio.subprocess.Process]],
) -> asyncio.subprocess.Process:
    """Spawn, and wake who waits for it at once: by way of the end of this task it would be a turn of the loop later."""
    process = await spawn()
    if not outcome.done():
        outcome.set_result(process)
    return process


def _tell_failure(
    outcome: asyncio.Future[asyncio.subprocess.Process], task: asyncio.Task[asyncio.subprocess.Process]
) -> None:
    if outcome.done():  # it was told, or nobody waits any more
        return
    if task.cancelled():
        outcome.cancel()
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)


async def _abandon(task: asyncio.Task[asyncio.subprocess.Process]) -> None:
    """Bring a spawn to its end that nobody wants any more, and end what it started."""
    await settle(task, within=_SPAWN_GRACE)
    if not task.done():
        task.cancel()
        await settle(task, within=_SPAWN_GRACE)
    if not task.done() or task.cancelled() or task.exception() is not None:
        return
    process = task.result()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    await settle(asyncio.ensure_future(process.wait()), within=_SPAWN_GRACE)


class _Descriptors:
    """The descriptors of one launch: the child's ends are closed in any case, ours unless handed over."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._theirs: list[int] = []
        self._stdin: WritePipe | None = None
        self._stdout: ReadPipe | None = None
        self._stderr: ReadPipe | None = None
        self.prefix: list[str] = []
        self.passed: tuple[int, ...] = ()
        self.child_stdin: int | None = asyncio.subprocess.DEVNULL
        self.child_stdout: int = asyncio.subprocess.DEVNULL
        self.child_stderr: int = asyncio.subprocess.DEVNULL

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for descriptor in self._theirs:
            os.close(descriptor)
        for pipe in (self._stdin, self._stdout, self._stderr):
            if pipe is not None:
                pipe.close()

    def hand_over(self, process: asyncio.subprocess.Process) -> SystemChild:
        """Give our ends to the child that they belong to; it closes them."""
        child = SystemChild(process, stdin=self._stdin, stdout=self._stdout, stderr=self._stderr)
        self._stdin = self._stdout = self._stderr = None
        return child

    def open(self, *, capture: bool) -> None:
        """Open what the Spec asks for.

        Raises:
            SpawnError: When the system has no descriptors left, or the file to read is not there.
        """
        spec = self._spec
        try:
            if spec.pty:
                self._open_terminal(spec)
                return
            self._open_stdin(spec)
            if not capture:
                return
            self._stdout, self.child_stdout = self._reading()
            if spec.merge_stderr:
                self.child_stderr = asyncio.subprocess.STDOUT
            else:
                self._stderr, self.child_stderr = self._reading()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise _explained(spec, list(spec.argv), error) from error
            raise SpawnError(
                f"service {spec.id!r} cannot be started with stdin={str(spec.stdin)!r}: {error.strerror}",
                errno=error.errno,
                filename=str(spec.stdin),
            ) from error

    def _open_terminal(self, spec: Spec) -> None:
        # Few programs have one, and hosts without terminals need not have termios.
        from aioverseer.system.terminal import TerminalInput, controlled, open_terminal  # noqa: PLC0415

        ours, theirs = open_terminal(spec.window_size)
        self._theirs.append(theirs)
        # Held, because to close it hangs the terminal up: a program that closes its output before it exits, as those of
        # GNU do, would be killed by SIGHUP in between.
        self._stdout = ReadPipe(ours, hold=True)
        self._stdin = TerminalInput(fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 0))
        self.child_stdin = self.child_stdout = self.child_stderr = theirs
        self.prefix = controlled(os.ttyname(theirs))

    def _open_stdin(self, spec: Spec) -> None:
        if spec.stdin is None:
            return
        if spec.stdin == "inherit":
            self.child_stdin = None
        elif isinstance(spec.stdin, PathLike):
            # A FIFO without a writer must not hold up the event loop, nor a terminal become the host's.
            self.child_stdin = os.open(spec.stdin, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            self._theirs.append(self.child_stdin)
            os.set_blocking(self.child_stdin, True)
        elif isinstance(spec.stdin, HasDescriptor):
            self.child_stdin = spec.stdin.fileno()
        else:
            read, write = os.pipe()
            self._theirs.append(read)
            self._stdin = WritePipe(write)
            self.child_stdin = read

    def _reading(self) -> tuple[ReadPipe, int]:
        read, write = os.pipe()
        self._theirs.append(write)
        return ReadPipe(read), write


def _pidfd_of(pid: int) -> int | None:
    """Open a pidfd for a child just spawned; None where it is gone already, or the system has none."""
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, AttributeError):
        # Gone: on 3.11 a thread of asyncio reaps at once. Or not Linux, or forbidden in this container.
        return None
    # Between the end of a child and here its number could have been given away. Ours leads its own session.
    try:
        ours = os.getsid(pid) == pid
    except OSError:
        ours = False
    if ours:
        return pidfd
    os.close(pidfd)
    return None


def _environment(spec: Spec) -> dict[str, str] | None:
    if spec.env is None and not spec.extra_env:
        return None
    base = os.environ if spec.env is None else spec.env
    return {**base, **spec.extra_env}


def _command_line(spec: Spec, *, behind: bool) -> list[str]:
    prefix = prefix_for(spec)
    if prefix or spec.pty or behind:
        # Behind a wrapper a missing program would be its exit code 127, and no error: look beforehand.
        with _as_spawn_error(spec):
            _look_up(spec)
    return [*prefix, *spec.argv]


@contextlib.contextmanager
def _as_spawn_error(spec: Spec) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise _explained(spec, list(spec.argv), error) from error


def _look_up(spec: Spec) -> None:
    if spec.cwd is not None and not os.path.isdir(spec.cwd):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), spec.cwd)
    if not _is_found(spec):
        number = errno.EACCES if os.path.exists(_program(spec)) else errno.ENOENT
        raise OSError(number, os.strerror(number), spec.argv[0])


def _program(spec: Spec) -> str:
    """Return the program as it is looked for: a path is taken from the folder to run in."""
    program = spec.argv[0]
    return os.path.join(spec.cwd or "", program) if "/" in program else program


def _is_found(spec: Spec) -> bool:
    return find(_program(spec), _search_path(spec)) is not None


def _search_path(spec: Spec) -> str | None:
    environment = _environment(spec)
    return os.environ.get("PATH") if environment is None else environment.get("PATH", os.defpath)


def _explained(spec: Spec, words: list[str], error: OSError | ValueError) -> SpawnError:
    """Turn what the system said into a sentence that names the service, the value and what to do."""
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
            why = "there are no file descriptors left: raise the limit (ulimit -n); a service needs about four"
        case errno.E2BIG:
            why = "its arguments and environment are too long for this system: pass them in a file"
        case errno.EAGAIN | errno.ENOMEM:
            why = f"the system has no room for another process ({os.strerror(number)}): see ulimit -u and free memory"
        case _:
            why = f"{shlex.join(words)}: {error}"
    return SpawnError(text + why, errno=number, filename=filename or program)
