"""Handover: the runs of one service beside its current run, while a successor takes its place.

The old run stays the current one until the exchange, in which the successor becomes the current one in a single step.
Events of kind ``roll`` tell of both; the state of the service is that of the current run.
"""

from __future__ import annotations

import logging
from typing import Protocol

from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.run_steps import RunSteps
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._engine.service.task_chain import TaskChain
from aioverseer.core.machine.impossible import is_impossible
from aioverseer.core.machine.inputs import SuccessorTakesOver
from aioverseer.core.machine.table import Transition
from aioverseer.core.options.restart import RunEnd
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import State

__all__ = ["Handover", "HandoverOwner"]


class HandoverOwner(Protocol):
    """Receives the reports of a handover."""

    def on_change(self, id: str) -> None:
        """Handle a change of the service, or of one of its runs."""
        ...

    def on_successor_end(
        self, id: str, run: ProcessRunner, end: RunEnd, *, what: str, ready_for: float | None, hopeless: bool
    ) -> None:
        """Handle the end of a successor that has not taken over, and was not stopped.

        Args:
            id: The name of the service.
            run: The run.
            end: Its end; None if it could not be started, or has failed otherwise.
            what: The end as words of a sentence.
            ready_for: Seconds for which it was ready; None if it never was.
            hopeless: Whether no later start can succeed.
        """
        ...

    def adopt(self, id: str) -> None:
        """Give the service the Spec of its successor, which is its current run now."""
        ...


class Handover:
    """The ``SideRuns`` of one service.

    Attributes:
        service: The service.
        successor: The run that is about to become the current one; None without one.
        owner: The receiver of the reports; None once the roll is over.
    """

    def __init__(self, service: ServiceRunner) -> None:
        """Begin without runs.

        Args:
            service: The service.
        """
        self.successor: ProcessRunner | None = None
        self.owner: HandoverOwner | None = None
        self.service = self._service = service
        self._chain: TaskChain | None = None
        self._ready_at: float | None = None
        self._old: dict[int, ProcessRunner] = {}
        self._replaced: ProcessRunner | None = None
        self._ready_for: float | None = None
        self._preparing = 0
        """The number of a successor before its launch; 0 for none."""
        self._steps: RunSteps | None = None
        self._is_given_up = False
        self._by = ""
        service.side_runs = self

    @property
    def live(self) -> bool:
        """Whether there is a run that lives."""
        return self.has_successor or self.others > 0

    @property
    def has_successor(self) -> bool:
        """Whether there is a successor, also one that is being prepared."""
        return self.successor is not None or (self._preparing > 0 and not self._is_given_up)

    @property
    def others(self) -> int:
        """Number of runs that are being stopped."""
        return len(self._old) + (self._preparing > 0 and self._is_given_up)

    @property
    def runs(self) -> list[ProcessRunner]:
        """The runs that live."""
        return [*self._old.values(), *(() if self.successor is None else (self.successor,))]

    @property
    def is_stuck(self) -> bool:
        """Whether a run still exists after its whole ladder."""
        return any(run.machine.unstoppable for run in self.runs)

    @property
    def ready_at(self) -> float | None:
        """Monotonic time at which the successor became ready; None while it is not."""
        return self._ready_at

    @property
    def words(self) -> str:
        """The reason of the state of the successor, with its readiness; empty without one."""
        run = self.successor
        if run is None:
            return "" if self._steps is None else f"run {self._preparing} {self._steps.reason}"
        health = f" ({run.health_summary})" if run.health_summary else ""
        return f"run {run.number} {run.machine.reason}{health}"

    # Requests.

    def begin(self, spec: Spec, *, by: str = "") -> None:
        """Start a successor beside the current run.

        Args:
            spec: Its options.
            by: The name of the one who asked for it.
        """
        service, now = self._service, self._service.number
        self._by = by
        number = service.machine.number_beside()
        self._chain = chain = service.new_chain()
        self._ready_at = None
        if spec.delay_start > 0:  # the delay of a first start
            spec = spec.updated(delay_start=0.0)
        self._publish(number, f"run {number} is being started, to take the place of run {now}")
        if not service.has_steps(spec):
            self._launch(service.run_factory.make(spec, number=number, chain=chain))
            return
        self._preparing, self._is_given_up = number, False
        self._sync()
        steps = service.take_steps_beside(
            spec, number=number, chain=chain, launch=self._launch, launch_in_vain=self._launch_in_vain
        )
        self._steps = steps if self._preparing else None

    def _launch(self, run: ProcessRunner) -> None:
        self._preparing, self._steps = 0, None
        self.successor = run
        self._sync()
        self._service.begin_run(run)

    def _launch_in_vain(self, run: ProcessRunner, error: Exception | None) -> None:
        """End a successor whose ``prepare`` has failed, or was given up."""
        self._preparing, self._steps = 0, None
        if self._is_given_up:
            self._old[run.number] = run
        else:
            self.successor = run
        self._sync()
        run.start_in_vain(error, "its preparation was given up")

    def take_over(self) -> None:
        """Make the successor the current run, unless the service is being stopped."""
        if self.successor is not None and self._service.machine.may_take_over:
            self._service.submit(SuccessorTakesOver(ready_at=self._ready_at, by=self._by))

    def exchange(self) -> None:
        """Exchange the runs, as the machine of the service has decided."""
        run, service = self.successor, self._service
        if run is None or self._chain is None:
            return
        old = service.exchange(run, self._chain, adopt=self._adopt)
        self.successor = self._chain = self._ready_at = None
        if old is not None and old.machine.state.is_live:
            self._old[old.number] = self._replaced = old
        self._sync()

    def _adopt(self) -> None:
        if self.owner is not None:
            self.owner.adopt(self._service.id)

    def on_exchanged(self) -> None:
        """Stop the old run: the exchange has been reported."""
        service, old, self._replaced = self._service, self._replaced, None
        run = service.process
        if run is not None:
            ending = "" if old is None else f", and run {old.number} is being stopped"
            self._publish(run, f"run {run.number} has taken over{ending}")
        service.waiters.on_change(service.snapshot(lines=False))
        if old is not None:
            old.stop(why="its new run has taken over")
        self.on_change()

    def abandon(self, why: str) -> None:
        """Stop the successor. The current run goes on.

        Args:
            why: The reason, as in ``ServiceRunner.stop``.
        """
        run = self.successor
        if self._steps is not None and not self._is_given_up:
            self._is_given_up = True
            self._chain = None
            self._sync()
            self._publish(self._preparing, f"run {self._preparing} is being stopped: {why}")
            self._steps.stop(kill=False)
        if run is None:
            return
        self.successor = self._chain = self._ready_at = None
        self._old[run.number] = run
        self._sync()
        self._publish(run, f"run {run.number} is being stopped: {why}")
        run.stop(why=why)

    def stop(self, *, kill: bool, why: str) -> None:
        """Begin to stop all of them: the service is being stopped."""
        self.abandon(why)
        for run in list(self._old.values()):
            if kill or run.machine.unstoppable:
                run.stop(kill=True, why=why)

    # Reports of the runs and of the service.

    def on_transition(self, run: int, transition: Transition) -> None:
        """Handle a change of state of one of them."""
        successor = self.successor
        if successor is not None and successor.number == run:
            self._on_successor(successor, transition)
        elif run in self._old and transition.state.is_final:
            old = self._old.pop(run)
            self._end(old)
            self._publish(old, f"run {run} has ended: {transition.reason}")
            self._service.on_side_end()
        self.on_change()

    def _on_successor(self, run: ProcessRunner, transition: Transition) -> None:
        now = self._service.clock.now()
        if transition.state is State.RUNNING:
            self._ready_at = now
            self._publish(run, f"run {run.number} {run.machine.reason}")
        elif transition.state is State.STOPPING:  # it is not alive, or its leader has ended and left others behind
            self._publish(run, f"run {run.number} is being ended: {transition.reason}", level=logging.WARNING)
            self._ready_for, self._ready_at = self._lasted(now), None
        elif transition.state.is_final:
            error = run.machine.error
            what = transition.reason if error is None else str(error).partition("\n")[0]
            ready_for = self._lasted(now) or self._ready_for
            self.successor = self._chain = self._ready_at = self._ready_for = None
            self._end(run)
            self._publish(run, f"run {run.number} has ended before it took over: {what}", level=logging.WARNING)
            if self.owner is not None:
                self.owner.on_successor_end(
                    self._service.id,
                    run,
                    None if error is not None else run.machine.exit,
                    what=what,
                    ready_for=ready_for,
                    hopeless=error is not None and is_impossible(run.spec, error),
                )
            self._service.on_side_end()

    def _lasted(self, now: float) -> float | None:
        return None if self._ready_at is None else now - self._ready_at

    def on_unstoppable(self, run: int) -> None:
        """Handle one that still exists after its whole ladder."""
        known = self._old.get(run) or self.successor
        if known is not None:
            self._publish(known, f"run {run} {known.machine.reason}", level=logging.ERROR)
        self.on_change()

    def on_change(self) -> None:
        """Handle a change of the service, or of one of its runs."""
        if self.owner is not None:
            self.owner.on_change(self._service.id)

    def _end(self, run: ProcessRunner) -> None:
        self._sync()
        self._service.end_run(run)

    def _sync(self) -> None:
        machine = self._service.machine
        machine.has_successor = self.successor is not None  # a prepared one has no run yet
        machine.has_side_runs = self.live

    def _publish(self, run: ProcessRunner | int, text: str, *, level: int | None = None) -> None:
        number = run if isinstance(run, int) else run.number
        self._service.publish(text, "roll", run=number, level=level, by=self._by)
