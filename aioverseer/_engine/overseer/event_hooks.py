"""EventHooks: starts the commands of hooks for events. The first hook of an overseer imports this module."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aioverseer._aio.timers import OneShotTimer
from aioverseer._aio.watchers import Watchers
from aioverseer._engine.events.log_records import level_of
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpecError
from aioverseer.core.machine.log_limit import LogLimit
from aioverseer.core.options.event_hook import EventHook, is_wanted
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import Stop
from aioverseer.core.report.events import EventRecord
from aioverseer.core.report.status import with_last_lines
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.health.health import Health

__all__ = ["MOST_PENDING", "EventHooks"]

_log = logging.getLogger("aioverseer")

MOST_PENDING = 1000
"""Events that wait for a run of one hook. The oldest are dropped and counted: a crash storm must not fill memory."""

_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL for a command."""

_PATIENCE = 10.0
"""Seconds that commands may go on after all services have stopped."""
_LEAST_PATIENCE = 1.0
"""The same for an overseer whose ``shutdown_timeout`` is over."""


class EventHooks:
    """The hooks of one overseer."""

    def __init__(
        self,
        services: Mapping[str, ServiceRunner],
        *,
        clock: Clock,
        launcher: Launcher,
        shutdown_timeout: float | None,
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
        is_at_work: Callable[[], bool],
        load_health: Callable[[], type[Health]],
    ) -> None:
        """Begin without hooks.

        Args:
            services: All services by name. The registry changes this mapping.
            clock: The source of time.
            launcher: The launcher of commands.
            shutdown_timeout: Seconds that leaving the overseer may take; None for no limit but the ladders.
            start_task: Function that runs a coroutine until the overseer is left.
            is_at_work: Function that returns whether ``start_task`` may be called now.
            load_health: Function that imports the class that runs probes. No command has any.
        """
        self._services = services
        self._clock = clock
        self._shutdown_timeout = shutdown_timeout
        self._is_at_work = is_at_work
        self._begin = functools.partial(
            _CommandRun, clock=clock, launcher=launcher, start_task=start_task, load_health=load_health
        )
        self._limit = LogLimit()
        self._queues: list[_HookQueue] = []
        self._removed: list[_HookQueue] = []
        """Hooks that were removed while their commands run."""
        self._is_closed = False
        self._has_given_up = False
        self._leaving_due: float | None = None

    @property
    def hooks(self) -> tuple[EventHook, ...]:
        """All hooks, in the order in which they were added."""
        return tuple(queue.hook for queue in self._queues)

    def add(self, hook: EventHook | None, options: Mapping[str, Any]) -> EventHook:
        """Add a hook, for the events from now on, and return it.

        Args:
            hook: The hook; None for one of the options.
            options: Options of a hook; see ``EventHook``.

        Raises:
            SpecError: If a value is invalid, or there is an equal hook.
        """
        if hook is None:
            hook = EventHook(**options)
        elif options:
            raise SpecError("pass an EventHook alone, or its options", option="run")
        if hook in self.hooks:
            raise SpecError(f"there is an equal hook already: {hook!r}", option="run", value=hook.run)
        self._queues.append(_HookQueue(hook, clock=self._clock, limit=self._limit, begin=self._begin))
        return hook

    def remove(self, hook: EventHook) -> None:
        """Remove a hook. Events that wait are dropped, and runs of its command go on.

        Raises:
            SpecError: If there is no such hook.
        """
        queue = next((queue for queue in self._queues if queue.hook == hook), None)
        if queue is None:
            raise SpecError(f"there is no such hook: {hook!r}", option="run", value=hook)
        self._queues.remove(queue)
        queue.clear()
        self._removed = [each for each in (*self._removed, queue) if each.is_busy]

    def on_record(self, record: EventRecord) -> None:
        """Start the commands that an event calls for, or let it wait for them."""
        if self._is_closed or not self._is_at_work():
            return
        id = record.snapshot.spec.id
        service = self._services.get(id)
        words: set[str] = {record.kind}
        if record.kind == "state":
            words.add(str(record.state))
            if service is not None and _is_failure(service, record.state):
                words.add("failed")
        names = {id} if service is None or service.place is None else {id, service.place.name}
        for queue in self._queues:
            if is_wanted(queue.hook, words, names):
                queue.put(record)

    # The overseer is entered and left.

    def reopen(self) -> None:
        """Go on after an end."""
        self._is_closed = self._has_given_up = False
        self._leaving_due = None

    def begin_leaving(self) -> None:
        """Record that the time of ``shutdown_timeout`` begins."""
        if self._shutdown_timeout is not None:
            self._leaving_due = self._clock.now() + self._shutdown_timeout

    async def end(self) -> None:
        """Wait until the commands for all events so far have ended, for a bounded time, and then stop the rest.

        When this is cancelled, the event loop is being closed, and the caller cancels the tasks of the commands.
        """
        patience = _PATIENCE
        if self._leaving_due is not None:
            patience = min(_PATIENCE, max(_LEAST_PATIENCE, self._leaving_due - self._clock.now()))
        timer = OneShotTimer(self._clock)
        timer.arm(self._clock.now() + patience, self._give_up)
        # In real time too: this must end although the clock of the overseer may stand still.
        real = asyncio.get_running_loop().call_later(_PATIENCE, self._give_up)
        try:
            while busy := [queue for queue in (*self._queues, *self._removed) if queue.is_busy]:
                await busy[0].idle()
        finally:
            timer.cancel()
            real.cancel()
            self.close()

    def close(self) -> None:
        """Start no further command."""
        self._is_closed = True
        for queue in self._queues:
            queue.clear()

    def _give_up(self) -> None:
        if self._has_given_up:  # both timers of ``end`` may be due
            return
        self._is_closed = self._has_given_up = True
        for queue in (*self._queues, *self._removed):
            queue.give_up()


class _HookQueue:
    """The events that wait for the command of one hook, and its runs.

    Attributes:
        hook: The hook.
    """

    def __init__(self, hook: EventHook, *, clock: Clock, limit: LogLimit, begin: Callable[..., _CommandRun]) -> None:
        """Begin without events.

        Args:
            hook: The hook.
            clock: The source of time for the limit on warnings.
            limit: The limit on warnings.
            begin: Function that starts the command: of a Spec, with a function to call at its end.
        """
        self.hook = hook
        self._clock = clock
        self._limit = limit
        self._begin = begin
        # Without the input, which is set for each run.
        self._spec = Spec(
            id=hook.id,
            argv=hook.run,
            cwd=hook.cwd,
            extra_env=hook.extra_env,
            max_runtime=hook.timeout,
            stop=Stop(timeout=_GRACE),
        )
        self._pending: deque[EventRecord] = deque()
        self._missed = 0
        self._runs: dict[_CommandRun, EventRecord] = {}
        self._is_scheduled = False
        self._watchers: Watchers[_HookQueue] = Watchers()

    @property
    def is_busy(self) -> bool:
        """Whether a command runs, or an event waits for one."""
        return bool(self._pending or self._runs)

    def idle(self) -> asyncio.Future[_HookQueue]:
        """Return a future for the moment at which nothing runs and no event waits."""
        return self._watchers.watch(self, lambda queue: not queue.is_busy)

    def put(self, record: EventRecord) -> None:
        """Start the command for an event, in the next iteration of the loop, or let the event wait."""
        if len(self._pending) >= MOST_PENDING:
            self._pending.popleft()
            if not self._missed:
                self._warn(f"is too slow: {MOST_PENDING} events wait for it, and the oldest are dropped")
            self._missed += 1
        self._pending.append(record)
        # Not now: a service is in the middle of a step, and others have yet to receive its transition.
        if len(self._runs) < self.hook.max_running and not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin_scheduled)

    def clear(self) -> None:
        """Drop the events that wait."""
        self._pending.clear()
        self._missed = 0
        self._watchers.notify(self)

    def give_up(self) -> None:
        """Drop the events that wait, and stop the commands: the overseer is being left."""
        if self.is_busy:
            self._warn(
                f"has not ended in time, and is stopped: {_count(len(self._runs), 'run')}, and "
                f"{_count(len(self._pending), 'event')} that waited"
            )
        for run in list(self._runs):
            run.give_up()
        self.clear()

    def _begin_scheduled(self) -> None:
        self._is_scheduled = False
        self._begin_some()

    def _begin_some(self) -> None:
        while self._pending and len(self._runs) < self.hook.max_running:
            record, missed = self._pending.popleft(), self._missed
            self._missed = 0
            try:
                text = json.dumps(record.event(missed).to_json())
                run = self._begin(self._spec.updated(stdin=f"{text}\n".encode()), on_end=self._on_end)
            except Exception:  # noqa: BLE001  # an error of the application whose text raises, for example
                _log.exception("%s: cannot be started", self.hook.id)
                continue
            self._runs[run] = record
        self._watchers.notify(self)

    def _on_end(self, run: _CommandRun, failure: str) -> None:
        record = self._runs.pop(run)
        if failure:
            id = record.snapshot.spec.id
            self._warn(f"failed for event {record.seq} ({id} is {record.state}): {failure}")
        self._begin_some()

    def _warn(self, text: str) -> None:
        level = logging.WARNING if self._limit.admit(self.hook.id, self._clock.now()) else logging.INFO
        _log.log(level, "%s %s", self.hook.id, text)


class _CommandRun:
    """One run of the command of a hook."""

    def __init__(
        self,
        spec: Spec,
        *,
        clock: Clock,
        launcher: Launcher,
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
        load_health: Callable[[], type[Health]],
        on_end: Callable[[_CommandRun, str], None],
    ) -> None:
        """Start the command.

        Args:
            spec: The options of the run.
            clock: The source of time.
            launcher: The launcher of the command.
            start_task: Function that runs a coroutine until the overseer is left.
            load_health: Function that imports the class that runs probes.
            on_end: Called once with the run and the reason of its failure, which is empty after a success.
        """
        self._start_task = start_task
        self._task: asyncio.Task[None] | None = None
        self._is_given_up = False
        self._on_end = on_end
        self._runner = runner = ProcessRunner(
            spec,
            clock=clock,
            launcher=launcher,
            make_handle=lambda runner: runner,  # for functions of the user, and a command has none
            load_health=load_health,
            start_task=self._run,
            line_sink=_NoSink,
        )
        runner.start()
        runner.watch_end().add_done_callback(self._on_over)

    def give_up(self) -> None:
        """Begin to stop the command by its ladder."""
        self._is_given_up = True
        self._runner.stop(why="the overseer is being left")

    def _run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = self._start_task(work)
        # A task that is cancelled before its first step reports nothing.
        self._task.add_done_callback(lambda _: self._runner.end_unbegun())

    def _on_over(self, _: asyncio.Future[Any]) -> None:
        runner, failure = self._runner, ""
        machine = runner.machine
        if not machine.state.is_final:
            # It still exists after SIGKILL, and waits for a device perhaps. Nobody waits for it any longer.
            failure = "it still exists after its whole ladder"
            if self._task is not None:
                self._task.cancel()
        elif not self._is_given_up and (machine.error is not None or machine.exit is None or machine.exit.code != 0):
            failure = with_last_lines(machine.reason, runner.last_lines())
        runner.release()
        self._on_end(self, failure)


class _NoSink:
    """Reads the output of a command for its last lines alone."""

    blocked = False

    def __init__(self, _stream: str) -> None:
        self.on_room: Callable[[], None] | None = None

    def deliver(self, batch: Sequence[Any]) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


def _is_failure(service: ServiceRunner, state: State) -> bool:
    """Return whether a service that has just entered a state has ended, for now at least, by a failure."""
    return state is not State.BACKOFF and level_of(service, state) >= logging.WARNING


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
