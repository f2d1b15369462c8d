"""The care of one run: its readiness first, then its liveness, and what it says of itself meanwhile.

Ties the prober and the monitor to the Process; whatever follows from their answers is decided in ``core/machine/process.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aioverseer._engine.health.liveness import LivenessCheck
from aioverseer._engine.health.readiness import LineWatch, ReadinessCheck
from aioverseer._system.protocols import Launcher, ReadinessChannels
from aioverseer.core.clock import Clock
from aioverseer.core.options.composition import leaves
from aioverseer.core.options.probes import Notify
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.sd_notify import Notice

__all__ = ["Health"]


class Health:
    """Looks after one run; made by its Process, and used on its event loop."""

    def __init__(
        self,
        *,
        spec: Spec,
        clock: Clock,
        launcher: Launcher,
        process: object,
        on_ready: Callable[[], None],
        on_extend: Callable[[float], None],
        on_unhealthy: Callable[[str], None],
        on_news: Callable[[str], None],
    ) -> None:
        """Tie it to a Process; nothing is opened.

        Args:
            spec: What runs; has ``ready``, or ``alive``, or both.
            clock: What times are measured by.
            launcher: What starts the commands of probes.
            process: What functions of the user are given.
            on_ready: Called once, when it is ready.
            on_extend: Called when it asks for so many seconds.
            on_unhealthy: Called with the reason when it is to be ended, as it is not alive.
            on_news: Called with a sentence that is worth an event.
        """
        watchdog = spec.alive is not None and Notify() in leaves(spec.alive.probe)
        self._alive = spec.alive
        self._awaits_ready = spec.ready is not None
        self._prober = ReadinessCheck(
            spec.ready, spec=spec, clock=clock, launcher=launcher, process=process, notices=watchdog
        )
        self._monitor: LivenessCheck | None = None
        if spec.alive is not None:
            self._monitor = LivenessCheck(
                spec.alive,
                spec=spec,
                clock=clock,
                launcher=launcher,
                process=process,
                drain=self._prober.drain,
                tell=self._on_health,
                excuse=on_news,
            )
        self._watchdog = watchdog
        self._on_ready = on_ready
        self._on_extend = on_extend
        self._on_unhealthy = on_unhealthy
        self._on_news = on_news
        self._unhealthy_why = ""
        self._says = ""
        self._status = ""
        self._begun = False
        self._over = False

    @property
    def readiness(self) -> str:
        """What it waits for to be ready, as words behind "waits for"; empty when it does not."""
        return str(self._prober.probe) if self._begun and not (self._prober.ready or self._over) else ""

    @property
    def news(self) -> str:
        """What it waits for, whether it is alive, and what it says of itself, as the end of a sentence."""
        parts: list[str] = []
        if readiness := self.readiness:
            error = self._prober.error
            parts.append(f"waits for {readiness}" + (f"; {error}" if error else ""))
        if self._unhealthy_why:
            parts.append(f"not alive: {self._unhealthy_why}")
        if self._says or self._status:
            parts.append(f"says: {', '.join(filter(None, (self._says, self._status)))}")
        return "; ".join(parts)

    @property
    def reads_lines(self) -> bool:
        """Whether it has to see the output of the program."""
        return self._prober.reads_lines

    def prepare(self) -> ReadinessChannels | None:
        """Open what the program is to be given; see ``Prober.prepare``."""
        preparation = self._prober.prepare()
        if preparation is None or not self._watchdog or self._alive is None:
            return preparation
        # Without WATCHDOG_PID, so that whichever process of the program may send it (sd_watchdog_enabled(3)).
        every = {"WATCHDOG_USEC": str(round(self._alive.every * 1e6))}
        return ReadinessChannels(
            env={**preparation.env, **every}, descriptors=preparation.descriptors, hear=preparation.hear
        )

    def watch(self, stream: str) -> LineWatch | None:
        """Return an outlet for one stream; see ``Prober.watch``."""
        return self._prober.watch(stream)

    def begin(self, pid: int) -> None:
        """Begin: the program has been started."""
        self._begun = True
        self._prober.begin(pid, self._on_ready, self._hear)
        if self._monitor is not None and not self._awaits_ready:
            self._monitor.begin()

    def note_ready(self) -> None:
        """Take note that it is ready: from now on it has to be alive."""
        if self._monitor is not None and self._begun:
            self._monitor.begin()

    def stop(self) -> None:
        """Ask no more: it is being ended, or has ended. Idempotent."""
        self._over = True
        self._prober.stop()
        if self._monitor is not None:
            self._monitor.stop()

    def drain(self) -> None:
        """Take what the program said before it ended."""
        self._prober.drain()

    async def close(self) -> asyncio.CancelledError | None:
        """Let go of everything. Idempotent."""
        if self._monitor is not None:
            cancelled = await self._monitor.close()
            return await self._prober.close() or cancelled
        return await self._prober.close()

    def _on_health(self, *, alive: bool, why: str) -> None:
        if alive or self._alive is None:
            self._unhealthy_why = ""
            self._on_news(f"is alive again: {why}")
            return
        self._unhealthy_why = why
        if self._alive.action == "restart":
            self._on_unhealthy(why)
        else:
            self._on_news(f"is not alive: {why}")

    def _hear(self, notice: Notice) -> None:
        if notice.status is not None:
            self._status = notice.status
        said = "is stopping" if notice.stopping else "reloads" if notice.reloading else "" if notice.ready else None
        if said is not None and said != self._says:
            before, self._says = self._says, said
            self._on_news(f"says that it {said}" if said else f"says that it is ready again, after it said {before!r}")
        if notice.extend is not None:
            self._on_extend(notice.extend)
        if self._monitor is not None and self._watchdog:
            if notice.watchdog:
                self._monitor.bark()
            if notice.trouble:
                self._monitor.trigger()
