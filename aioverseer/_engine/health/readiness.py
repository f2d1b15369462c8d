"""The readiness probes of one run.

Probes for a line, a notice or a newline wait for the program and cost nothing until then. Each other probe makes
attempts in a task of its own, at growing intervals.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aioverseer._aio.shield import settle
from aioverseer._aio.timers import sleep_until
from aioverseer._engine.health.progress import ProbeProgress
from aioverseer._system.probes.answer import Hangs, NotYet, StrangerFound
from aioverseer._system.probes.attempts import ProbeAttempts, within
from aioverseer._system.probes.listeners import ListenerCheck
from aioverseer._system.probes.notify_socket import NotifySocket
from aioverseer._system.probes.ready_fd import ReadyPipe
from aioverseer._system.protocols import Launcher, ReadinessChannels
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.composition import Probe, is_fulfilled, leaves, pending
from aioverseer.core.options.probes import (
    Check,
    Entered,
    Fd,
    File,
    Notify,
    OutputLine,
    OutputPrompt,
    describe,
    pause_before_next,
)
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.sd_notify import Notice, read_notice

__all__ = ["ATTEMPT", "LineWatch", "PromptWatch", "ReadinessCheck", "reason_of"]

ATTEMPT = 5.0
"""Seconds for one attempt. After that it is cancelled, and repeated once it has ended."""

_END_TIMEOUT = 2.0
"""Seconds for a cancelled attempt to end."""


class ReadinessCheck:
    """Finds out when one run is ready.

    Call ``prepare`` before the spawn, ``begin`` after it, and always ``close`` at the end, on one event loop.

    Attributes:
        probe: Probe to fulfil; None when there is none.
        ready: Whether the probe is fulfilled.
    """

    def __init__(
        self,
        probe: Probe | None,
        *,
        spec: Spec,
        clock: Clock,
        launcher: Launcher,
        process: Callable[[], object],
        listeners: ListenerCheck,
        notices: bool = False,
    ) -> None:
        """Create a check. Nothing is opened.

        Args:
            probe: Probe to fulfil; None counts as fulfilled.
            spec: Spec of the program.
            clock: The source of time, for intervals and limits.
            launcher: The launcher of the commands of probes.
            process: Function that returns the argument for functions of the user.
            listeners: Check of who answers a connection.
            notices: Whether to receive notices even if the probe needs none.
        """
        self.probe = probe
        self.ready = probe is None
        self._leaves = () if probe is None else leaves(probe)
        self._clock = clock
        self._attempts = ProbeAttempts(spec=spec, launcher=launcher, process=process, listeners=listeners)
        self._id = spec.id
        self._done: set[Probe] = set()
        self._progress = ProbeProgress()
        self._matches: dict[Probe, re.Match[str]] = {}
        self._tasks: dict[Probe, asyncio.Task[None]] = {}
        self._hung: dict[Probe, asyncio.Future[Any]] = {}
        self._on_ready: Callable[[], None] | None = None
        self._on_notice: Callable[[Notice], None] | None = None
        self._on_stranger: Callable[[str], None] | None = None
        self._strangers: dict[Probe, str] = {}
        """Probes that a stranger has answered, each with who holds its socket."""
        self._needs_socket = notices or Notify() in self._leaves
        self._socket: NotifySocket | None = None
        self._pipes: dict[Fd, ReadyPipe] = {}
        self._early: list[bytes] = []
        self._closed = False

    @property
    def error(self) -> str:
        """Findings of the probes that are still needed, as text; empty when there are none."""
        left = frozenset[Probe]() if self.probe is None else pending(self.probe, self._done)
        now = self._clock.now()
        return describe({leaf: self._progress.describe(leaf, now) for leaf in self._leaves if leaf in left})

    @property
    def match(self) -> re.Match[str] | None:
        """Match of the first probe for a line, in the order in which they are written; None before any match."""
        return next((self._matches[leaf] for leaf in self._leaves if leaf in self._matches), None)

    @property
    def reads_lines(self) -> bool:
        """Whether a probe waits for a line or a prompt."""
        return any(isinstance(leaf, OutputLine | OutputPrompt) for leaf in self._leaves)

    def held_by_strangers(self, blocked: Mapping[Probe, str]) -> str:
        """Return who holds the sockets without which the probe cannot be fulfilled; empty when it can be.

        Args:
            blocked: Probes that only a stranger would answer, each with who holds its socket.
        """
        mine = [leaf for leaf in self._leaves if leaf in blocked]
        if self.probe is None or is_fulfilled(self.probe, set(self._leaves).difference(mine)):
            return ""
        return "; ".join(dict.fromkeys(blocked[leaf] for leaf in mine))

    def prepare(self) -> ReadinessChannels | None:
        """Open the channels for the program and return them; None when it needs none.

        Raises:
            SpawnError: If no descriptor is left.
        """
        for leaf in self._leaves:
            if isinstance(leaf, File):
                self._attempts.remember(leaf)
        descriptors: dict[int, int] = {}
        try:
            if self._needs_socket:
                self._socket = NotifySocket()
            for leaf in self._leaves:
                if isinstance(leaf, Fd):
                    pipe = self._pipes[leaf] = ReadyPipe()
                    descriptors[leaf.number] = pipe.theirs
        except OSError as error:
            self._close_channels()
            raise SpawnError(
                f"service {self._id!r} cannot be started with ready={self.probe}: {error.strerror}", errno=error.errno
            ) from error
        on_write = self._on_write if descriptors else None
        if self._socket is None:
            on_notify = self._on_datagram if Entered() in self._leaves else None
            if on_notify is None and not descriptors:
                return None
            return ReadinessChannels(descriptors=descriptors, on_notify=on_notify, on_write=on_write)
        return ReadinessChannels(
            env=self._socket.environment, descriptors=descriptors, on_notify=self._on_datagram, on_write=on_write
        )

    def watch(self, stream: str) -> LineWatch | None:
        """Return a sink for one stream of the program; None when no probe waits for a line of that stream."""
        wanted = [
            leaf
            for leaf in self._leaves
            if isinstance(leaf, OutputLine | OutputPrompt) and leaf.stream in (None, stream)
        ]
        return LineWatch(wanted, self._on_match, self._progress.record_lines) if wanted else None

    def watch_prompts(self, stream: str) -> PromptWatch | None:
        """Return a search in the unfinished line of one stream; None when no probe waits for a prompt there."""
        wanted = [leaf for leaf in self._leaves if isinstance(leaf, OutputPrompt) and leaf.stream in (None, stream)]
        return PromptWatch(wanted, self._on_match) if wanted else None

    def begin(
        self,
        pid: int,
        on_ready: Callable[[], None],
        on_notice: Callable[[Notice], None] | None = None,
        on_stranger: Callable[[str], None] | None = None,
        *,
        owns: Callable[[int], bool] | None = None,
    ) -> None:
        """Begin to listen and to make attempts, after the spawn.

        Args:
            pid: Process id of the program.
            on_ready: Called once, when the probe is fulfilled. If it is fulfilled already, this method calls it.
            on_notice: Called for each notice of the program.
            on_stranger: Called with who holds a socket, if the probe cannot be fulfilled because of that.
            owns: Function that returns whether a process is the program's own wherever it is; None trusts the session
                and the descendants of the program alone.
        """
        self._on_stranger = on_stranger
        self._on_ready = on_ready
        self._on_notice = on_notice
        if self._socket is not None:
            self._socket.listen(pid, self._receive, owns=owns)
        for leaf, pipe in self._pipes.items():
            pipe.listen(functools.partial(self._fulfil, leaf), functools.partial(self._on_pipe_end, leaf))
        early, self._early = self._early, []
        for datagram in early:
            self._receive(read_notice(datagram))
        if self._check():
            return
        for probe in self._leaves:
            if probe not in self._done and not isinstance(probe, OutputLine | OutputPrompt | Notify | Entered | Fd):
                # Kept, because asyncio has only weak references to tasks.
                self._tasks[probe] = asyncio.create_task(self._poll(probe), name=f"aioverseer probe {self._id}")

    def drain(self) -> None:
        """Read everything that the program sent before its end."""
        if self._socket is not None:
            self._socket.drain()
        for pipe in list(self._pipes.values()):
            pipe.drain()

    def stop(self) -> None:
        """Stop all attempts. Notices are still received, as a ready program goes on to report its state. Idempotent."""
        for task in self._tasks.values():
            task.cancel()
        for pipe in self._pipes.values():
            pipe.close()

    async def close(self) -> asyncio.CancelledError | None:
        """Close everything; return the cancellation that came meanwhile, for the caller to raise. Idempotent."""
        self._closed = True
        self.stop()
        self._close_channels()
        cancelled: asyncio.CancelledError | None = None
        for task in self._tasks.values():
            cancelled = await settle(task, within=_END_TIMEOUT) or cancelled
        self._tasks.clear()
        return cancelled

    def _close_channels(self) -> None:
        if self._socket is not None:
            self._socket.close()
        for pipe in self._pipes.values():
            pipe.close()

    def _on_datagram(self, datagram: bytes) -> None:
        if self._on_ready is None:
            self._early.append(datagram)
        else:
            self._receive(read_notice(datagram))

    def _on_write(self, number: int, data: bytes) -> None:
        if b"\n" in data:
            self._fulfil(Fd(number=number))

    def _on_pipe_end(self, leaf: Probe) -> None:
        self._progress.fail(leaf, "the program has closed it without a newline")

    def _on_match(self, leaf: Probe, match: re.Match[str]) -> None:
        self._matches.setdefault(leaf, match)
        self._fulfil(leaf)

    def _receive(self, notice: Notice) -> None:
        if self._closed:
            return
        # The callback comes first: it may extend a limit or change a text, while fulfilling a probe ends the wait.
        if self._on_notice is not None:
            self._on_notice(notice)
        for leaf in (Notify(), Entered()):
            if notice.ready and leaf in self._leaves:
                self._fulfil(leaf)

    def _fulfil(self, leaf: Probe) -> None:
        if leaf not in self._done:
            self._done.add(leaf)
            self._check()

    def _check(self) -> bool:
        """Report when the probe is fulfilled, and stop attempts that cannot matter any more; return whether it is."""
        if self._on_ready is None or self.ready or self._closed:  # _on_ready is None before the spawn is over
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
        """Make attempts until one succeeds. Raises nothing but a cancellation."""
        began = self._clock.now()
        progress = self._progress
        on_progress = functools.partial(progress.change, leaf)
        while True:
            attempted = self._clock.now()
            progress.begin_attempt(leaf, attempted)
            try:
                seconds = leaf.timeout if isinstance(leaf, Check) else ATTEMPT
                await within(self._clock, seconds, self._attempts.ask(leaf, on_progress))
            except Exception as error:  # noqa: BLE001  # a function of the user may raise anything; it is reported as the reason
                progress.end_attempt(leaf, reason_of(error))
                if self._is_hopeless(leaf, error):
                    return
                if isinstance(error, Hangs):
                    self._hung[leaf] = error.task  # kept, because asyncio has only weak references to tasks
                    await asyncio.wait({error.task})
                now = self._clock.now()
                await sleep_until(self._clock, now + pause_before_next(waited=now - began, took=now - attempted))
            else:
                break
        self._strangers.pop(leaf, None)
        # Called later, because the next step cancels all tasks of the probes, this one included.
        asyncio.get_running_loop().call_soon(self._fulfil, leaf)

    def _is_hopeless(self, leaf: Probe, error: Exception) -> bool:
        """Record whether a stranger has answered; report and return True if the probe cannot be fulfilled so."""
        self._strangers.pop(leaf, None)
        if not isinstance(error, StrangerFound):
            return False
        self._strangers[leaf] = str(error)
        if self._on_stranger is None or self._closed or not (why := self.held_by_strangers(self._strangers)):
            return False
        # Called later, because the next step cancels all tasks of the probes, this one included.
        asyncio.get_running_loop().call_soon(self._on_stranger, why)
        return True


class LineWatch:
    """A ``LineSink`` that searches lines for patterns."""

    def __init__(
        self,
        wanted: Sequence[OutputLine | OutputPrompt],
        on_match: Callable[[Probe, re.Match[str]], None],
        on_others: Callable[[Probe, Sequence[str | bytes]], None],
    ) -> None:
        """Begin without lines.

        Args:
            wanted: Probes with the patterns.
            on_match: Called with a probe and the first match of its pattern.
            on_others: Called with a probe and a batch of lines in which nothing matches.
        """
        self.on_room: Callable[[], None] | None = None
        self._wanted = list(wanted)
        self._on_match = on_match
        self._on_others = on_others

    @property
    def blocked(self) -> bool:
        """False: a search never blocks the pipe."""
        return False

    def deliver(self, batch: Sequence[str | bytes]) -> None:
        """Search a batch of lines for the patterns that were not found yet."""
        for probe in list(self._wanted):
            match = next(filter(None, (probe.pattern.search(_as_text(line)) for line in batch)), None)
            if match is None:
                self._on_others(probe, batch)
            else:
                self._wanted.remove(probe)
                self._on_match(probe, match)

    def end(self) -> None:
        """Do nothing: the end of a stream fulfils no probe."""


class PromptWatch:
    """A search for prompts in the line that has no end yet."""

    def __init__(self, wanted: Sequence[OutputPrompt], on_match: Callable[[Probe, re.Match[str]], None]) -> None:
        """Begin without text.

        Args:
            wanted: Probes with the patterns.
            on_match: Called with a probe and the first match of its pattern.
        """
        self._wanted = list(wanted)
        self._on_match = on_match

    def look(self, unfinished: Callable[[], str | bytes | None]) -> None:
        """Search the unfinished line, after each chunk, for the patterns that were not found yet."""
        if not self._wanted or not (text := unfinished()):
            return
        for probe in list(self._wanted):
            match = probe.pattern.search(_as_text(text))
            if match is not None:
                self._wanted.remove(probe)
                self._on_match(probe, match)


def _as_text(line: str | bytes) -> str:
    return line if isinstance(line, str) else line.decode("utf-8", "backslashreplace")


def reason_of(error: Exception) -> str:
    """Return the reason why an attempt has failed, as the end of a sentence."""
    if isinstance(error, NotYet):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
