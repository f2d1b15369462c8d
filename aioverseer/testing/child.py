"""RunningChild: performs the steps of a script on a clock, and takes signals as a real process does.

It implements the protocol ``aioverseer.abc.Child``.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import itertools
import signal as signals
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from aioverseer.abc import Clock, Leftovers, ReadinessChannels, Timer
from aioverseer.core.errors import SpawnError
from aioverseer.core.export import exported_from
from aioverseer.core.options.containment import Survivor
from aioverseer.core.options.destinations import destinations, read_streams
from aioverseer.core.options.framing import FRAME_LIMIT
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit, as_signal
from aioverseer.core.text.framing import ItemDecoder, decoder_for
from aioverseer.core.typing import HasDescriptor, PathLike
from aioverseer.testing.descriptors import DescriptorInput, DescriptorOutput
from aioverseer.testing.pipes import ChildInput, ScriptedReadStream, ScriptedWriteStream
from aioverseer.testing.script import (
    AnswerStep,
    CloseStep,
    EndStep,
    FakeChild,
    LeaveStep,
    NotifyStep,
    PrintStep,
    ReadStep,
    RepeatStep,
    ScriptStep,
    StreamName,
    WaitStep,
    WriteReadyStep,
)

__all__ = ["LaunchedChildren", "RunningChild"]

_STREAMS: tuple[StreamName, StreamName] = ("stdout", "stderr")
_Output: TypeAlias = ScriptedReadStream | DescriptorOutput
_HARMLESS = frozenset({signals.SIGCONT, signals.SIGCHLD, signals.SIGWINCH, signals.SIGURG})
_STOPPING = frozenset({signals.SIGSTOP, signals.SIGTSTP, signals.SIGTTIN, signals.SIGTTOU})


@dataclass(slots=True)
class _StartedProcess:
    """A process that a child has started and left behind."""

    pid: int
    leave: LeaveStep
    alive: bool = True


class LaunchedChildren:
    """The children of one launcher, and the source of process ids for them and for processes they start."""

    def __init__(self) -> None:
        self.children: list[RunningChild] = []
        self.parents: list[RunningChild] = []
        """The children that have started processes."""
        self.pids = itertools.count(1001)

    @property
    def strays(self) -> list[Survivor]:
        """Live processes of children that have ended and were swept, without children whose leftovers are kept."""
        return [survivor for child in self._ended_parents() for survivor in child.leftovers()]

    def sweep(self) -> tuple[Survivor, ...]:
        """Kill the strays, and return the ones that are still there."""
        for child in self._ended_parents():
            child.end_leftovers()
        return tuple(self.strays)

    def _ended_parents(self) -> list[RunningChild]:
        return [child for child in self.parents if child.is_stray_parent]


class _Track:
    """A script that is being performed: that of the child, or of its reaction to a signal."""

    def __init__(self, steps: Sequence[ScriptStep]) -> None:
        self.timer: Timer | None = None
        self._steps = _flat(steps)
        self._put_back: list[ScriptStep] = []

    def next(self) -> ScriptStep | None:
        """Return the next step; None after the last one."""
        return self._put_back.pop() if self._put_back else next(self._steps, None)

    def put_back(self, step: ScriptStep) -> None:
        """Let ``next`` return this step before all others."""
        self._put_back.append(step)


def _flat(steps: Sequence[ScriptStep]) -> Iterator[ScriptStep]:
    for step in steps:
        if isinstance(step, RepeatStep):
            for _ in itertools.repeat(None) if step.times is None else itertools.repeat(None, step.times):
                yield from _flat(step.steps)
        else:
            yield step


class _ScriptedLeftovers:
    """The processes that an ended child has left; see ``aioverseer.abc.Leftovers``."""

    def __init__(self, child: RunningChild, processes: tuple[Survivor, ...]) -> None:
        self.processes = processes
        self._child = child

    def signal(self, number: int, *, missed: bool = False) -> None:
        if number not in _HARMLESS and number not in _STOPPING:
            self._child.end_leftovers(far_only=missed)

    async def wait(self) -> None:
        await self._child.wait_for_leftovers()

    def close(self) -> None:
        """Do nothing: there are no descriptors."""


@exported_from("aioverseer.testing")
class RunningChild:
    """A scripted child that runs. A test can also direct it by hand: ``print``, ``notify``, ``end``.

    Attributes:
        pid: A made-up process id.
        spec: The Spec of the launch.
        stdin: The pipe of its input, or None; ``stdin.received`` has all bytes that were written to it.
        signals: The signals that it received, in order, without SIGCONT.
        swept: Whether the rest of its process group was killed after its end.
        closed: Whether its pipes were closed.
        window_size: Columns and rows of its terminal.
    """

    def __init__(
        self,
        spec: Spec,
        script: FakeChild,
        clock: Clock,
        launched: LaunchedChildren,
        *,
        capture: bool,
        channels: ReadinessChannels | None = None,
    ) -> None:
        """Perform the first steps at once. For ``ScriptedLauncher``, which makes children.

        Args:
            spec: The Spec of the launch.
            script: The script to perform.
            clock: The clock of the script.
            launched: The children of the launcher.
            capture: Whether output is read through pipes.
            channels: Channels for readiness.
        """
        self.pid = next(launched.pids)
        self._channels = channels
        self.spec = spec
        self.signals: list[int] = []
        self.swept = False
        self.closed = False
        self.window_size = spec.window_size
        has_stdin_pipe = spec.pty or not (
            spec.stdin is None or spec.stdin == "inherit" or isinstance(spec.stdin, PathLike | HasDescriptor)
        )
        self.stdin = ScriptedWriteStream(terminal=spec.pty) if has_stdin_pipe else None
        read = read_streams(spec) if capture else frozenset[str]()
        self.stdout = ScriptedReadStream() if "stdout" in read else None
        self.stderr = ScriptedReadStream() if "stderr" in read else None
        self._input: ChildInput | None = self.stdin
        self._outputs: dict[StreamName, _Output] = {}
        """The output streams that the child has not closed; with ``merge_stderr`` one for both."""
        self._open_streams()
        self._script = script
        self._clock = clock
        self._launched = launched
        self._tracks: set[_Track] = set()
        self._stopped = False
        self._pending: list[int] = []
        self._decoder: ItemDecoder | None = None
        """The decoder of standard input; None for lines, which are taken from the pipe one by one."""
        self._items: deque[str | bytes] = deque()
        """Items of the input that the script has not read yet."""
        self._at_end = False
        """Whether the script has read the end of the input."""
        self._overdue: list[_Track] = []
        """Tracks whose timers fired while the child was stopped by SIGSTOP."""
        self._sinks = tuple({id(output): output for output in self._outputs.values()}.values())
        self._leftovers: list[_StartedProcess] = []
        self._relative_ended: asyncio.Future[None] | None = None
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._begin(script.steps)

    def _open_streams(self) -> None:
        """Copy the descriptors of the Spec, and find the outputs that the child can write to.

        Raises:
            SpawnError: If a file of the Spec is closed.
        """
        with ExitStack() as opened:
            try:
                if isinstance(self.spec.stdin, HasDescriptor):
                    self._input = DescriptorInput(self.spec.stdin)
                    opened.callback(self._input.break_off)
                self._open_outputs(opened)
            except (OSError, ValueError) as error:
                raise SpawnError(
                    f"service {self.spec.id!r} cannot be started: a file for its input or output is closed; keep it "
                    "open until the start",
                    errno=errno.EBADF,
                ) from error
            opened.pop_all()

    def _open_outputs(self, opened: ExitStack) -> None:
        for stream, place, pipe in zip(_STREAMS, destinations(self.spec), (self.stdout, self.stderr), strict=True):
            if stream == "stderr" and (self.spec.merge_stderr or self.spec.pty):
                if "stdout" in self._outputs:
                    self._outputs[stream] = self._outputs["stdout"]
            elif pipe is not None:
                self._outputs[stream] = pipe
            elif isinstance(place, HasDescriptor):
                output = DescriptorOutput(place, functools.partial(self._take, signals.SIGPIPE))
                self._outputs[stream] = output
                opened.callback(output.close)

    def __repr__(self) -> str:
        """Return id, pid, and the exit or whether it runs."""
        end = f"{self._exit.result()}" if self.has_ended else "is stopped" if self._stopped else "runs"
        return f"<RunningChild {self.spec.id!r} pid {self.pid} {end}>"

    # --- for the library: the protocol ``aioverseer.abc.Child``

    @property
    def has_ended(self) -> bool:
        """Whether the child itself has ended. Processes that it started may live on."""
        return self._exit.done()

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Receive a signal.

        Args:
            number: The number of the signal.
            leader_only: Whether other processes of its group do not receive the signal.

        Raises:
            ProcessLookupError: If the child has ended.
        """
        if self.has_ended:
            raise ProcessLookupError(errno.ESRCH, f"process {self.pid} has ended")
        if number != signals.SIGCONT:
            self.signals.append(number)
        if not leader_only and number not in _HARMLESS and number not in _STOPPING:
            self._end_group()
        self._take(number)

    def signal_outside(self, number: int, *, soon: float, late: float) -> None:
        """Do nothing: scripted daemons get their signals when their leader has ended."""

    async def wait(self) -> Exit:
        """Wait for the end and return the exit. Safe to cancel."""
        return await asyncio.shield(self._exit)

    def owns(self, pid: int) -> bool:
        """Return whether a process is the child, or was started by it."""
        return pid == self.pid or any(pid == leftover.pid for leftover in self._leftovers)

    def take_main(self, pid: int) -> int:
        """Return the process id if it is that of the child: processes that it starts have no script of their own.

        Raises:
            PermissionError: For any other process.
        """
        if pid != self.pid:
            raise PermissionError(errno.EPERM, "a scripted child is its own main process")
        return pid

    def resize(self, window_size: tuple[int, int]) -> None:
        """Set columns and rows of its terminal. A change sends SIGWINCH."""
        changed, self.window_size = window_size != self.window_size, window_size
        if changed and not self.has_ended:
            self._take(signals.SIGWINCH)

    async def find_leftovers(self, *, everywhere: bool) -> Leftovers | None:
        """Return the processes that it has left; None where there are none.

        Args:
            everywhere: Whether daemons are among them.
        """
        found = self.leftovers() if everywhere else self.leftovers(daemons=False)
        return _ScriptedLeftovers(self, tuple(found)) if found else None

    def sweep(self) -> None:
        """Kill the rest of its process group after its end."""
        self.swept = True
        self._end_group()

    def left_nothing(self) -> bool:
        """Return False, so that the library always calls ``sweep``."""
        return False

    def may_have_left(self) -> bool:
        """Return whether ended children of the launcher have left processes to kill."""
        return bool(self._launched.strays)

    async def sweep_all(self) -> tuple[Survivor, ...]:
        """Kill the leftovers of all ended children of the launcher, and return the ones that are still there."""
        return self._launched.sweep()

    def left(self) -> tuple[Survivor, ...]:
        """Return its leftovers if its Spec keeps leftovers; else nothing."""
        return () if self.spec.leftovers == "kill" else tuple(self.leftovers())

    def close(self) -> None:
        """Close its pipes."""
        self.closed = True
        for pipe in (self.stdin, *self._sinks):
            if pipe is not None:
                pipe.close()

    # --- for tests

    def print(self, text: str | bytes, *, stream: StreamName = "stdout") -> None:
        """Write text or bytes now, as they are. Data beyond the free room of the pipe is lost."""
        output = self._outputs.get(stream)
        if output is not None:
            output.feed(text.encode() if isinstance(text, str) else text)

    def notify(self, datagram: bytes) -> None:
        """Send a message of sd_notify(3) now, for example ``b"READY=1"``."""
        if self._channels is not None and self._channels.on_notify is not None:
            self._channels.on_notify(datagram)

    def write_ready(self, number: int = 3) -> None:
        """Write a newline to an inherited descriptor now."""
        channels = self._channels
        if channels is not None and channels.on_write is not None and number in channels.descriptors:
            channels.on_write(number, b"\n")

    def end(self, exit: Exit) -> None:
        """End now. Its pipes end as well, unless processes that it started hold them open."""
        if self.has_ended:
            return
        self._exit.set_result(exit)
        for track in self._tracks:
            if track.timer is not None:
                track.timer.cancel()
        self._tracks.clear()
        if self._input is not None:
            self._input.break_off()
        for stream in tuple(self._outputs):
            self._close_output(stream)

    # --- processes that it started

    @property
    def is_stray_parent(self) -> bool:
        """Whether the processes that it started are strays: it has ended, and they have had the time of the ladder."""
        return self.has_ended and (self.swept or self.closed) and self.spec.leftovers == "kill"

    def leftovers(self, *, daemons: bool = True) -> list[Survivor]:
        """Return the live processes that it started.

        Args:
            daemons: Whether those that have left its group are among them.
        """
        return [
            Survivor(pid=it.pid, command=it.leave.command)
            for it in self._leftovers
            if it.alive and (daemons or not it.leave.daemon)
        ]

    def end_leftovers(self, *, far_only: bool = False) -> None:
        """End the processes that it started, except immortal ones.

        Args:
            far_only: Whether only those end that have left its group.
        """
        for leftover in self._leftovers:
            if leftover.leave.daemon or not far_only:
                self._end_leftover(leftover)

    async def wait_for_leftovers(self) -> None:
        """Wait until no process that it started lives. Safe to cancel."""
        while self.leftovers():
            self._relative_ended = asyncio.get_running_loop().create_future()
            await self._relative_ended

    def _end_group(self) -> None:
        for leftover in self._leftovers:
            if not leftover.leave.daemon:
                self._end_leftover(leftover)

    def _end_leftover(self, leftover: _StartedProcess) -> None:
        if leftover.alive and not leftover.leave.immortal:
            leftover.alive = False
            if self._relative_ended is not None and not self._relative_ended.done():
                self._relative_ended.set_result(None)
            if not leftover.leave.daemon:
                for sink in self._sinks:
                    sink.drop_writer()

    def _leave(self, leave: LeaveStep) -> None:
        if not self._leftovers:
            self._launched.parents.append(self)
        self._leftovers.append(_StartedProcess(next(self._launched.pids), leave))
        if not leave.daemon:
            for sink in self._sinks:
                sink.add_writer()

    # --- signals

    def _take(self, number: int) -> None:
        if number == signals.SIGKILL and number not in self._script.ignored:
            self.end(Exit(signal=signals.SIGKILL))
        elif number == signals.SIGCONT:
            self._continue()
        elif self._stopped:
            # A stopped process handles no signals: they stay pending until SIGCONT.
            self._pending.append(number)
        elif number == signals.SIGSTOP:
            self._stopped = True
        elif (reaction := self._script.reactions.get(number)) is not None:
            self._begin(reaction.steps)
        elif number in self._script.ignored or number in _HARMLESS:
            pass
        elif number in _STOPPING:
            self._stopped = True
        else:
            self.end(Exit(signal=as_signal(number)))

    def _continue(self) -> None:
        self._stopped = False
        pending, self._pending = self._pending, []
        overdue, self._overdue = self._overdue, []
        if (reaction := self._script.reactions.get(signals.SIGCONT)) is not None:
            self._begin(reaction.steps)
        # As in the kernel, pending signals are handled before the program itself continues.
        for number in pending:
            if number not in _STOPPING and not self.has_ended:
                self._take(number)
        for track in overdue:
            self._go_on(track)

    # --- steps

    def _begin(self, steps: Sequence[ScriptStep]) -> None:
        track = _Track(steps)
        self._tracks.add(track)
        self._go_on(track)

    def _go_on(self, track: _Track) -> None:
        """Perform the next steps, up to a step that has to wait."""
        track.timer = None
        if self._stopped:
            self._overdue.append(track)
            return
        while not self.has_ended and (step := track.next()) is not None:
            if self._perform(track, step):
                return
        self._tracks.discard(track)

    def _perform(self, track: _Track, step: ScriptStep) -> bool:
        """Perform a step; return whether the track has to wait."""
        match step:
            case PrintStep():
                return self._write(track, step)
            case WaitStep():
                return self._pass_time(track, step.seconds)
            case ReadStep():
                return self._read(track, step)
            case AnswerStep():
                return self._answer(track, step)
            case EndStep():
                self.end(step.exit)
            case NotifyStep():
                self.notify(step.datagram)
            case WriteReadyStep():
                self.write_ready(step.number)
            case CloseStep():
                self._close_stream(step.stream)
            case LeaveStep():
                self._leave(step)
            case RepeatStep():
                raise AssertionError("a track is flat")
            case _:
                assert_never(step)
        return False

    def _pass_time(self, track: _Track, seconds: float) -> bool:
        if seconds > 0:
            track.timer = self._clock.call_at(self._clock.now() + seconds, functools.partial(self._go_on, track))
        return seconds > 0

    def _write(self, track: _Track, step: PrintStep) -> bool:
        output = self._outputs.get(step.stream)
        if output is None or (taken := output.feed(step.data)) == len(step.data):
            return False
        track.put_back(PrintStep(step.data[taken:], step.stream))
        output.when_room(functools.partial(self._go_on, track))
        return True

    def _read(self, track: _Track, step: ReadStep) -> bool:
        if step.pattern is None:
            self._items.clear()
            while data := self._read_input(track, step, whole=True):
                pass
            return data is None
        while (taken := self._take_item(track, step)) is not None:
            if not taken or step.pattern.search(_as_text(taken[0])):
                return False
        return True

    def _answer(self, track: _Track, step: AnswerStep) -> bool:
        taken = self._take_item(track, step)
        if taken:
            track.put_back(step)
            answer = step.reply(taken[0])
            if isinstance(answer, Exit):
                track.put_back(EndStep(answer))
            else:
                data = answer.encode() if isinstance(answer, str) else answer
                track.put_back(PrintStep((b"" if data is None else step.encode(data)) + step.prompt, "stdout"))
        return taken is None

    def _take_item(self, track: _Track, step: ReadStep | AnswerStep) -> Sequence[str | bytes] | None:
        """Return one item, or nothing at the end of the input. None means that the step waits for more input."""
        if step.framing is not None and self._decoder is None:
            self._decoder = decoder_for(step.framing, encoding=None, errors="strict", line_limit=FRAME_LIMIT)
        while not self._items:
            data = self._read_input(track, step, whole=self._decoder is not None)
            if data is None:
                return None
            self._items += self._items_of(data)
            if not data:
                break
        return [self._items.popleft()] if self._items else []

    def _items_of(self, data: bytes) -> Sequence[str | bytes]:
        was_at_end, self._at_end = self._at_end, not data
        if self._decoder is None:
            return [_as_text(data).removesuffix("\n")] if data else []
        if data:
            return self._decoder.feed(data)
        return [] if was_at_end else self._decoder.finish()

    def _read_input(self, track: _Track, step: ScriptStep, *, whole: bool) -> bytes | None:
        """Return the contents of the pipe, or one line, or b"" at its end. None means that the step is repeated."""
        if self._input is None or self._input.broken:
            return b""
        data = self._input.read_some() if whole else self._input.read_line()
        if data is None:
            track.put_back(step)
            self._input.when_input(functools.partial(self._go_on, track))
        return data

    def _close_stream(self, stream: Literal["stdin", "stdout", "stderr"]) -> None:
        if stream != "stdin":
            self._close_output(stream)
        elif self._input is not None:
            self._input.break_off()

    def _close_output(self, stream: StreamName) -> None:
        output = self._outputs.pop(stream, None)
        # A pipe that both streams share ends after the second one is closed.
        if output is not None and output not in self._outputs.values():
            output.drop_writer()


def _as_text(item: str | bytes) -> str:
    return item if isinstance(item, str) else item.decode("utf-8", "replace")
