"""The monitor: asks a program that is ready, again and again, whether it is alive.

One timer between checks and one task during a check. What the answers mean is decided in ``core/options/alive.py``; ending a
program that is not alive is for its Process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aioverseer._aio.shield import settle
from aioverseer._aio.timers import OneShotTimer
from aioverseer._engine.health.readiness import reason_of
from aioverseer._system.probes.answer import Hangs, NotYet
from aioverseer._system.probes.attempts import GRACE, ProbeAttempts, within
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.machine.health import LivenessJudge, is_late
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.composition import AllOf, AnyOf, Probe, leaves
from aioverseer.core.options.probes import File, Notify
from aioverseer.core.options.spec import Spec

__all__ = ["LivenessCheck"]

_END = 2.0
"""Seconds for what was cancelled to come to its end."""


class Tell(Protocol):
    """Called when what a program is taken for changes."""

    def __call__(self, *, alive: bool, why: str) -> None:
        """Take note."""
        ...


class LivenessCheck:
    """Watches over one run, from the moment it is ready to its end."""

    def __init__(
        self,
        policy: Alive,
        *,
        spec: Spec,
        clock: Clock,
        launcher: Launcher,
        process: object,
        drain: Callable[[], None],
        tell: Tell,
        excuse: Callable[[str], None],
    ) -> None:
        """Make a monitor; nothing is asked before ``begin``.

        Args:
            policy: The rules.
            spec: What runs.
            clock: What times are measured by.
            launcher: What starts the commands of probes.
            process: What functions of the user are given.
            drain: Reads the notices that have come and were not read yet.
            tell: Called with whether it is alive, and why, when that changes.
            excuse: Called with a sentence when a check that failed was not counted, because the host was busy.
        """
        self._policy = policy
        self._clock = clock
        self._asker = ProbeAttempts(spec=spec, launcher=launcher, process=process)
        for leaf in leaves(policy.probe):
            if isinstance(leaf, File):
                self._asker.before[leaf] = None  # whether it is there, however old it is
        self._drain = drain
        self._tell = tell
        self._excuse = excuse
        self._health: LivenessJudge | None = None
        self._timer = OneShotTimer(clock)
        self._task: asyncio.Task[None] | None = None
        self._hung: asyncio.Future[Any] | None = None
        """A check that goes on although it was cancelled: there is no other one beside it."""
        self._barked = False

    def begin(self) -> None:
        """Begin: it is ready. The first check comes ``every`` seconds from now."""
        now = self._clock.now()
        self._health = LivenessJudge(self._policy, since=now)
        self._timer.arm(now + self._policy.every, self._on_due)

    def bark(self) -> None:
        """Take note of a ``WATCHDOG=1``."""
        self._barked = True

    def trigger(self) -> None:
        """Take note of a ``WATCHDOG=trigger``: it asks to be treated as not alive."""
        if self._health is not None and self._health.trigger("it sent WATCHDOG=trigger"):
            self._tell(alive=False, why=self._health.error)

    def stop(self) -> None:
        """Ask no more. Idempotent."""
        self._health = None
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> asyncio.CancelledError | None:
        """Wait for the end of a check that is under way; return the cancellation that came meanwhile. Idempotent."""
        self.stop()
        task, self._task = self._task, None
        return None if task is None else await settle(task, within=_END)

    def _on_due(self) -> None:
        self._task = asyncio.create_task(self._check(), name=f"aioverseer alive {self._asker.spec.id}")

    async def _check(self) -> None:
        """Make one check, and arm the timer for the next; nothing but a cancellation comes out of it."""
        began = self._clock.now()
        late = is_late(self._timer.due, began)  # a program that may not speak while nobody listens is not silent
        allowed = self._policy.timeout
        error = ""
        try:
            if self._hung is not None and not self._hung.done():
                raise NotYet("an earlier check goes on although it was cancelled")  # as any other no
            await within(self._clock, self._policy.timeout, self._ask(self._policy.probe))
        except Exception as raised:  # noqa: BLE001  # of a function of the user: it is the answer, and is reported
            error = reason_of(raised)
            if isinstance(raised, Hangs):
                self._hung = raised.task
                allowed += GRACE
        now = self._clock.now()
        late = late or is_late(began + allowed, now)
        self._barked = False
        self._task = None
        health = self._health
        if health is None:  # its end came meanwhile
            return
        # From when it was due, so that checks do not drift; from now where the host has missed some.
        self._timer.arm(max(self._timer.due + self._policy.every, now), self._on_due)
        if not error:
            if health.passed():
                self._tell(alive=True, why="it answers again")
        elif late:
            self._excuse(f"a failed check ({error}) does not count: the event loop of the host was blocked")
        elif health.failed_at(now, error):
            times = f"{health.failed} checks in a row have failed" if health.failed > 1 else "a check has failed"
            self._tell(alive=False, why=f"{times}: {error}")

    async def _ask(self, probe: Probe) -> None:
        """Ask all that a probe is made of, one after the other, as far as it matters."""
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
                # While the host was busy they have waited in the socket.
                self._drain()
                if not self._barked:
                    raise NotYet(f"no WATCHDOG=1 within {self._policy.every:g} s")
            case _:
                await self._asker.ask(probe)
