"""The scripted child at work: performs the steps of its script on a clock, and takes signals as the kernel would.

Keeps the ``Child`` protocol of ``_system/protocols.py``. What a script says is made in ``script.py``; which script comes
next, and for whom, is decided in ``launcher.py``.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import itertools
import signal as signals
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from aioverseer._system.protocols import ReadinessChannels
from aioverseer.core.clock import Clock, Timer
from aioverseer.core.export import exported_from
from aioverseer.core.options.containment import Survivor
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit, as_signal
from aioverseer.core.typing import HasDescriptor, PathLike
from aioverseer.testing.pipes import ScriptedSink, ScriptedSource
from aioverseer.testing.script import (
    Answer,
    Close,
    End,
    FakeChild,
    Leave,
    Notify,
    Print,
    Read,
    Repeat,
    Step,
    StreamName,
    Wait,
    WriteReady,
)

__all__ = ["Family", "RunningChild"]

_HARMLESS = frozenset({signals.SIGCONT, signals.SIGCHLD, signals.SIGWINCH, signals.SIGURG})
_STOPPING = frozenset({signals.SIGSTOP, signals.SIGTSTP, signals.SIGTTIN, signals.SIGTTOU})


@dataclass(slots=True)
class _Relative:
    """A process that a child has started."""

    pid: int
    leave: Leave
    alive: bool = True


class Family:
    """The children of one launcher, with what they have left behind; the numbers of all of them."""

    def __init__(self) -> None:
        self.children: list[RunningChild] = []
        self.parents: list[RunningChild] = []
        """Those of them that have started something."""
        self.pids = itertools.count(1001)

    @property
    def strays(self) -> list[Survivor]:
        """What ended children have left behind that is not to be kept."""
        return [survivor for child in self._ended() for survivor in child.relatives()]

    def sweep(self) -> tuple[Survivor, ...]:
        """Kill it, and return what is still there."""
        for child in self._ended():
            child.end_relatives()
        return tuple(self.strays)

    def _ended(self) -> list[RunningChild]:
        return [child for child in self.parents if child.has_ended and child.spec.leftovers == "kill"]


class _Track:
    """The script of a child, or of its reaction to a signal, and how far it has come."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.timer: Timer | None = None
        self._steps = _flat(steps)
        self._first: list[Step] = []

    def next(self) -> Step | None:
        """Return the next step; None behind the last."""
        return self._first.pop() if self._first else next(self._steps, None)

    def put_back(self, step: Step) -> None:
        """Have a step done before all others."""
        self._first.append(step)


def _flat(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, Repeat):
            for _ in itertools.repeat(None) if step.times is None else itertools.repeat(None, step.times):
                yield from _flat(step.steps)
        else:
            yield step


@exported_from("aioverseer.testing")
class RunningChild:
    """A scripted child at work; a test may also have it do something by hand: ``print``, ``notify``, ``end``.

    Attributes:
        pid: A made-up number.
        spec: What was launched.
        signals: The signals that it got, in order, without SIGCONT.
        swept: Whether what it left in its group was killed after its end.
        closed: Whether its descriptors were let go of.
        window_size: Columns and rows of its terminal.
    """

    def __init__(
        self,
        spec: Spec,
        script: FakeChild,
        clock: Clock,
        family: Family,
        *,
        capture: bool,
        preparation: ReadinessChannels | None = None,
    ) -> None:
        """Made by a ``ScriptedLauncher``; the first steps are done at once."""
        self.pid = next(family.pids)
        self._preparation = preparation
        self.spec = spec
        self.signals: list[int] = []
        self.swept = False
        self.closed = False
        self.window_size = spec.window_size
        feeds = spec.pty or not (
            spec.stdin is None or spec.stdin == "inherit" or isinstance(spec.stdin, PathLike | HasDescriptor)
        )
        self.stdin = ScriptedSink(terminal=spec.pty) if feeds else None
        self.stdout = ScriptedSource() if capture else None
        self.stderr = ScriptedSource() if capture and not (spec.merge_stderr or spec.pty) else None
        self._script = script
        self._clock = clock
        self._family = family
        self._tracks: set[_Track] = set()
        self._stopped = False
        self._pending: list[int] = []
        self._late: list[_Track] = []
        """Tracks whose time has come while it was stopped."""
        self._open: set[StreamName] = {"stdout", "stderr"}
        """What it has not closed itself."""
        self._relatives: list[_Relative] = []
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._begin(script.steps)

    def __repr__(self) -> str:
        """Return id, pid and how it ended."""
        end = f"{self._exit.result()}" if self.has_ended else "is stopped" if self._stopped else "runs"
        return f"<RunningChild {self.spec.id!r} pid {self.pid} {end}>"

    # --- what the library does with it

    @property
    def has_ended(self) -> bool:
        """Whether its leader has ended."""
        return self._exit.done()

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Take a signal; see ``seam.Child``."""
        if self.has_ended:
            raise ProcessLookupError(errno.ESRCH, f"process {self.pid} has ended")
        if number != signals.SIGCONT:
            self.signals.append(number)
        if not leader_only and number not in _HARMLESS and number not in _STOPPING:
            self._end_group()
        self._take(number)

    async def wait(self) -> Exit:
        """Wait for the end; see ``seam.Child``."""
        return await asyncio.shield(self._exit)

    def resize(self, window_size: tuple[int, int]) -> None:
        """Set the size of its terminal, and tell it when that changes; see ``seam.Child``."""
        changed, self.window_size = window_size != self.window_size, window_size
        if changed and not self.has_ended:
            self._take(signals.SIGWINCH)

    def sweep(self) -> None:
        """Kill what the ended leader left in its group; see ``seam.Child``."""
        self.swept = True
        self._end_group()

    def left_nothing(self) -> bool:
        """Return False: what there is, ``sweep`` finds; see ``seam.Child``."""
        return False

    def may_have_left(self) -> bool:
        """Return whether there is anything; see ``seam.Child``."""
        return bool(self._family.strays)

    async def sweep_all(self) -> tuple[Survivor, ...]:
        """Kill what all ended children have left behind; see ``seam.Child``."""
        return self._family.sweep()

    def left(self) -> tuple[Survivor, ...]:
        """Return what it has left behind, where that is not to be killed; see ``seam.Child``."""
        return () if self.spec.leftovers == "kill" else tuple(self.relatives())

    def close(self) -> None:
        """Let go of its pipes; see ``seam.Child``."""
        self.closed = True
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()

    # --- what a test does with it

    def print(self, text: str, *, stream: StreamName = "stdout") -> None:
        """Write text, now; what finds no room in a pipe is lost."""
        source = self._source(stream)
        if source is not None:
            source.feed(text.encode())

    def notify(self, datagram: bytes) -> None:
        """Send a notice, now."""
        if self._preparation is not None and self._preparation.hear is not None:
            self._preparation.hear(datagram)

    def write_ready(self, number: int = 3) -> None:
        """Write a newline to a descriptor, now."""
        prepared = self._preparation
        if prepared is not None and prepared.take is not None and number in prepared.descriptors:
            prepared.take(number, b"\n")

    def end(self, exit: Exit) -> None:
        """End now; its pipes end with it, unless what it has left behind holds them."""
        if self.has_ended:
            return
        self._exit.set_result(exit)
        for track in self._tracks:
            if track.timer is not None:
                track.timer.cancel()
        self._tracks.clear()
        if self.stdin is not None:
            self.stdin.break_off()
        for stream in tuple(self._open):
            self._close_output(stream)

    # --- what it has started

    def relatives(self) -> list[Survivor]:
        """Return what it has started and lives."""
        return [Survivor(pid=it.pid, command=it.leave.command) for it in self._relatives if it.alive]

    def end_relatives(self) -> None:
        """End all that it has started."""
        for relative in self._relatives:
            self._end_relative(relative)

    def _end_group(self) -> None:
        for relative in self._relatives:
            if not relative.leave.daemon:
                self._end_relative(relative)

    def _end_relative(self, relative: _Relative) -> None:
        if relative.alive and not relative.leave.immortal:
            relative.alive = False
            if not relative.leave.daemon:
                for source in (self.stdout, self.stderr):
                    if source is not None:
                        source.drop_writer()

    def _leave(self, leave: Leave) -> None:
        if not self._relatives:
            self._family.parents.append(self)
        self._relatives.append(_Relative(next(self._family.pids), leave))
        if not leave.daemon:
            for source in (self.stdout, self.stderr):
                if source is not None:
                    source.add_writer()

    # --- how it takes signals

    def _take(self, number: int) -> None:
        if number == signals.SIGKILL and number not in self._script.ignored:
            self.end(Exit(signal=signals.SIGKILL))
        elif number == signals.SIGCONT:
            self._continue()
        elif self._stopped:
            # It is pending, as a stopped program handles nothing.
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
        late, self._late = self._late, []
        if (reaction := self._script.reactions.get(signals.SIGCONT)) is not None:
            self._begin(reaction.steps)
        # As the kernel does: a signal is handled before the program goes on.
        for number in pending:
            if number not in _STOPPING and not self.has_ended:
                self._take(number)
        for track in late:
            self._go_on(track)

    # --- how it does its steps

    def _begin(self, steps: Sequence[Step]) -> None:
        track = _Track(steps)
        self._tracks.add(track)
        self._go_on(track)

    def _go_on(self, track: _Track) -> None:
        """Do what comes next until something has to be waited for."""
        track.timer = None
        if self._stopped:
            self._late.append(track)
            return
        while not self.has_ended and (step := track.next()) is not None:
            if self._waits_for(track, step):
                return
        self._tracks.discard(track)

    def _waits_for(self, track: _Track, step: Step) -> bool:
        """Do a step; return whether the track goes on later."""
        match step:
            case Print():
                return self._write(track, step)
            case Wait():
                return self._pass_time(track, step.seconds)
            case Read():
                return self._read(track, step)
            case Answer():
                return self._answer(track, step)
            case End():
                self.end(step.exit)
            case Notify():
                self.notify(step.datagram)
            case WriteReady():
                self.write_ready(step.number)
            case Close():
                self._close_stream(step.stream)
            case Leave():
                self._leave(step)
            case Repeat():
                raise AssertionError("a track is flat")
            case _:
                assert_never(step)
        return False

    def _pass_time(self, track: _Track, seconds: float) -> bool:
        if seconds > 0:
            track.timer = self._clock.call_at(self._clock.now() + seconds, functools.partial(self._go_on, track))
        return seconds > 0

    def _write(self, track: _Track, step: Print) -> bool:
        source = self._source(step.stream)
        if source is None or (taken := source.feed(step.data)) == len(step.data):
            return False
        track.put_back(Print(step.data[taken:], step.stream))
        source.when_room(functools.partial(self._go_on, track))
        return True

    def _read(self, track: _Track, step: Read) -> bool:
        while (line := self._read_line(track, step)) is not None:
            if not line or (step.pattern is not None and step.pattern.search(_as_text(line))):
                return False
        return True

    def _answer(self, track: _Track, step: Answer) -> bool:
        line = self._read_line(track, step)
        if line:
            track.put_back(step)
            if (answer := step.reply(_as_text(line))) is not None:
                track.put_back(Print(f"{answer}\n".encode(), "stdout"))
        return line is None

    def _read_line(self, track: _Track, step: Step) -> bytes | None:
        """Take a line, b"" at the end of the input; None when the step is done again once there is more."""
        if self.stdin is None or self.stdin.broken:
            return b""
        if (line := self.stdin.read_line()) is None:
            track.put_back(step)
            self.stdin.when_input(functools.partial(self._go_on, track))
        return line

    def _source(self, stream: StreamName) -> ScriptedSource | None:
        """Return where a stream goes; None when nobody reads it, or it was closed."""
        if stream not in self._open:
            return None
        return self.stderr if stream == "stderr" and self.stderr is not None else self.stdout

    def _close_stream(self, stream: Literal["stdin", "stdout", "stderr"]) -> None:
        if stream != "stdin":
            self._close_output(stream)
        elif self.stdin is not None:
            self.stdin.break_off()

    def _close_output(self, stream: StreamName) -> None:
        source = self._source(stream)
        self._open.discard(stream)
        # Where both go into one pipe, it is open as long as one of them is.
        if source is not None and all(self._source(other) is not source for other in self._open):
            source.drop_writer()


def _as_text(line: bytes) -> str:
    return line.decode("utf-8", "replace").removesuffix("\n")
