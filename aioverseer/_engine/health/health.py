"""The health of one run: its readiness first, then its liveness, and the notices in which it reports its state."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable

from aioverseer._engine.health.liveness import LivenessCheck
from aioverseer._engine.health.main_process import MainProcessFollower
from aioverseer._engine.health.readiness import LineWatch, PromptWatch, ReadinessCheck
from aioverseer._system.probes.commands import check_commands
from aioverseer._system.probes.listeners import ListenerCheck
from aioverseer._system.protocols import Child, Launcher, ReadinessChannels
from aioverseer.core.clock import Clock
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.composition import leaves
from aioverseer.core.options.probes import Notify
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.status import stranger_before
from aioverseer.core.state import Exit
from aioverseer.core.text.sd_notify import Notice, error_text

__all__ = ["Health"]


class Health:
    """Readiness and liveness of one run. It is used on the event loop of the run.

    Attributes:
        said_ready: Whether the program has sent ``READY=1``.
        said_error: The error that the program has named as its own, as the end of a sentence; empty for none.
        asked_for_reset: Whether the program wants the delays of its restarts to begin anew (``RESTART_RESET=1``).
        on_notice: Called with each notice while somebody waits for one; None for nobody.
    """

    def __init__(
        self,
        *,
        spec: Spec,
        clock: Clock,
        launcher: Launcher,
        process: Callable[[], object],
        on_ready: Callable[[], None],
        on_extend: Callable[[float], None],
        on_unhealthy: Callable[[str], None],
        on_stranger: Callable[[str], None],
        on_main: Callable[[int], None],
        on_main_missing: Callable[[str], None],
        publish: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        """Create the checks of a run. Nothing is opened.

        Args:
            spec: Spec of the program, with ``ready``, ``alive``, ``main_pid`` or ``reload="notify"``.
            clock: The source of time.
            launcher: The launcher of the commands of probes.
            process: Function that returns the argument for functions of the user.
            on_ready: Called once, when the program is ready.
            on_extend: Called with the seconds that the program asks for.
            on_unhealthy: Called with the reason when the program is not alive and must be ended.
            on_stranger: Called with who holds the socket of a probe, so that the program cannot become ready.
            on_main: Called with the process id when another process becomes the main one.
            on_main_missing: Called with the reason when the program has ended without naming its main process.
            publish: Called with a sentence for an event.
            warn: The same for an event that is logged as a warning.
        """
        probes = [probe for probe in (spec.ready, None if spec.alive is None else spec.alive.probe) if probe]
        self._spec = spec
        self._is_hosted = launcher.containment_of(spec).level == "none"
        self._listeners = ListenerCheck(
            spec, [leaf for probe in probes for leaf in leaves(probe)], is_hosted=self._is_hosted
        )
        has_watchdog = spec.alive is not None and Notify() in leaves(spec.alive.probe)
        self._alive: Alive | None = spec.alive
        self._awaits_ready = spec.ready is not None
        self._readiness = ReadinessCheck(
            spec.ready,
            spec=spec,
            clock=clock,
            launcher=launcher,
            process=process,
            listeners=self._listeners,
            notices=has_watchdog or "notify" in (spec.reload, spec.main_pid),
        )
        self._main: MainProcessFollower | None = None
        if spec.main_pid is not None:
            self._main = MainProcessFollower(
                spec,
                clock=clock,
                is_foreign=launcher.containment_of(spec).mechanism == "pidns",
                on_change=self._on_main_change,
                on_missing=on_main_missing,
                drain=self._readiness.drain,
                warn=warn,
            )
        self._on_main = on_main
        self._child: Child | None = None
        self._make_liveness = functools.partial(
            LivenessCheck,
            spec=spec,
            clock=clock,
            launcher=launcher,
            process=process,
            drain=self._readiness.drain,
            on_change=self._on_liveness,
            on_excused=publish,
        )
        self._liveness: LivenessCheck | None = None
        if spec.alive is not None:
            self._liveness = self._make_liveness(spec.alive, listeners=self._listeners)
        self._replaced: list[LivenessCheck] = []
        self._is_up = False
        self._has_watchdog = has_watchdog
        self._on_ready = on_ready
        self._on_extend = on_extend
        self._on_unhealthy = on_unhealthy
        self._on_stranger = on_stranger
        self._publish = publish
        self._warn = warn
        self._reason = ""
        self._notified_state = ""
        self._notified_status = ""
        self._begun = False
        self._stopped = False
        self.said_ready = False
        self.said_error = ""
        self.asked_for_reset = False
        self.on_notice: Callable[[Notice], None] | None = None

    @property
    def blocker(self) -> str:
        """Probe that readiness waits for, as words to follow "waits for"; empty when there is none."""
        if self._main is not None and self._child is not None and (blocker := self._main.blocker):
            return blocker
        return str(self._readiness.probe) if self._begun and not (self._readiness.ready or self._stopped) else ""

    @property
    def ready_match(self) -> re.Match[str] | None:
        """Match of the line by which the program became ready; None without one."""
        return self._readiness.match

    @property
    def summary(self) -> str:
        """Readiness, liveness and notices of the program, as the end of a sentence."""
        parts: list[str] = []
        if blocker := self.blocker:
            error = self._readiness.error if self._begun else ""
            parts.append(f"waits for {blocker}" + (f"; {error}" if error else ""))
        if self._reason:
            parts.append(f"not alive: {self._reason}")
        if self._notified_state or self._notified_status:
            parts.append(f"says: {', '.join(filter(None, (self._notified_state, self._notified_status)))}")
        return "; ".join(parts)

    @property
    def reads_lines(self) -> bool:
        """Whether a probe needs the output of the program."""
        return self._readiness.reads_lines

    async def prepare(self, sockets: ReadinessChannels | None = None) -> ReadinessChannels | None:
        """Open the channels for the program; see ``ReadinessCheck.prepare``. Safe to cancel.

        Args:
            sockets: Channels with the listening sockets that the program inherits; None for none.

        Raises:
            NotReady: If a stranger holds the socket of a probe.
            SpawnError: If no descriptor is left, or the program of a probe's command is missing.
        """
        if not self._is_hosted:  # the launcher of scripted children knows no files
            check_commands(self._spec)
        # Before anything is opened: a cancellation leaves nothing behind.
        blocked = await self._listeners.prepare(() if sockets is None else sockets.sockets.values())
        if held := self._readiness.held_by_strangers(blocked):
            raise stranger_before(self._spec.id, held)
        if self._main is not None:
            self._main.prepare()
        channels = self._readiness.prepare()
        if channels is None or not self._has_watchdog or self._alive is None:
            return channels
        # WATCHDOG_PID is left out, so that any process of the program may send (sd_watchdog_enabled(3)).
        watchdog = {"WATCHDOG_USEC": str(round(self._alive.every * 1e6))}
        return ReadinessChannels(
            env={**channels.env, **watchdog},
            descriptors=channels.descriptors,
            on_notify=channels.on_notify,
            on_write=channels.on_write,
        )

    def watch(self, stream: str) -> LineWatch | None:
        """Return a sink for one stream; see ``ReadinessCheck.watch``."""
        return self._readiness.watch(stream)

    def watch_prompts(self, stream: str) -> PromptWatch | None:
        """Return a search for prompts in one stream; see ``ReadinessCheck.watch_prompts``."""
        return self._readiness.watch_prompts(stream)

    def begin(self, child: Child) -> None:
        """Begin to check readiness, after the spawn. With a pid file, once that names the main process."""
        self._child = child
        if self._main is None or self._main.is_known:
            self._begin(child)
        if self._main is not None:
            self._main.begin(child)

    async def wait(self, child: Child) -> Exit:
        """Wait for the end of the main process of the program. Safe to cancel."""
        return await (child.wait() if self._main is None else self._main.wait(child))

    def _on_main_change(self, pid: int) -> None:
        self._on_main(pid)
        if self._begun:
            self._listeners.begin(pid)
        elif self._child is not None and not self._stopped:
            self._begin(self._child)
            if not self._awaits_ready:
                self._on_ready()

    def _begin(self, child: Child) -> None:
        self._begun = True
        self._listeners.begin(child.pid)
        owns = None if self._main is None else child.owns
        self._readiness.begin(child.pid, self._on_ready, self._on_notice, self._on_stranger, owns=owns)
        if not self._awaits_ready:
            self.begin_liveness()

    def begin_liveness(self) -> None:
        """Begin to check liveness, because the program is ready."""
        if self._begun:
            self._is_up = True
            if self._liveness is not None:
                self._liveness.begin()

    @property
    def alive(self) -> Alive | None:
        """Rules of the liveness checks in force; None for no checks."""
        return self._alive

    def change_alive(self, alive: Alive | None) -> bool:
        """Check liveness by other rules from now on.

        Returns:
            False if that has to wait for the next run: a program learns of a watchdog at its start.
        """
        if alive == self._alive or self._stopped:
            return True
        if alive is not None and Notify() in leaves(alive.probe):
            return False
        if self._liveness is not None:
            self._liveness.stop()
            self._replaced.append(self._liveness)
        self._alive, self._reason, self._has_watchdog, self._liveness = alive, "", False, None
        if alive is not None:
            listeners = ListenerCheck(self._spec, list(leaves(alive.probe)), is_hosted=self._is_hosted)
            self._liveness = self._make_liveness(alive, listeners=listeners)
            if self._child is not None:
                listeners.begin(self._child.pid)
            if self._is_up:
                self._liveness.begin()
        return True

    def stop(self) -> None:
        """Stop all checks, because the program has ended or is being ended. Idempotent."""
        self._stopped = True
        if self._main is not None:
            self._main.stop()
        self._readiness.stop()
        if self._liveness is not None:
            self._liveness.stop()

    def drain(self) -> None:
        """Read everything that the program sent before its end."""
        self._readiness.drain()

    async def close(self) -> asyncio.CancelledError | None:
        """Close everything; return the cancellation that came meanwhile, for the caller to raise. Idempotent."""
        if self._main is not None:
            self._main.close()
        cancelled: asyncio.CancelledError | None = None
        for check in filter(None, (self._liveness, *self._replaced)):
            cancelled = await check.close() or cancelled
        return await self._readiness.close() or cancelled

    def _on_liveness(self, *, alive: bool, why: str) -> None:
        if alive or self._alive is None:
            self._reason = ""
            self._publish(f"is alive again: {why}")
            return
        self._reason = why
        if self._alive.action == "restart":
            self._on_unhealthy(why)
        else:
            self._warn(f"is not alive: {why}")

    def _on_notice(self, notice: Notice) -> None:
        if self.on_notice is not None:
            self.on_notice(notice)
        self.said_ready = self.said_ready or notice.ready
        self.asked_for_reset = self.asked_for_reset or notice.restart_reset
        if notice.error is not None:
            self.said_error = f"it said: {error_text(notice.error)}"
        if notice.main_pid is not None and self._main is not None:
            self._main.on_notice(notice.main_pid)
        if notice.status is not None:
            self._notified_status = notice.status
        state = "is stopping" if notice.stopping else "reloads" if notice.reloading else "" if notice.ready else None
        if state is not None and state != self._notified_state:
            before, self._notified_state = self._notified_state, state
            self._publish(
                f"says that it {state}" if state else f"says that it is ready again, after it said {before!r}"
            )
        if notice.extend is not None:
            self._on_extend(notice.extend)
        if self._liveness is not None and self._has_watchdog:
            if notice.watchdog:
                self._liveness.heartbeat()
            if notice.trouble:
                self._liveness.trigger()
