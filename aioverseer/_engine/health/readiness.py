"""The prober: runs the probes of one run of a program until the answer is known.

Those that are told (a line, a notice, a newline) cost nothing until then; those that have to ask do so in tasks, at
growing intervals. What follows from the answer, and how long to wait for it, is decided in ``core/machine/process.py``.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Any

from aioverseer._aio.shield import settle
from aioverseer._aio.timers import sleep_until
from aioverseer._system.probes.answer import Hangs, NotYet
from aioverseer._system.probes.attempts import ProbeAttempts, within
from aioverseer._system.probes.notify_socket import NotifySocket
from aioverseer._system.probes.ready_fd import ReadyPipe
from aioverseer._system.protocols import Launcher, ReadinessChannels
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.composition import Probe, is_fulfilled, leaves, pending
from aioverseer.core.options.probes import Entered, Fd, File, Notify, OutputLine, describe, pause_before_next
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.sd_notify import Notice, read_notice

__all__ = ["ATTEMPT", "LineWatch", "ReadinessCheck", "reason_of"]

ATTEMPT = 5.0
"""Seconds that one attempt may take before it is cancelled and made again, once it has ended."""

_END = 2.0
"""Seconds for what was cancelled to come to its end."""


class ReadinessCheck:
    """Finds out when one run is ready.

    ``prepare`` before the spawn, ``begin`` behind it, ``close`` at the end whatever happened; all on one event loop.

    Attributes:
        probe: What is to be fulfilled.
        ready: Whether it has been.
    """

    def __init__(
        self,
        probe: Probe | None,
        *,
        spec: Spec,
        clock: Clock,
        launcher: Launcher,
        process: object,
        notices: bool = False,
    ) -> None:
        """Make a prober; nothing is opened.

        Args:
            probe: What is to be fulfilled; None is nothing, and is so at once.
            spec: What runs.
            clock: What intervals and limits are measured by.
            launcher: What starts the commands of probes.
            process: What functions of the user are given.
            notices: Whether notices are listened to whatever the probe is.
        """
        self.probe = probe
        self.ready = probe is None
        self._leaves = () if probe is None else leaves(probe)
        self._clock = clock
        self._asker = ProbeAttempts(spec=spec, launcher=launcher, process=process)
        self._id = spec.id
        self._done: set[Probe] = set()
        self._errors: dict[Probe, str] = {}
        self._tasks: dict[Probe, asyncio.Task[None]] = {}
        self._hung: dict[Probe, asyncio.Future[Any]] = {}
        self._on_ready: Callable[[], None] | None = None
        self._on_notice: Callable[[Notice], None] | None = None
        self._needs_socket = notices or Notify() in self._leaves
        self._socket: NotifySocket | None = None
        self._pipes: dict[Fd, ReadyPipe] = {}
        self._early: list[bytes] = []
        self._closed = False

    @property
    def error(self) -> str:
        """What the probes that are not fulfilled yet have said last; empty when nothing."""
        left = frozenset[Probe]() if self.probe is None else pending(self.probe, self._done)
        return describe({leaf: error for leaf, error in self._errors.items() if leaf in left})

    @property
    def reads_lines(self) -> bool:
        """Whether a probe waits for a line."""
        return any(isinstance(leaf, OutputLine) for leaf in self._leaves)

    def prepare(self) -> ReadinessChannels | None:
        """Open what the program is to be given, and return it; None when that is nothing.

        Raises:
            SpawnError: When the system has no descriptors left.
        """
        for leaf in self._leaves:
            if isinstance(leaf, File):
                self._asker.remember(leaf)
        descriptors: dict[int, int] = {}
        try:
            if self._needs_socket:
                self._socket = NotifySocket()
            for leaf in self._leaves:
                if isinstance(leaf, Fd):
                    pipe = self._pipes[leaf] = ReadyPipe()
                    descriptors[leaf.number] = pipe.theirs
        except OSError as error:
            self._let_go()
            raise SpawnError(
                f"service {self._id!r} cannot be started with ready={self.probe}: {error.strerror}", errno=error.errno
            ) from error
        take = self._take if descriptors else None
        if self._socket is None:
            hear = self._hear_datagram if Entered() in self._leaves else None
            if hear is None and not descriptors:
                return None
            return ReadinessChannels(descriptors=descriptors, hear=hear, take=take)
        return ReadinessChannels(
            env=self._socket.environment, descriptors=descriptors, hear=self._hear_datagram, take=take
        )

    def watch(self, stream: str) -> LineWatch | None:
        """Return an outlet for one stream of the program; None when no probe waits for a line of it."""
        wanted = [leaf for leaf in self._leaves if isinstance(leaf, OutputLine) and leaf.stream in (None, stream)]
        return LineWatch(wanted, self._fulfil) if wanted else None

    def begin(self, pid: int, on_ready: Callable[[], None], on_notice: Callable[[Notice], None] | None = None) -> None:
        """Begin to listen and to ask: the program has been started.

        Args:
            pid: Its process id.
            on_ready: Called once, when the probe is fulfilled, from here when it is already.
            on_notice: Called for each notice that it sends.
        """
        self._on_ready = on_ready
        self._on_notice = on_notice
        if self._socket is not None:
            self._socket.listen(pid, self._hear)
        for leaf, pipe in self._pipes.items():
            pipe.listen(functools.partial(self._fulfil, leaf))
        early, self._early = self._early, []
        for datagram in early:
            self._hear(read_notice(datagram))
        if self._look():
            return
        for asked in self._leaves:
            if asked not in self._done and not isinstance(asked, OutputLine | Notify | Entered | Fd):
                # Named, and kept: asyncio itself holds tasks weakly.
                self._tasks[asked] = asyncio.create_task(self._poll(asked), name=f"aioverseer probe {self._id}")

    def drain(self) -> None:
        """Take what the program said before it ended."""
        if self._socket is not None:
            self._socket.drain()
        for pipe in list(self._pipes.values()):
            pipe.drain()

    def stop(self) -> None:
        """Ask no more. Idempotent. Notices are still heard: a program goes on to say what it does."""
        for task in self._tasks.values():
            task.cancel()
        for pipe in self._pipes.values():
            pipe.close()

    async def close(self) -> asyncio.CancelledError | None:
        """Let go of everything; return the cancellation that came meanwhile, for the caller to raise. Idempotent."""
        self._closed = True
        self.stop()
        self._let_go()
        cancelled: asyncio.CancelledError | None = None
        for task in self._tasks.values():
            cancelled = await settle(task, within=_END) or cancelled
        self._tasks.clear()
        return cancelled

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
        for pipe in self._pipes.values():
            pipe.close()

    def _hear_datagram(self, datagram: bytes) -> None:
        if self._on_ready is None:
            self._early.append(datagram)
        else:
            self._hear(read_notice(datagram))

    def _take(self, number: int, data: bytes) -> None:
        if b"\n" in data:
            self._fulfil(Fd(number=number))

    def _hear(self, notice: Notice) -> None:
        if self._closed:
            return
        # First what changes a limit or a text, then what ends the waiting.
        if self._on_notice is not None:
            self._on_notice(notice)
        for said in (Notify(), Entered()):
            if notice.ready and said in self._leaves:
                self._fulfil(said)

    def _fulfil(self, leaf: Probe) -> None:
        if leaf not in self._done:
            self._done.add(leaf)
            self._look()

    def _look(self) -> bool:
        """Tell when the whole is fulfilled, and stop asking what does not matter any more."""
        if self._on_ready is None or self.ready or self._closed:  # before the spawn is over there is nobody to tell
            return self.ready
        if self.probe is not None and not is_fulfilled(self.probe, self._done):
            left = pending(self.probe, self._done)
            for leaf, task in self._tasks.items():
                if leaf not in left and leaf not in self._done:
                    task.cancel()
            return False
        self.ready = True
        self.stop()
        self._on_ready()
        return True

    async def _poll(self, leaf: Probe) -> None:
        """Ask until the answer is yes; nothing but a cancellation comes out of it."""
        began = self._clock.now()
        while True:
            asked = self._clock.now()
            try:
                await within(self._clock, ATTEMPT, self._asker.ask(leaf))
            except Exception as error:  # noqa: BLE001  # of a function of the user: it is the answer, and is reported
                self._errors[leaf] = reason_of(error)
                if isinstance(error, Hangs):
                    self._hung[leaf] = error.task  # kept: asyncio itself holds tasks weakly
                    await asyncio.wait({error.task})
                now = self._clock.now()
                await sleep_until(self._clock, now + pause_before_next(waited=now - began, took=now - asked))
            else:
                break
        # Not from within: what follows cancels the tasks, and this is one of them.
        asyncio.get_running_loop().call_soon(self._fulfil, leaf)


class LineWatch:
    """An outlet that looks for lines; see ``output.Outlet``."""

    def __init__(self, wanted: Sequence[OutputLine], fulfil: Callable[[Probe], None]) -> None:
        self.on_room: Callable[[], None] | None = None
        self._wanted = list(wanted)
        self._fulfil = fulfil

    @property
    def blocked(self) -> bool:
        """Never."""
        return False

    def deliver(self, batch: Sequence[str | bytes]) -> None:
        """Look through a batch, as long as something is wanted."""
        for probe in list(self._wanted):
            if any(probe.pattern.search(_as_text(line)) for line in batch):
                self._wanted.remove(probe)
                self._fulfil(probe)

    def end(self) -> None:
        """Nothing to do: the end of a program is told elsewhere."""


def _as_text(line: str | bytes) -> str:
    return line if isinstance(line, str) else line.decode("utf-8", "backslashreplace")


def reason_of(error: Exception) -> str:
    """Return what an attempt had to say, as the end of a sentence."""
    if isinstance(error, NotYet):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
