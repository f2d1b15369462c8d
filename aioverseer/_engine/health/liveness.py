"""Repeated checks whether a ready program is alive: one timer between checks, one task during a check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aioverseer._aio.shield import settle
from aioverseer._aio.timers import OneShotTimer
from aioverseer._engine.health.readiness import reason_of
from aioverseer._system.probes.answer import Hangs, NotYet
from aioverseer._system.probes.attempts import GRACE, ProbeAttempts, within
from aioverseer._system.probes.listeners import ListenerCheck
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.machine.health import LivenessJudge, is_late
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.composition import AllOf, AnyOf, Probe, leaves
from aioverseer.core.options.probes import File, Notify
from aioverseer.core.options.spec import Spec

__all__ = ["LivenessCheck"]

_END_TIMEOUT = 2.0
"""Seconds for a cancelled check to end."""


class LivenessListener(Protocol):
    """Callback for a change of liveness."""

    def __call__(self, *, alive: bool, why: str) -> None:
        """Receive the change and its reason."""
        ...


class LivenessCheck:
    """Checks one run, from the moment when it is ready to its end."""

    def __init__(
        self,
        policy: Alive,
        *,
        spec: Spec,
        clock: Clock,
        launcher: Launcher,
        process: Callable[[], object],
        listeners: ListenerCheck,
        drain: Callable[[], None],
        on_change: LivenessListener,
        on_excused: Callable[[str], None],
    ) -> None:
        """Create a check that does nothing before ``begin``.

        Args:
            policy: Probe and limits.
            spec: Spec of the program.
            clock: The source of time.
            launcher: The launcher of the commands of probes.
            process: Function that returns the argument for functions of the user.
            listeners: Check of who answers a connection.
            drain: Function that reads the notices that have arrived.
            on_change: Called when the program no longer counts as alive, and when it does again.
            on_excused: Called with a sentence when a failed check does not count, because the host was blocked.
        """
        self._policy = policy
        self._clock = clock
        self._attempts = ProbeAttempts(spec=spec, launcher=launcher, process=process, listeners=listeners)
        for leaf in leaves(policy.probe):
            if isinstance(leaf, File):
                self._attempts.before[leaf] = None  # liveness asks whether the file exists, not whether it is new
        self._drain = drain
        self._on_change = on_change
        self._on_excused = on_excused
        self._judge: LivenessJudge | None = None
        self._timer = OneShotTimer(clock)
        self._task: asyncio.Task[None] | None = None
        self._hung: asyncio.Future[Any] | None = None
        """A check that goes on in spite of its cancellation. No other check starts before it ends."""
        self._heartbeat_seen = False

    def begin(self) -> None:
        """Begin when the program is ready. The first check comes ``every`` seconds from now."""
        now = self._clock.now()
        self._judge = LivenessJudge(self._policy, since=now)
        self._timer.arm(now + self._policy.every, self._on_due)

    def heartbeat(self) -> None:
        """Record a ``WATCHDOG=1`` of the program."""
        self._heartbeat_seen = True

    def trigger(self) -> None:
        """Handle a ``WATCHDOG=trigger``, by which the program asks to be treated as not alive."""
        if self._judge is not None and self._judge.trigger("it sent WATCHDOG=trigger"):
            self._on_change(alive=False, why=self._judge.error)

    def stop(self) -> None:
        """Stop checking. Idempotent."""
        self._judge = None
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> asyncio.CancelledError | None:
        """Wait for the end of the current check; return the cancellation that came meanwhile. Idempotent."""
        self.stop()
        task, self._task = self._task, None
        return None if task is None else await settle(task, within=_END_TIMEOUT)

    def _on_due(self) -> None:
        self._task = asyncio.create_task(self._check(), name=f"aioverseer alive {self._attempts.spec.id}")

    async def _check(self) -> None:
        """Make one check and arm the timer for the next. Raises nothing but a cancellation."""
        began = self._clock.now()
        late = is_late(self._timer.due, began)  # if the host was blocked, notices of the program were not read in time
        allowed = self._policy.timeout
        error = ""
        try:
            if self._hung is not None and not self._hung.done():
                raise NotYet("an earlier check goes on although it was cancelled")  # counts as a failure
            await within(self._clock, self._policy.timeout, self._ask(self._policy.probe))
        except Exception as raised:  # noqa: BLE001  # a function of the user may raise anything; it is reported as the reason
            error = reason_of(raised)
            if isinstance(raised, Hangs):
                self._hung = raised.task
                allowed += GRACE
        now = self._clock.now()
        late = late or is_late(began + allowed, now)
        self._heartbeat_seen = False
        self._task = None
        judge = self._judge
        if judge is None:  # the run has ended meanwhile
            return
        # Counted from the due time, so that checks do not drift. If the host has missed some, the next one comes now.
        self._timer.arm(max(self._timer.due + self._policy.every, now), self._on_due)
        if not error:
            if judge.passed():
                self._on_change(alive=True, why="it answers again")
        elif late:
            self._on_excused(f"a failed check ({error}) does not count: the event loop of the host was blocked")
        elif judge.failed_at(now, error):
            times = f"{judge.failed} checks in a row have failed" if judge.failed > 1 else "a check has failed"
            self._on_change(alive=False, why=f"{times}: {error}")

    async def _ask(self, probe: Probe) -> None:
        """Ask the parts of a probe one after the other, until the result is known."""
        match probe:
            case AllOf(probes=parts):
                for part in parts:
                    await self._ask(part)
            case AnyOf(probes=parts):
                errors: list[str] = []
                for part in parts:
                    try:
                        await self._ask(part)
                    except Exception as error:  # noqa: BLE001  # as in ``_check``
                        errors.append(reason_of(error))
                    else:
                        return
                raise NotYet("; ".join(errors))
            case Notify():
                # Notices may still wait in the socket if the host was blocked.
                self._drain()
                if not self._heartbeat_seen:
                    raise NotYet(f"no WATCHDOG=1 within {self._policy.every:g} s")
            case _:
                await self._attempts.ask(probe)
