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
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any, Protocol, Self, TypeAlias

from aioverseer.core.containment import AskedContainment, Containment, Survivor
from aioverseer.core.errors import ContainmentError, SpawnError
from aioverseer.core.spec import HasDescriptor, PathLike, Spec
from aioverseer.core.state import Exit
from aioverseer.system.child_watch import ChildWatch, begin
from aioverseer.system.commons import Commons
from aioverseer.system.containment.cage import Cage, Cages, sweep_strays
from aioverseer.system.descriptors import fitting
from aioverseer.system.environment import own_environment
from aioverseer.system.exits import exit_of, listen, unlisten
from aioverseer.system.pipes import ReadPipe, WritePipe
from aioverseer.system.programs import find, locate
from aioverseer.system.seam import Preparation
from aioverseer.system.waiting import settle
from aioverseer.system.wrappers import passing, prefix_for

__all__ = ["SystemChild", "SystemLauncher"]

_PIDFD_SIGNAL_PROCESS_GROUP = 4  # Linux 6.9: to every member of the group that this pid leads

_STDOUT = 1
"""Where the host itself writes, and a child that inherits that."""

_SPAWN_GRACE = 0.5
"""Seconds for a spawn whose caller was cancelled to come to its end, before it is cancelled itself."""


class _End(Protocol):
    """How the end of a child is learnt of, and what refers to it until then."""

    pid: int
    pidfd: int | None

    @property
    def exit(self) -> Exit | None: ...
    async def wait(self) -> Exit: ...
    def handle(self) -> int | None: ...
    def release(self) -> None: ...


class _ProcessEnd:
    """The same where asyncio alone watches the child."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._exit: Exit | None = None
        self.pid = process.pid
        self.pidfd: int | None = None
        listen(self)

    @property
    def exit(self) -> Exit | None:
        if self._exit is None and self._process.returncode is not None:
            self._exit = exit_of(self._process.returncode, self.pid, self.pidfd)
        return self._exit

    async def wait(self) -> Exit:
        returncode = await self._process.wait()
        return self.exit or Exit.from_returncode(returncode)

    def handle(self) -> int | None:
        """Return a pidfd, made for the first signal; None where the system has none.

        Raises:
            ProcessLookupError: When the child has been reaped: asyncio is about to tell.
        """
        if self.pidfd is None:
            self.pidfd = _pidfd_of(self.pid)
        return self.pidfd

    def release(self) -> None:
        unlisten(self)
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None


class SystemChild:
    """A real child; see ``seam.Child``."""

    def __init__(
        self,
        end: _End,
        commons: Commons,
        *,
        cage: Cage,
        stdin: WritePipe | None,
        stdout: ReadPipe | None,
        stderr: ReadPipe | None,
    ) -> None:
        self._end = end
        self._commons: Commons | None = commons  # held for it
        self._cage = cage
        self.pid = end.pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Send a signal to the group, or to the leader alone; see ``seam.Child``."""
        if self._end.exit is not None:
            raise ProcessLookupError(errno.ESRCH, f"process {self.pid} has ended")
        shim = self._cage.shim
        if shim is not None and shim.relay(number, leader_only=leader_only):
            # One that was stopped could not do it.
            number, leader_only = signal.SIGCONT, True
        if number == signal.SIGKILL and not leader_only:
            # Beside the signal to the group: it may not have entered yet.
            self._cage.kill()
        pidfd = self._end.handle()
        if pidfd is None or not self._signal_by_pidfd(pidfd, number, leader_only=leader_only):
            self._signal_by_number(number, leader_only=leader_only)

    async def wait(self) -> Exit:
        """Wait for the end of the leader; see ``seam.Child``."""
        return await self._cage.ended(await self._end.wait())

    def resize(self, window_size: tuple[int, int]) -> None:
        """Set the size of its terminal; see ``seam.Child``."""
        from aioverseer.system.terminal import set_size  # noqa: PLC0415  # as below

        if self.stdout is not None and (descriptor := self.stdout.fileno()) >= 0:
            set_size(descriptor, window_size)

    def sweep(self) -> None:
        """Kill what is left in the group; see ``seam.Child``."""
        pidfd = self._end.pidfd
        try:
            if pidfd is None or not self._signal_by_pidfd(pidfd, signal.SIGKILL, leader_only=False):
                _sweep_group(self.pid)
        except OSError:  # mostly: nothing is left
            return

    def left_nothing(self) -> bool:
        """Return whether neither ``sweep`` nor ``sweep_all`` could find anything; see ``seam.Child``."""
        return self._cage.left_nothing()

    def may_have_left(self) -> bool:
        """Return whether ``sweep_all`` could find anything; see ``seam.Child``."""
        return self._cage.may_have_left()

    async def sweep_all(self) -> tuple[Survivor, ...]:
        """Kill what has left the group too; see ``seam.Child``."""
        return await self._cage.sweep()

    def left(self) -> tuple[Survivor, ...]:
        """Return what it has left behind; see ``seam.Child``."""
        return self._cage.left()

    def close(self) -> None:
        """Let go of every descriptor; see ``seam.Child``."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        self._end.release()
        if self._commons is not None:
            self._commons.release()
            self._commons = None

    def _signal_by_pidfd(self, pidfd: int, number: int, *, leader_only: bool) -> bool:
        """Send it and return True, or return False where this kernel cannot."""
        flags = 0 if leader_only else _PIDFD_SIGNAL_PROCESS_GROUP
        try:
            signal.pidfd_send_signal(pidfd, number, None, flags)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):  # before Linux 6.9, or before 5.1
                raise
            if error.errno == errno.EINVAL and self._end.exit is None:
                # A thread of asyncio reaps before it tells: raise now if the number is the child's no more.
                signal.pidfd_send_signal(pidfd, 0)
            return False
        return True

    def _signal_by_number(self, number: int, *, leader_only: bool) -> None:
        # The number is still the child's, or the kernel would say that we have no such child.
        _refuse_what_is_ours(self.pid)
        _ask_whether_ours(os.P_PID, self.pid)
        if leader_only:
            os.kill(self.pid, number)
        else:
            os.killpg(self.pid, number)


class SystemLauncher:
    """Starts real programs, one in each turn of the event loop; see ``seam.Launcher``.

    A spawn blocks the loop for a third of a millisecond. Two hundred that come due together would block it for
    seventy; with a turn of the loop between them the host stays responsive.
    """

    def __init__(self, *, containment: AskedContainment = "basic") -> None:
        """Start nothing yet.

        Args:
            containment: The level to contain programs at.

        Raises:
            ContainmentError: When it cannot be had.
        """
        self._cages = Cages(containment)
        self._others: dict[AskedContainment, Cages] = {}
        self._kept: Commons | None = None

    def keep(self) -> None:
        """Keep what its programs share on the running event loop between them, until ``let_go``. Idempotent."""
        commons = Commons.on(asyncio.get_running_loop())
        if commons is not self._kept:
            self.let_go()
            commons.hold()
            self._kept = commons

    def let_go(self) -> None:
        """Keep nothing between programs any more. Idempotent."""
        if self._kept is not None:
            self._kept.release()
            self._kept = None

    @property
    def containment(self) -> Containment:
        """Which level of containment is in force."""
        return self._cages.containment

    def containment_of(self, spec: Spec) -> Containment:
        """Return which level is in force for a program; see ``seam.Launcher``."""
        asked = spec.containment or self._cages.asked
        return self._others.get(asked, self._cages).containment

    def _cages_for(self, spec: Spec) -> Cages:
        asked = spec.containment
        if asked is None or asked == self._cages.asked:
            return self._cages
        if asked not in self._others:
            try:
                self._others[asked] = Cages(asked)
            except ContainmentError as error:
                raise SpawnError(
                    f"service {spec.id!r} cannot be started: {error}", errno=errno.ENOTSUP, filename=spec.argv[0]
                ) from error
        return self._others[asked]

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill what the ended runs of this host have left behind; see ``seam.Launcher``."""
        return await sweep_strays()

    async def close(self) -> tuple[Survivor, ...]:
        """End what its programs have left behind, and what contained them; see ``seam.Launcher``."""
        left = await self._cages.close()
        for cages in tuple(self._others.values()):
            left = await cages.close()
        return left

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
        descriptors: Mapping[int, int] = {} if preparation is None else preparation.descriptors
        words = [*passing(descriptors), *_command_line(spec, behind=bool(descriptors))]
        loop = asyncio.get_running_loop()
        commons = self._kept
        if commons is None or commons.loop is not loop:
            commons = Commons.on(loop)
        cage = await self._cages_for(spec).prepare(spec)
        commons.hold()
        watch: ChildWatch | None = None
        try:
            # Before anything is opened: a thousand that wait here must not hold the descriptors of a thousand spawns,
            # and each spawn takes longer the more are open.
            await commons.turns.take()
            given = _environment(spec)
            path = own_environment().get(b"PATH") if given is None else given.get("PATH", os.defpath)
            if preparation is not None and preparation.env:
                given = {**(os.environ if given is None else given), **preparation.env}
            environment = cage.environment(given)
            watch = ChildWatch(commons.readers, environment)
            with _Descriptors(spec, commons) as ours:
                ours.open(capture=capture)
                shim = cage.shim
                if wrapped := cage.prefix:
                    with _as_spawn_error(spec):
                        _look_up(spec)
                    words = [*wrapped, *words]
                words = [*ours.prefix, *words]
                spawn = functools.partial(
                    asyncio.create_subprocess_exec,
                    *words,
                    executable=locate(words[0], path) if "/" not in words[0] else None,
                    stdin=ours.child_stdin,
                    stdout=ours.child_stdout,
                    stderr=ours.child_stderr,
                    cwd=spec.cwd,
                    env=environment.variables,
                    pass_fds=(*descriptors.values(), *(() if shim is None else shim.pass_fds)),
                    start_new_session=True,
                )
                try:
                    rest = begin(watch, spawn)
                    end: _End = watch if rest is None else _ProcessEnd(await _finish(loop, rest, spec.id))
                except (OSError, ValueError) as error:
                    raise _explained(spec, words, error) from error
                cage.adopt(end.pid)
                return ours.hand_over(end, cage)
        except BaseException:
            cage.end()
            if watch is not None:
                watch.release()
            commons.release()
            raise


_Spawned: TypeAlias = "asyncio.subprocess.Process"


async def _finish(loop: asyncio.AbstractEventLoop, rest: Callable[[], Awaitable[_Spawned]], id: str) -> _Spawned:
    """Wait for a spawn that takes more than a step."""
    outcome: asyncio.Future[_Spawned] = loop.create_future()
    # A task of its own, because a cancellation inside create_subprocess_exec kills the leader alone, and
    # hangs for ever when every task of the loop is cancelled at once (gh-125502, gh-133536).
    task = _start(loop, outcome, _spawn_for(outcome, rest), f"aioverseer spawn {id}")
    try:
        return await outcome
    except asyncio.CancelledError:
        await _abandon(task)
        raise


def _start(
    loop: asyncio.AbstractEventLoop,
    outcome: asyncio.Future[_Spawned],
    work: Coroutine[Any, Any, _Spawned | None],
    name: str,
) -> asyncio.Task[_Spawned | None]:
    """Start a task, and take its first step at once where Python can: that saves a turn of the loop."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, name=name, eager_start=True)
    task = loop.create_task(work, name=name)
    # Cancelled before its first step it could not tell.
    task.add_done_callback(lambda task: outcome.cancel() if task.cancelled() else None)
    return task


async def _spawn_for(outcome: asyncio.Future[_Spawned], rest: Callable[[], Awaitable[_Spawned]]) -> _Spawned | None:
    """Spawn, and tell who waits for it at once: by way of the end of this task it would be a turn of the loop later."""
    try:
        process = await rest()
    except asyncio.CancelledError as error:
        # All tasks of the loop are cancelled, this one too. asyncio has killed the leader; only it knew the pid.
        _end_group_of_cancelled(error)
        outcome.cancel()
        raise
    except Exception as error:  # noqa: BLE001  # it goes to who waits
        if not outcome.done():
            outcome.set_exception(error)
        return None
    if not outcome.done():
        outcome.set_result(process)
    return process


def _end_group_of_cancelled(error: asyncio.CancelledError) -> None:
    """End what a leader has started whose spawn was cancelled in the turn in which it was forked.

    The transport is nowhere to be had but in the frames through which the cancellation came. Where it is not (uvloop),
    or where there was no fork yet, nothing is done.
    """
    trace = error.__traceback__
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            if isinstance(value, asyncio.SubprocessTransport):
                with contextlib.suppress(OSError):
                    if value.get_returncode() is None:
                        _refuse_what_is_ours(value.get_pid())
                        os.killpg(value.get_pid(), signal.SIGKILL)
                    else:
                        _sweep_group(value.get_pid())
                return
        trace = trace.tb_next


def _sweep_group(pid: int) -> None:
    # Its number is given to nobody else while its group has a member (POSIX), so a group of this number without a
    # leader is what ours has left, and one with a leader is somebody else's. Both are asked without a signal; mostly
    # there is no such group.
    os.getpriority(os.PRIO_PGRP, pid)
    _refuse_what_is_ours(pid)
    try:
        os.getsid(pid)
    except ProcessLookupError:
        os.killpg(pid, signal.SIGKILL)


def _refuse_what_is_ours(pid: int) -> None:
    # 0 and 1 and our own group can only come from a bug, and would be a disaster: look once more.
    if pid <= 1 or pid in (os.getpid(), os.getpgrp()):
        raise ProcessLookupError(errno.ESRCH, f"{pid} is no child of this host")


async def _abandon(task: asyncio.Task[_Spawned | None]) -> None:
    """Bring a spawn to its end that nobody wants any more, and end what it started."""
    await settle(task, within=_SPAWN_GRACE)
    if not task.done():
        task.cancel()
        await settle(task, within=_SPAWN_GRACE)
    if not task.done() or task.cancelled() or task.exception() is not None:
        return
    process = task.result()
    if process is None:  # it could not be started
        return
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    await settle(asyncio.ensure_future(process.wait()), within=_SPAWN_GRACE)


class _Descriptors:
    """The descriptors of one launch: the child's ends are closed in any case, ours unless handed over."""

    def __init__(self, spec: Spec, commons: Commons) -> None:
        self._spec = spec
        self._commons = commons
        self._theirs: list[int] = []
        self._stdin: WritePipe | None = None
        self._stdout: ReadPipe | None = None
        self._stderr: ReadPipe | None = None
        self.prefix: list[str] = []
        self.child_stdin: int | None = None
        self.child_stdout: int | None = None
        self.child_stderr: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for descriptor in self._theirs:
            os.close(descriptor)
        for pipe in (self._stdin, self._stdout, self._stderr):
            if pipe is not None:
                pipe.close()

    def hand_over(self, end: _End, cage: Cage) -> SystemChild:
        """Give our ends to the child that they belong to; it closes them."""
        child = SystemChild(end, self._commons, cage=cage, stdin=self._stdin, stdout=self._stdout, stderr=self._stderr)
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
            self.child_stdin = self.child_stdout = self.child_stderr = self._commons.null
            self._open_stdin(spec)
            if not capture:
                if spec.output == "inherit":
                    self.child_stdout = None
                    self.child_stderr = _STDOUT if spec.merge_stderr else None
                return
            self._stdout, self.child_stdout = self._reading()
            if spec.merge_stderr:
                self.child_stderr = self.child_stdout
            else:
                self._stderr, self.child_stderr = self._reading()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise _explained(spec, list(spec.argv), error) from error
            raise SpawnError(
                f"service {spec.id!r} cannot be started with stdin={str(spec.stdin)!r}: {error.strerror}; "
                "name a file that can be read",
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
        self._stdout = ReadPipe(ours, hold=True, watch=self._commons.readers)
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
        return ReadPipe(read, watch=self._commons.readers), write


def _pidfd_of(pid: int) -> int | None:
    """Open a pidfd for a child that has not been reaped; None where the system has none.

    Raises:
        ProcessLookupError: When it has been reaped: asyncio is about to tell.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (OSError, AttributeError):
        return None  # not Linux, or forbidden in this container, or no descriptor is left
    try:
        # Before it was opened the number could have been given away.
        _ask_whether_ours(os.P_PIDFD, pidfd)
    except ProcessLookupError:
        os.close(pidfd)
        raise
    return pidfd


def _ask_whether_ours(kind: int, number: int) -> None:
    """Ask the kernel whether that is a child of this host which nobody has reaped; that changes nothing.

    Raises:
        ProcessLookupError: When it is not.
    """
    try:
        os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        raise ProcessLookupError(errno.ESRCH, f"process {number} has ended") from None


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
    given = _environment(spec)
    path = os.environ.get("PATH") if given is None else given.get("PATH", os.defpath)
    return find(_program(spec), path) is not None


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
