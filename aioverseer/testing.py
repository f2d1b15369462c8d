"""Time and children that a test owns: a manual clock, and a launcher whose children follow a script.

What else tests need is made elsewhere and re-exported: ``simulate`` for policies, ``EventRecorder`` for assertions,
``Ports`` and ``Keeper`` for servers.

They keep the protocols of ``core/clock.py`` and ``system/seam.py``, so every policy can be tried without a real child
and without waiting. Nothing in here spawns, signals or sleeps.
"""

from __future__ import annotations

import asyncio
import datetime
import errno
import heapq
import itertools
import signal as signals
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from aioverseer.core.containment import Containment, Survivor
from aioverseer.core.errors import SpawnError
from aioverseer.core.simulation import SimulatedRun, Timeline, simulate
from aioverseer.core.spec import HasDescriptor, PathLike, Spec
from aioverseer.core.state import Exit, as_signal
from aioverseer.core.timeline import EventRecorder
from aioverseer.system.keeping import Keeper
from aioverseer.system.ports import Ports
from aioverseer.system.seam import Preparation

__all__ = [
    "EventRecorder",
    "FakeChild",
    "Keeper",
    "ManualClock",
    "Ports",
    "RunningChild",
    "ScriptedLauncher",
    "SimulatedRun",
    "Timeline",
    "simulate",
]

_TURNS = 30
"""Turns of the loop after each timer: more than any chain of callbacks and tasks in this library is long."""


@dataclass(slots=True, order=True)
class _ManualTimer:
    when: float
    number: int
    callback: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """A clock that moves only when it is told to; keeps the ``Clock`` protocol."""

    def __init__(self) -> None:
        """Begin at 0 seconds, on the first of January 2030 in UTC."""
        self._now = 0.0
        self._timers: list[_ManualTimer] = []
        self._numbers = itertools.count()
        self._epoch = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)

    def now(self) -> float:
        """Return the seconds that it was moved so far."""
        return self._now

    def wall(self) -> datetime.datetime:
        """Return the wall-clock time that goes with it."""
        return self._epoch + datetime.timedelta(seconds=self._now)

    def call_at(self, when: float, callback: Callable[[], None]) -> _ManualTimer:
        """Call back once the clock is moved to that time or beyond."""
        timer = _ManualTimer(when, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def next_timer(self) -> float | None:
        """Return the seconds until the next timer is due; None when there is none."""
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0].when - self._now if self._timers else None

    async def advance(self, seconds: float) -> None:
        """Move the clock, calling what comes due in order, each at its own time.

        Before the first and after each one everything that it leads to is done, so timers that are made on the way
        are kept too.

        Args:
            seconds: How far to move, 0 or more.
        """
        end = self._now + seconds
        await self.settle()
        while (left := self.next_timer()) is not None and self._now + left <= end:
            timer = heapq.heappop(self._timers)
            self._now = max(self._now, timer.when)
            if timer.callback is not None:
                timer.callback()
            await self.settle()
        self._now = end

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)


class _ScriptedSource:
    """A pipe without a descriptor; see ``seam.Source``."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._on_data: Callable[[bytes], None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._blocked: Callable[[], bool] = lambda: False
        self._ended = False

    def attach(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], *, blocked: Callable[[], bool]
    ) -> None:
        self._on_data, self._on_end, self._blocked = on_data, on_end, blocked
        self._flow()

    def resume(self) -> None:
        self._flow()

    def drain(self) -> None:
        # All of it, although the reader may be blocked: that is what draining means.
        while self._held and self._on_data is not None:
            self._on_data(self._held.pop(0))
        self._flow()

    def close(self) -> None:
        self._on_data = self._on_end = None

    def feed(self, data: bytes) -> None:
        self._held.append(data)
        self._flow()

    def end(self) -> None:
        self._ended = True
        self._flow()

    def _flow(self) -> None:
        while self._held and self._on_data is not None and not self._blocked():
            self._on_data(self._held.pop(0))
        if self._ended and not self._held and self._on_end is not None:
            on_end = self._on_end
            self.close()
            on_end()


class _ScriptedSink:
    """A pipe to a scripted child; see ``seam.Sink``."""

    def __init__(self) -> None:
        self.received = b""
        self.closed = False
        self.broken = False

    async def write(self, data: bytes) -> None:
        if self.closed or self.broken:
            raise BrokenPipeError("the pipe is closed, or nobody reads it any more")
        self.received += data

    async def write_eof(self) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True


class FakeChild:
    """What a scripted child does, in order: ``FakeChild().prints("ready").runs(3).exits(1)``.

    Without an end in the script it lives until it is signalled. It dies of any signal that it does not ignore, but for
    SIGCONT, SIGCHLD, SIGWINCH and SIGURG, as a program without handlers does.
    """

    def __init__(self) -> None:
        """Begin an empty script."""
        self.steps: list[Callable[[RunningChild], float]] = []
        self.ignored: frozenset[int] = frozenset()
        self.error: SpawnError | None = None

    def prints(self, *lines: str, stream: str = "stdout") -> Self:
        """Write these lines."""
        text = "".join(f"{line}\n" for line in lines)

        def step(child: RunningChild) -> float:
            child.print(text, stream=stream)
            return 0.0

        self.steps.append(step)
        return self

    def runs(self, seconds: float) -> Self:
        """Live so long, on the clock, before the next step."""
        self.steps.append(lambda _child: seconds)
        return self

    def exits(self, code: int = 0) -> Self:
        """End with an exit code."""
        return self._ends(Exit(code=code))

    def dies(self, number: int = signals.SIGKILL) -> Self:
        """End by a signal."""
        return self._ends(Exit(signal=as_signal(number)))

    def ignores(self, *numbers: int) -> Self:
        """Live on when these signals come; with SIGKILL it is a program that nothing ends."""
        self.ignored |= frozenset(numbers)
        return self

    def notifies(self, *assignments: str) -> Self:
        """Send a notice, for example ``notifies("READY=1", "STATUS=up")``, to whoever listens; see ``ready.notify``."""
        datagram = "\n".join(assignments).encode()

        def step(child: RunningChild) -> float:
            child.notify(datagram)
            return 0.0

        self.steps.append(step)
        return self

    def cannot_start(self, why: str = "there is no such program", number: int = errno.ENOENT) -> Self:
        """Fail to be spawned."""
        self.error = SpawnError(why, errno=number)
        return self

    def _ends(self, exit: Exit) -> Self:
        def step(child: RunningChild) -> float:
            child.end(exit)
            return 0.0

        self.steps.append(step)
        return self


_HARMLESS = frozenset({signals.SIGCONT, signals.SIGCHLD, signals.SIGWINCH, signals.SIGURG})


class RunningChild:
    """A scripted child at work; keeps the ``Child`` protocol.

    Attributes:
        pid: A made-up number.
        spec: What was launched.
        signals: The signals that it got, in order, without SIGCONT.
        swept: Whether what it left was killed after its end.
        closed: Whether its descriptors were let go of.
        window_size: Columns and rows of its terminal.
    """

    def __init__(
        self,
        pid: int,
        spec: Spec,
        script: FakeChild,
        clock: ManualClock,
        *,
        capture: bool,
        preparation: Preparation | None = None,
    ) -> None:
        self.pid = pid
        self._preparation = preparation
        self.spec = spec
        self.signals: list[int] = []
        self.swept = False
        self.closed = False
        self.window_size = spec.window_size
        feeds = spec.pty or not (
            spec.stdin is None or spec.stdin == "inherit" or isinstance(spec.stdin, PathLike | HasDescriptor)
        )
        self.stdin = _ScriptedSink() if feeds else None
        self.stdout = _ScriptedSource() if capture else None
        self.stderr = _ScriptedSource() if capture and not (spec.merge_stderr or spec.pty) else None
        self._script = script
        self._clock = clock
        self._steps = iter(script.steps)
        self._timer: _ManualTimer | None = None
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._act()

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Take a signal; see ``seam.Child``."""
        del leader_only  # a scripted child is alone
        if self._exit.done():
            raise ProcessLookupError(errno.ESRCH, f"process {self.pid} has ended")
        if number != signals.SIGCONT:
            self.signals.append(number)
        if number not in self._script.ignored and number not in _HARMLESS:
            self.end(Exit(signal=as_signal(number)))

    async def wait(self) -> Exit:
        """Wait for the end; see ``seam.Child``."""
        return await asyncio.shield(self._exit)

    def resize(self, window_size: tuple[int, int]) -> None:
        """Take note; see ``seam.Child``."""
        self.window_size = window_size

    def sweep(self) -> None:
        """Take note; see ``seam.Child``."""
        self.swept = True

    def may_have_left(self) -> bool:
        """Return False: it has started nothing."""
        return False

    async def sweep_all(self) -> tuple[Survivor, ...]:
        """Do nothing: there is nobody; see ``seam.Child``."""
        return ()

    def left(self) -> tuple[Survivor, ...]:
        """Return nothing; see ``seam.Child``."""
        return ()

    def close(self) -> None:
        """Take note; see ``seam.Child``."""
        self.closed = True
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()

    def print(self, text: str, *, stream: str = "stdout") -> None:
        """Write text, now."""
        source = self.stderr if stream == "stderr" and self.stderr is not None else self.stdout
        if source is not None:
            source.feed(text.encode())

    def notify(self, datagram: bytes) -> None:
        """Send a notice, now."""
        if self._preparation is not None and self._preparation.hear is not None:
            self._preparation.hear(datagram)

    def end(self, exit: Exit) -> None:
        """End now; its pipes end with it."""
        if self._exit.done():
            return
        self._exit.set_result(exit)
        if self._timer is not None:
            self._timer.cancel()
        if self.stdin is not None:
            self.stdin.broken = True
        for source in (self.stdout, self.stderr):
            if source is not None:
                source.end()

    def _act(self) -> None:
        for step in self._steps:
            if self._exit.done():
                return
            if (seconds := step(self)) > 0:
                self._timer = self._clock.call_at(self._clock.now() + seconds, self._act)
                return


class ScriptedLauncher:
    """Launches scripted children; keeps the ``Launcher`` protocol.

    Attributes:
        children: Those that were launched, in order.
    """

    def __init__(
        self, clock: ManualClock, *scripts: FakeChild, by_id: dict[str, list[FakeChild]] | None = None
    ) -> None:
        """Prepare scripts; each launch takes the next one, and the last one again and again.

        Args:
            clock: What the children live by.
            *scripts: For any service.
            by_id: For the services of these names.
        """
        self.children: list[RunningChild] = []
        self._clock = clock
        self._scripts = {"": list(scripts) or [FakeChild()], **(by_id or {})}
        self._pids = itertools.count(1001)

    async def launch(self, spec: Spec, *, capture: bool, preparation: Preparation | None = None) -> RunningChild:
        """Start the next script; see ``seam.Launcher``."""
        scripts = self._scripts.get(spec.id) or self._scripts[""]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        await asyncio.sleep(0)
        if script.error is not None:
            raise script.error
        child = RunningChild(next(self._pids), spec, script, self._clock, capture=capture, preparation=preparation)
        self.children.append(child)
        return child

    @property
    def containment(self) -> Containment:
        """Return that there is none: nothing real runs."""
        return Containment(level="none", mechanism="scripted", asked="auto", reason="its children are scripted")

    def containment_of(self, spec: Spec) -> Containment:
        """Return that there is none, whatever was asked for; see ``seam.Launcher``."""
        del spec
        return self.containment

    async def sweep(self) -> tuple[Survivor, ...]:
        """Do nothing; see ``seam.Launcher``."""
        return ()

    async def close(self) -> tuple[Survivor, ...]:
        """Do nothing: nobody is left behind; see ``seam.Launcher``."""
        return ()
