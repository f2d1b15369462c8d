"""Service: a named, supervised program, whose handle survives its restarts.

The handle, and what the Overseer that holds it asks of it. Its runs are in ``_engine/service/runner.py``, those who wait for it in
``_engine/service/waiters.py``, why it is where it is in ``_engine/service/explain.py``. Sets of services and their order never live here.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Literal, Self

from aioverseer._aio.shield import settle
from aioverseer._engine.output.subscription import Overflow, Subscription
from aioverseer._engine.process.process import Process
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._engine.service.waiters import Waiters
from aioverseer.core.errors import ProcessNotRunning
from aioverseer.core.export import exported_from
from aioverseer.core.machine.inputs import RestartRequested, StartRequested, StopRequested
from aioverseer.core.machine.membership import GroupMembership
from aioverseer.core.machine.table import Input
from aioverseer.core.options.restart import is_success
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.events import StopOutcome
from aioverseer.core.report.status import GaveUp, Status, StatusSnapshot
from aioverseer.core.state import State
from aioverseer.core.text.lines import Line

if TYPE_CHECKING:
    from aioverseer._engine.service.owner import ServiceOwner
    from aioverseer._system.inprocess import MemberLauncher
    from aioverseer.core.machine.dependencies import DependencyState
    from aioverseer.core.report.why import Why

__all__ = ["Service"]

_MARGIN = 2.0
"""Seconds on top of a ladder before a cancelled call stops waiting for what it undoes."""


@exported_from("aioverseer")
class Service:
    """A named, supervised program.

    Made by ``Overseer.add``. ``await service`` waits for its final end. All of its methods are to be called on the
    overseer's event loop; reading its state is possible from anywhere.
    """

    def __init__(self, spec: Spec, host: ServiceOwner, member: MemberLauncher | None = None) -> None:
        """Register a Spec; nothing is started. A member stands in for the program."""
        self._host = host
        self._runs = ServiceRunner(spec, host, member)
        self._waits = Waiters(self._runs, host)
        self._runs.on_change = self._waits.hear
        self._machine = self._runs.machine
        """For reading: what it is fed with goes by ``Runs.post``."""
        self.member = member

    def __repr__(self) -> str:
        """Return id, program, state and pid."""
        pid = "" if self.pid is None else f" pid={self.pid}"
        return f"<Service {self.id!r} {shlex.join(self.spec.argv)!r} {self.state}{pid}>"

    @property
    def id(self) -> str:
        """Its name in the overseer."""
        return self._runs.spec.id

    @property
    def spec(self) -> Spec:
        """What its next run will be; ``Overseer.update`` changes it."""
        return self._runs.spec

    @property
    def state(self) -> State:
        """Where it is."""
        return self._machine.state

    @property
    def process(self) -> Process | None:
        """The current or last run; None before the first."""
        return self._runs.process

    @property
    def pid(self) -> int | None:
        """Process id of the current or last run; None before its spawn."""
        process = self._runs.process
        return None if process is None else process.pid

    @property
    def resource(self) -> Any:
        """What the ``__aenter__`` of a resource returned.

        Raises:
            ProcessNotRunning: When it is no resource, or is not entered now.
        """
        if self.member is None or not self.member.is_resource or self.state is not State.RUNNING:
            raise ProcessNotRunning(f"{self.id!r} has no resource now: it is {self.state}; see Overseer.add_resource")
        return self.member.value

    @property
    def restarts(self) -> int:
        """How many runs followed the first since it was last started."""
        return self._machine.restarts

    @property
    def history(self) -> tuple[Status, ...]:
        """The final Status of each of the last runs, oldest first."""
        return tuple(facts.status() for facts in self._runs.history)

    def status(self, *, lines: bool = True) -> Status:
        """Return a snapshot of everything known about it.

        Args:
            lines: Whether the lines of a buffered run are part of it.
        """
        return self.facts(lines=lines).status()

    def why(self) -> Why:
        """Return why it is in its state, what it waits for, and what comes next; ``str()`` of it is one sentence."""
        from aioverseer._engine.service.explain import explain  # noqa: PLC0415  # most hosts never ask

        return explain(self._runs, self._host)

    def tail(self, n: int = 20) -> list[Line]:
        """Return the last lines that it wrote, oldest first, over all its runs.

        Args:
            n: How many at most; what is remembered is bounded (200 lines, 64 KiB).
        """
        return self._runs.hub.tail(n)

    def lines(
        self,
        stream: Literal["stdout", "stderr"] | None = None,
        *,
        history: int = 0,
        size: int = 1000,
        overflow: Overflow = "drop_oldest",
    ) -> Subscription:
        """Return a queue of the lines that it writes from now on, over all its runs.

        The queue ends when the service does, after the last line, and goes on when it is started again.

        Args:
            stream: One stream, or None for both.
            history: Begin with up to so many remembered lines.
            size: Lines that the queue holds.
            overflow: What becomes of lines beyond that: ``"drop_oldest"`` and ``"drop_newest"`` put a ``Dropped(n)``
                in their place, ``"block"`` slows the program, ``"error"`` ends the queue with ``asyncio.QueueFull``.

        Raises:
            SpecError: For a value that cannot be.
        """
        self._host.check()
        return self._runs.hub.subscribe(
            stream=stream, history=history, size=size, overflow=overflow, ended=self.state.is_final
        )

    async def start(self) -> Self:
        """Start it and return once it is ready; a failed start is judged by the policy like any failure.

        In BACKOFF it does not wait for the delay. When the call that began the start is cancelled, the service is
        stopped before the cancellation goes on.

        Raises:
            NotReady: When it ends for good, or is stopped, without having become ready; with the last lines.
            StopFailed: At once when its earlier program is still there after the whole ladder. It stays wanted: should
                that end after all, a new run follows.
        """
        self._check_start()
        if self.state is State.RUNNING:
            return self
        began = not self.state.is_live
        self.post(StartRequested())
        await self._ready_or_undone(began=began)
        return self

    async def restart(self) -> Self:
        """Stop it by its ladder, start it again, and return once it is ready.

        In a final state, or before its first start, this is ``start()``. When this is cancelled, the restart goes on
        by itself.

        Raises:
            NotReady: When it ends for good, or is stopped, without having become ready.
            StopFailed: As in ``start``.
        """
        self._check_start()
        began = not self.state.is_live
        self.post(RestartRequested())
        await self._ready_or_undone(began=began)
        return self

    async def _ready_or_undone(self, *, began: bool) -> None:
        # Watched with the state that the start has just left out: RUNNING means a run after it.
        future = self._waits.until(State.RUNNING)
        try:
            await future
        except asyncio.CancelledError:
            if began:
                await self.undo("its start was cancelled")
            raise

    async def ready(self, timeout: float | None = None) -> Self:
        """Wait until it is ready. Safe to cancel.

        Args:
            timeout: Seconds; None is no limit.

        Raises:
            NotReady: At once when it has ended and so cannot become ready, with the last lines.
            NotReadyInTime: When the time is over.
        """
        await self.wait_for(State.RUNNING, timeout)
        return self

    async def wait(self) -> Status:
        """Wait for its final end and return the Status; nothing is started. Safe to cancel.

        Raises:
            StopFailed: At once when its program is still there after the whole ladder, as its end may never come.
        """
        self._host.check()
        return (await self._waits.for_end()).status()

    def __await__(self) -> Generator[Any, None, Status]:
        """Do what ``wait()`` does."""
        return self.wait().__await__()

    async def wait_for(self, wanted: State | Callable[[Status], bool], timeout: float | None = None) -> Status:
        """Wait until it is in a state, or a function says True of its Status; every transition is looked at.

        Args:
            wanted: A State, or a function of a Status.
            timeout: Seconds; None is no limit.

        Returns:
            The Status that was wanted. Safe to cancel.

        Raises:
            NotReady: At once when it has ended otherwise, so that this cannot come true any more.
            NotReadyInTime: When the time is over.
            StopFailed: At once when its program is still there after the whole ladder.
        """
        self._host.check()
        future = self._waits.until(wanted)
        if timeout is None or future.done():
            return (await future).status()
        return (await self._waits.at_most(timeout, future, wanted)).status()

    async def stop(self, *, kill: bool = False) -> Status:
        """End it by its ladder and return the Status. Valid in every state, idempotent; no restart follows.

        When this is cancelled, the stop goes on by itself.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.

        Raises:
            StopFailed: When its program is still there after the whole ladder.
        """
        outcome = await self.stop_outcome(kill=kill)
        if outcome.survived:
            raise self._waits.stop_failed(outcome.status)
        return outcome.status

    def signal(self, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to its program and all that it started. This is no stop: the policy judges what follows.

        Args:
            number: The signal, for example ``signal.SIGHUP``.
            scope: ``"leader"`` reaches the program alone.

        Raises:
            ProcessNotRunning: When no program of it is live.
            SpecError: When it is no signal.
        """
        self._host.check()
        self._live_process().signal(number, scope=scope)

    async def write(self, data: bytes | str) -> None:
        """Write to the standard input of the current run; see ``Process.write``."""
        self._host.check()
        await self._live_process().write(data)

    async def write_eof(self) -> None:
        """End the standard input of the current run behind all that is being written; see ``Process.write_eof``."""
        self._host.check()
        await self._live_process().write_eof()

    def close_stdin(self) -> None:
        """End the standard input of the current run. Idempotent."""
        self._host.check()
        process = self._runs.process
        if process is not None:
            process.close_stdin()

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the terminal of the current run; see ``Process.resize``."""
        self._host.check()
        self._live_process().resize(columns, rows)

    def reopen_log(self) -> None:
        """Close its log files; the next line opens what bears their names then. For tools that rename them.

        This is needed only to have a renamed file let go at once: a file is looked at before each write anyway.
        """
        self._host.check()
        self._host.log_files.reopen(self.id)

    async def flush_log(self) -> None:
        """Wait until all lines so far are in its log files, or are counted as lost. Safe to cancel."""
        self._host.check()
        await self._host.log_files.flush()

    # What follows is for the Overseer that holds this Service, and for the Service itself.

    async def stop_outcome(self, *, kill: bool = False) -> StopOutcome:
        """Do what ``stop`` does, and return what it took rather than raise."""
        self._host.check()
        return await self.ask_to_stop(StopRequested(kill=kill))

    async def undo(self, why: str) -> None:
        """Stop it and wait for that through any cancellation, no longer than its ladder takes."""
        ended = self.ask_to_stop(StopRequested(why=why))
        within = self.spec.stop.total + self.spec.drain_timeout + _MARGIN
        await settle(ended, within=within, clock=self._host.clock)
        ended.cancel()

    def ask_to_stop(self, asked: StopRequested) -> asyncio.Future[StopOutcome]:
        """Begin a stop; the future has what it took, at its end or at that of its ladder.

        It also ends when somebody starts the service again meanwhile: then with the Status of the run that was stopped.
        """
        return self._waits.for_stop(asked)

    @property
    def is_unstoppable(self) -> bool:
        """Whether its program is still there although the whole ladder has been taken."""
        return self._runs.is_unstoppable

    @property
    def ending(self) -> tuple[str, float | None]:
        """What ends its program, as words behind "waits for", and the monotonic time of the next step of its ladder."""
        return self._runs.ending

    def facts(self, *, lines: bool = True) -> StatusSnapshot:
        """Return what a Status is made of."""
        return self._runs.facts(lines=lines)

    def adopt(self, spec: Spec) -> None:
        """Take a new Spec, for the next run; a new policy judges the next end."""
        self._runs.adopt(spec)

    def close(self) -> None:
        """End the subscriptions and waits for good: the service was removed."""
        self._runs.release()
        self._runs.hub.end()
        self._waits.close()

    def forsake(self) -> None:
        """End the waits: the overseer has been left, so nothing comes any more. It may be entered again."""
        self._runs.release()
        self._waits.forsake()

    def release(self) -> None:
        """Listen no more to what earlier runs have left behind."""
        self._runs.release()

    def room(self) -> None:
        """Read the pipes again for which no lossless subscriber is blocked any more."""
        self._runs.hub.resume_reading()

    def post(self, given: Input) -> None:
        """Feed the table and perform what it asks for.

        What comes of an action is fed after all actions before it were performed, so that news are told in order.
        """
        self._runs.post(given)

    def fact(self) -> DependencyState:
        """Return what those need to know that are started after it."""
        from aioverseer.core.machine.dependencies import DependencyState  # noqa: PLC0415  # loaded by the overseer that asks

        machine = self._machine
        process = self._runs.process
        exit = None if process is None else process.exit
        return DependencyState(
            state=machine.state,
            started=machine.spawned,
            was_ready=machine.was_ready,
            success=machine.state is State.FINISHED and is_success(machine.policy, exit),
            unstoppable=self.is_unstoppable,
        )

    @property
    def is_held(self) -> bool:
        """Whether it waits for others before its first run."""
        return self._machine.deferred

    @property
    def has_begun(self) -> bool:
        """Whether a start of its program has been tried since it was last started."""
        return self._machine.begun

    @property
    def was_stopped(self) -> bool:
        """Whether its end, if it has ended, is what somebody asked for."""
        return self._machine.stopped_on_request

    @property
    def was_dismissed(self) -> bool:
        """Whether its end, if it has ended, is what its group wanted."""
        return self._machine.stopped_by_group

    @property
    def gave_up(self) -> GaveUp | None:
        """The error, if it has ended because its budget, or that of its group, is spent."""
        return self._runs.gave_up

    @property
    def is_halted(self) -> bool:
        """Whether it is held down by its group, to be started again with the others."""
        return self._machine.held_by_group

    def sit(self, membership: GroupMembership | None) -> None:
        """Take a place in a group with a strategy, which judges its ends from now on; or leave it."""
        self._machine.membership = membership

    def _check_start(self) -> None:
        self._host.check(starting=True)
        self._waits.check()

    def _live_process(self) -> Process:
        process = self._runs.process
        if process is None:
            raise ProcessNotRunning(f"{self.id!r} is not running: {self._machine.reason}")
        return process
