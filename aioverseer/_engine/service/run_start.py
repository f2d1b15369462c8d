"""RunStart: the steps before the launch of a program: its delay, its turn among those that start, and ``prepare``.

Few services have such steps. All others launch their program at once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from aioverseer._aio.timers import OneShotTimer
from aioverseer._engine.service.hooks import HookRun, words_of
from aioverseer._engine.service.owner import StartGate
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.hooks import hook_words
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.status import NotReadyInTime
from aioverseer.core.report.why import Awaited

__all__ = ["RunStart"]


class RunStart:
    """The steps before one launch.

    Attributes:
        number: The number of the run.
        due: Monotonic time at which the delay, or the time for ``prepare``, is over; None without a limit.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        number: int,
        delay: float,
        clock: Clock,
        queue: StartGate | None,
        make_hook: Callable[[], HookRun],
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], object],
        on_launch: Callable[[Mapping[str, Any]], None],
        on_failed: Callable[[Exception], None],
        on_stopped: Callable[[], None],
    ) -> None:
        """Prepare. Nothing is done before ``begin``.

        Args:
            spec: The options of the service.
            number: The number of the run.
            delay: Seconds before the other steps.
            clock: The source of time.
            queue: The limit on programs that start at once; None without one.
            make_hook: Factory of the call of ``prepare``.
            start_task: Function that runs a coroutine in the task of the service.
            on_launch: Called with the changed options when the program may be launched.
            on_failed: Called with the error when ``prepare`` has failed.
            on_stopped: Called once nothing goes on any more, after ``stop``.
        """
        self.number = number
        self.due: float | None = None
        self._spec = spec
        self._delay = delay
        self._clock = clock
        self._queue = queue
        self._make_hook = make_hook
        self._hook: HookRun | None = None
        self._start_task = start_task
        self._on_launch = on_launch
        self._on_failed = on_failed
        self._on_stopped = on_stopped
        self._timer = OneShotTimer(clock)
        self._over = False

    def begin(self) -> None:
        """Take the first step."""
        if self._delay > 0:
            self.due = self._clock.now() + self._delay
            self._timer.arm(self.due, self._take_turn)
        else:
            self._take_turn()

    def stop(self) -> None:
        """Give up, and call ``on_stopped``, at once or after the end of ``prepare``. Idempotent."""
        if self._over:
            return
        if self._hook is not None:
            self._hook.give_up()
            return
        self._over = True
        self._timer.cancel()
        self._on_stopped()

    def _begin_turn(self) -> None:
        """Take the step after the queue."""
        if self._over or self._hook is not None:
            return
        if self._spec.prepare is None:
            self._over = True
            self._on_launch({})
            return
        if self._spec.ready_timeout is not None:
            self.due = self._clock.now() + self._spec.ready_timeout
        self._hook = self._make_hook()
        self._start_task(self._prepare)

    def end_unbegun(self) -> None:
        """End a preparation whose task was cancelled before its first step, when the event loop is closed."""
        if not self._over:
            self._over = True
            self._on_failed(self._failure("its start was cancelled"))

    @property
    def reason(self) -> str:
        """The step that goes on, as a sentence without its subject; empty if it is the delay."""
        if self._hook is not None and self._spec.prepare is not None:
            return f"waits for {hook_words('prepare', self._spec.prepare)}"
        return "" if self._queue is None else self._queue.reason(self._spec.id, self.number)

    def awaited(self) -> list[Awaited]:
        """Return ``prepare`` if it is under way, or the programs that start before this one."""
        if self._hook is None or self._spec.prepare is None:
            return [] if self._queue is None else self._queue.blockers(self._spec.id, self.number)
        due_in = None if self.due is None else max(0.0, self.due - self._clock.now())
        return [Awaited(kind="start", text=hook_words("prepare", self._spec.prepare), due_in=due_in)]

    def _take_turn(self) -> None:
        self.due = None
        if self._queue is None or self._queue.ask(self._spec.id, self.number, self._begin_turn):
            self._begin_turn()

    async def _prepare(self) -> None:
        """Wait for ``prepare``. The library cancels this only by ``stop``; else the event loop is being closed."""
        hook = cast("HookRun", self._hook)
        if self._over:
            return
        cancelled = await hook.run(self.due)
        self._over = True
        if hook.is_given_up:
            self._on_stopped()
        elif hook.is_late:
            self._on_failed(self._late())
        elif hook.error is not None:
            self._on_failed(self._failure(words_of(hook.error), hook.error))
        elif cancelled is not None:
            self._on_failed(self._failure("its start was cancelled"))
        elif (why := _unfit(hook.result)) is not None:
            self._on_failed(self._failure(why))
        else:
            self._on_launch(cast("Mapping[str, Any]", hook.result or {}))
        if cancelled is not None:
            raise cancelled

    def _failure(self, why: str, cause: BaseException | None = None) -> SpawnError:
        # Without a number of the system: a failed preparation never means that the program cannot be started.
        words = hook_words("prepare", self._spec.prepare or ())
        error = SpawnError(f"service {self._spec.id!r} cannot be started: {words} failed: {why}")
        error.__cause__ = cause
        return error

    def _late(self) -> NotReadyInTime:
        words = hook_words("prepare", self._spec.prepare or ())
        seconds = self._spec.ready_timeout or 0.0
        text = f"{self._spec.id!r} was not ready within {seconds:.3g} s: {words} was still under way"
        return NotReadyInTime(text, id=self._spec.id)


def _unfit(result: object) -> str | None:
    if result is None or isinstance(result, Mapping):
        return None
    return f"it returned {type(result).__name__}: return a dict of options for this run, or None"
