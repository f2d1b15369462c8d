"""Watching: restarts services when their watched files change, at once and outside of the restart budget."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from aioverseer._aio.timers import OneShotTimer
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._system.host.path_watch import PathWatch
from aioverseer.core.clock import Clock
from aioverseer.core.errors import OverseerError
from aioverseer.core.machine.inputs import RestartRequested
from aioverseer.core.machine.watching import LOOP, WatchRule
from aioverseer.core.options.watch import Watch, counts
from aioverseer.core.state import State

__all__ = ["Watching"]


class _WatchedService:
    """The watch of one service, while it is live."""

    def __init__(self, option: Watch, rule: WatchRule, timer: OneShotTimer, folder: str) -> None:
        self.option = option
        self.rule = rule
        self.timer = timer
        self.folder = folder
        self.paths: PathWatch | None = None


class Watching:
    """Watches the files of live services with ``watch``. A service that has ended or is stopped is not watched."""

    def __init__(
        self,
        services: Mapping[str, ServiceRunner],
        *,
        clock: Clock,
        log_files: Callable[[], Iterable[str]],
        warn: Callable[[str, str], None],
    ) -> None:
        """Begin without services.

        Args:
            services: The services by name.
            clock: The source of time.
            log_files: Function that returns the absolute paths of all log files of the overseer.
            warn: Function that publishes a sentence about a service as a warning.
        """
        self._services = services
        self._clock = clock
        self._log_files = log_files
        self._warn = warn
        self._watched: dict[str, _WatchedService] = {}

    def on_transition(self, transition: ServiceTransition) -> None:
        """Begin and end with the life of a service, and follow its runs."""
        service = self._services.get(transition.id)
        if service is None or not transition.state.is_live or not service.machine.wanted:
            self._forget(transition.id)
            return
        self.on_spec(service)
        watched = self._watched.get(transition.id)
        if watched is None:
            return
        if transition.state in (State.STARTING, State.STOPPING):
            watched.rule.begin_run()
        else:
            watched.rule.end_restart(self._clock.now(), ready=transition.state is State.RUNNING)
            self._arm(service.id, watched)

    def on_spec(self, service: ServiceRunner) -> None:
        """Take a changed option, also for a service that is live."""
        option = service.spec.watch
        known = self._watched.get(service.id)
        if known is not None and known.option == option:
            return
        self._forget(service.id)
        if option is None or not (service.state.is_live and service.machine.wanted):
            return
        folder = os.path.abspath(service.spec.cwd or "")
        watched = _WatchedService(option, WatchRule(option.debounce), OneShotTimer(self._clock), folder)
        self._watched[service.id] = watched
        self._open(service.id, watched)

    def _open(self, id: str, watched: _WatchedService) -> None:
        """Begin to watch the files as they are now."""
        if watched.paths is not None:
            watched.paths.close()
            watched.paths = None
        paths = [os.path.normpath(os.path.join(watched.folder, path)) for path in watched.option.paths]
        try:
            watched.paths = PathWatch(paths, lambda below, path: self._on_change(id, watched, below, path))
        except OverseerError as error:
            self._warn(id, f"is not watched: {error}")

    def _forget(self, id: str) -> None:
        watched = self._watched.pop(id, None)
        if watched is not None:
            watched.timer.cancel()
            if watched.paths is not None:
                watched.paths.close()

    def _on_change(self, id: str, watched: _WatchedService, below: str, path: str) -> None:
        if self._watched.get(id) is not watched or self._is_log(path):
            return
        parts = os.path.relpath(path, below).split(os.sep) if path != below else [os.path.basename(path)]
        # A path that equals its folder means that events were lost, or that the folder is a new one: one restart,
        # whatever has changed, and a new watch.
        is_lost = path == below and os.path.isdir(path)
        if not is_lost and not counts(watched.option, parts):
            return
        if is_lost:
            self._open(id, watched)
        watched.rule.change(os.path.relpath(path, watched.folder), self._clock.now())
        self._arm(id, watched)

    def _is_log(self, path: str) -> bool:
        """Return whether a file is a log of the library, or a rotated or compressed one."""
        return any(path == log or path.startswith(f"{log}.") for log in self._log_files())

    def _arm(self, id: str, watched: _WatchedService) -> None:
        if watched.rule.due is not None:
            watched.timer.arm(watched.rule.due, lambda: self._on_timer(id, watched))

    def _on_timer(self, id: str, watched: _WatchedService) -> None:
        # A clock may call slightly early. The timer was armed for ``due``, so ``due`` has come.
        match watched.rule.settle(max(self._clock.now(), watched.timer.due)):
            case "restart":
                self._services[id].submit(RestartRequested(why=f"is restarted, as {watched.rule.changed} has changed"))
            case "loop":
                self._warn(
                    id,
                    f"was restarted {LOOP} times in a row because of changes just after it was ready, the last one of "
                    f"{watched.rule.changed}: it probably writes watched files itself. They are not watched until it "
                    "is stopped and started again; leave them out by the exclude patterns of watch",
                )
            case "wait":
                pass
