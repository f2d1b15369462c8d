"""Rolling: performs the roll of one set of instances, and the roll-back after a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from aioverseer._aio.timers import OneShotTimer
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.handover import Handover
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.machine.inputs import RestartRequested
from aioverseer.core.machine.roll import (
    Abandon,
    Begin,
    Replace,
    RollMachine,
    RollMember,
    RollStep,
    RollVerdict,
    TakeOver,
)
from aioverseer.core.options.effects import changed_options
from aioverseer.core.options.restart import RunEnd, is_success
from aioverseer.core.options.roll import Roll
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.roll import RollFailed, RollOutcome, RollReport
from aioverseer.core.report.status import Status
from aioverseer.core.state import State

__all__ = ["RollSet", "Rolling"]


class RollSet(Protocol):
    """A set of instances, as its roll uses it."""

    @property
    def name(self) -> str:
        """The name of the set."""
        ...

    @property
    def members(self) -> Mapping[str, ServiceRunner]:
        """The wanted instances by name, in their order."""
        ...

    @property
    def spec(self) -> Spec:
        """The options of the set."""
        ...

    def take_spec(self, spec: Spec) -> None:
        """Set the options of the set, for instances that are added from now on. Members keep theirs."""
        ...

    def spec_for(self, id: str, spec: Spec) -> Spec:
        """Return the options of one instance, given those of the set."""
        ...

    def adopt(self, id: str, spec: Spec) -> None:
        """Give an instance the options of its present run, and of its next one."""
        ...

    def publish(self, id: str, text: str, *, level: int | None = None, by: str = "") -> None:
        """Publish an event of kind ``roll`` about an instance."""
        ...

    @property
    def is_leaving(self) -> bool:
        """Whether the overseer is being left."""
        ...


class _Pass:
    """One machine, and what is performed for it: the roll itself, or its roll-back.

    Attributes:
        machine: The decisions.
        spec: The options that the set gets.
        target: The instances that are to be replaced. All others count as new.
        begun_at: The number of the last run before the new one, for each instance that was replaced.
    """

    def __init__(self, machine: RollMachine, spec: Spec, target: set[str]) -> None:
        self.machine = machine
        self.spec = spec
        self.target = target
        self.begun_at: dict[str, int] = {}

    def is_new(self, id: str, service: ServiceRunner) -> bool:
        """Return whether the current run of an instance is a new one."""
        return id not in self.target or service.number > self.begun_at.get(id, service.number)


class Rolling:
    """One roll of one set.

    Attributes:
        spec: The options that the roll brings.
        rules: The rules.
        is_over: Whether it has ended; a paused one has not.
        is_paused: Whether it has failed and waits for ``resume`` or ``cancel_paused``.
    """

    def __init__(
        self,
        instances: RollSet,
        spec: Spec | None,
        *,
        roll: Roll,
        clock: Clock,
        rng: Rng,
        only: frozenset[str] | None = None,
        by: str = "",
    ) -> None:
        """Prepare a roll. Nothing happens before ``run``.

        Args:
            instances: The set.
            spec: Its new options; None for new runs with the present ones.
            roll: The rules.
            clock: The source of time.
            rng: The source of random numbers for backoff delays.
            only: The names of the instances to roll; None for all.
            by: The name of the one who asked for it.
        """
        self.spec = instances.spec if spec is None else spec
        self.is_over = False
        self.is_paused = False
        self._set = instances
        self._only = only
        # The options of the present runs: an update may have given the next runs others already.
        self._old = {id: service.run_spec for id, service in instances.members.items()}
        self._old_spec = next(iter(self._old.values()), instances.spec)
        self.rules = roll
        self._clock = clock
        self._rng = rng
        self._by = by
        self._handovers: dict[str, Handover] = {}
        self._changed = asyncio.Event()
        self._timer = OneShotTimer(clock)
        self._began = clock.now()
        self._present: _Pass | None = None
        self._forward: _Pass | None = None
        self._cancelled = False
        self._status: Status | None = None
        self._lines: list[str] = []
        self._skipped: tuple[str, ...] = ()
        self._failed: Mapping[str, str] = {}

    @property
    def progress(self) -> str:
        """How far the roll is, as words."""
        members = self._set.members
        present = self._forward
        done = 0 if present is None else sum(present.is_new(id, service) for id, service in members.items())
        doing = "is paused" if self.is_paused else "is under way"
        return f"{doing}, {done} of {len(members)} instances are replaced{f', by {self._by}' if self._by else ''}"

    # Requests.

    def cancel(self) -> None:
        """End the present step, and do as ``on_failure``. Idempotent."""
        if self.rules.on_failure == "continue" or self._cancelled or self._present is None:
            return
        self._cancelled = True
        if self.rules.on_failure == "pause":
            self._present.machine.cancel()
        self._changed.set()

    async def run(self) -> RollReport:
        """Perform the roll, and do as ``on_failure`` if it fails.

        The task of this belongs to the overseer. A cancellation means that the overseer ends: the stop of all services
        stops all runs.

        Raises:
            RollFailed: If it has failed or was cancelled; carries the report.
        """
        members = self._set.members
        self._skipped = tuple(id for id, service in members.items() if not _is_wanted(service))
        target = {id for id in members if self._only is None or id in self._only}
        self._forward = _Pass(self._machine(self.spec, self.rules), self.spec, target)
        return await self._go_on(self._forward)

    async def resume(self) -> RollReport:
        """Go on with a paused roll: those that have failed are tried again.

        Raises:
            RollFailed: As ``run``.
        """
        self.is_paused = self._cancelled = False
        earlier = self._forward
        target = set(self._set.members)
        if earlier is not None:
            target = {id for id, one in self._set.members.items() if not (earlier.is_new(id, one) and _is_up(one))}
        self._forward = _Pass(self._machine(self.spec, self.rules), self.spec, target)
        return await self._go_on(self._forward)

    async def cancel_paused(self) -> RollReport:
        """End a paused roll: the old Spec comes back where it was replaced.

        Raises:
            RollFailed: If that fails too.
        """
        self.is_paused = False
        try:
            return await self._roll_back("it was cancelled while it was paused")
        finally:
            self._end()

    async def _go_on(self, present: _Pass) -> RollReport:
        self._set.take_spec(self.spec)
        try:
            verdict = await self._perform(present)
            self._failed = verdict.failed
            if not verdict.why:
                self._adopt_skipped(self.spec)
                return self._report("done", "")
            for id, why in verdict.failed.items():
                self._set.publish(
                    id, f"the roll of {self._set.name!r} has failed here: {why}", level=logging.WARNING, by=self._by
                )
            if self.rules.on_failure == "continue":
                self._adopt_skipped(self.spec)
                raise self._error("left as it is", verdict.why)
            if self._set.is_leaving or not any(map(_is_wanted, self._set.members.values())):
                raise self._error("left as it is", verdict.why)
            if self.rules.on_failure == "pause":
                self.is_paused = True
                raise self._error("paused", verdict.why)
            raise await self._rolled_back(verdict.why)
        finally:
            self._end()

    async def _rolled_back(self, why: str) -> RollFailed:
        try:
            report = await self._roll_back(why)
        except RollFailed as error:
            return error
        return self._error(report.outcome, why)

    async def _roll_back(self, why: str) -> RollReport:
        """Bring the old Spec back where it was replaced, within the same bounds, and wait until all are available."""
        old = self._old_spec
        self._set.take_spec(old)
        target: set[str] = set()
        for id, service in self._set.members.items():
            if _differ(service.run_spec, self._old_of(id)) and _is_wanted(service):
                target.add(id)
            elif _differ(service.spec, self._old_of(id)):
                self._set.adopt(id, self._old_of(id))
        back = _Pass(self._machine(old, self.rules), old, target)
        verdict = await self._perform(back)
        if verdict.why:
            raise self._error("left as it is", f"{why}; and the roll-back has failed: {verdict.why}")
        return self._report("rolled back", why)

    def _old_of(self, id: str) -> Spec:
        """Return the options of an instance before the roll."""
        return self._set.spec_for(id, self._old.get(id, self._old_spec))

    def _spec_of(self, id: str, present: _Pass) -> Spec:
        """Return the options that an instance gets."""
        return self._set.spec_for(id, present.spec) if present is self._forward else self._old_of(id)

    def close(self) -> None:
        """End the roll, if its task was cut off. Idempotent."""
        self._end()

    def _end(self) -> None:
        for handover in self._handovers.values():
            handover.owner = None
        self._timer.cancel()
        self._present = None
        self.is_over = not self.is_paused

    # One machine.

    def _machine(self, spec: Spec, roll: Roll) -> RollMachine:
        return RollMachine(
            roll,
            min_ready=roll.min_ready_of(spec.ready),
            policy=spec.restart,
            rng=self._rng,
            now=self._clock.now(),
        )

    async def _perform(self, present: _Pass) -> RollVerdict:
        """Perform the steps of a machine until its verdict."""
        self._present, machine = present, present.machine
        try:
            for handover in self._handovers.values():
                handover.owner = self
            while machine.verdict is None:
                self._changed.clear()
                members = self._members(present)
                if self._set.is_leaving:
                    steps = machine.abort(members, "the overseer was left")
                elif self._cancelled and self.rules.on_failure == "rollback" and present is self._forward:
                    steps = machine.abort(members, "it was cancelled")
                else:
                    steps = machine.decide(members, self._clock.now())
                for step in steps:
                    self._take(step, present)
                if machine.verdict is None and not steps:
                    due = machine.due(members, self._clock.now())
                    if due is not None:
                        self._timer.arm(due, self._changed.set)
                    await self._changed.wait()
                    self._timer.cancel()
            return machine.verdict
        finally:
            self._timer.cancel()

    def _take(self, step: RollStep, present: _Pass) -> None:
        service = self._set.members[step.id]
        match step:
            case Begin(id=id):
                self._handover(id, service).begin(self._spec_of(id, present), by=self._by)
            case TakeOver(id=id):
                self._handover(id, service).take_over()
            case Abandon(id=id):
                handover = self._handover(id, service)
                if handover.successor is not None and id in present.machine.failed:
                    self._keep_words(service, handover.successor)
                handover.abandon("the roll has failed" if present.machine.failed else "the roll was ended")
            case Replace(id=id):
                present.begun_at[id] = service.number
                self._set.adopt(id, self._spec_of(id, present))
                service.submit(RestartRequested(by=self._by))

    def _handover(self, id: str, service: ServiceRunner) -> Handover:
        found = self._handovers.get(id)
        if found is None or found.service is not service:
            found = service.side_runs if isinstance(service.side_runs, Handover) else Handover(service)
            found.owner = self
            self._handovers[id] = found
        return found

    def _members(self, present: _Pass) -> dict[str, RollMember]:
        return {id: self._member(id, service, present) for id, service in self._set.members.items()}

    def _member(self, id: str, service: ServiceRunner, present: _Pass) -> RollMember:
        machine, handover = service.machine, self._handover(id, service)
        is_live = service.process is not None and service.process.machine.state.is_live
        return RollMember(
            is_wanted=_is_wanted(service),
            is_new=present.is_new(id, service),
            is_live=is_live,
            ready_at=machine.ready_at,
            has_ended=machine.state.is_final,
            has_successor=handover.has_successor,
            # The exchange waits for ``prepare`` of an old run that restarts.
            successor_ready_at=None if service.is_preparing else handover.ready_at,
            others=handover.others,
            is_stuck=handover.is_stuck,
            words=handover.words or service.reason(),
        )

    # Reports of the services: ``HandoverOwner``.

    def on_change(self, id: str) -> None:  # noqa: ARG002  # each report names its service
        """Decide anew."""
        self._changed.set()

    def on_successor_end(
        self, id: str, run: ProcessRunner, end: RunEnd, *, what: str, ready_for: float | None, hopeless: bool
    ) -> None:
        """Judge the end of a successor that has not taken over."""
        if self._present is None:
            return
        if id in self._set.members:
            self._keep_words(self._set.members[id], run)
        now = self._clock.now()
        self._present.machine.on_end(id, end, what, now=now, ready_for=ready_for, hopeless=hopeless)
        self._changed.set()

    def _keep_words(self, service: ServiceRunner, run: ProcessRunner) -> None:
        """Keep the status and the last lines of a run that has failed, for the error."""
        self._status = run.snapshot(lines=False).status()
        self._lines = service.last_words(run.number)

    def adopt(self, id: str) -> None:
        """Give an instance the options of its successor, which is its current run now."""
        present = self._present
        if present is not None and id in self._set.members:
            present.begun_at[id] = self._set.members[id].number - 1
            self._set.adopt(id, self._spec_of(id, present))

    # The report.

    def _adopt_skipped(self, spec: Spec) -> None:
        """Give the instances that are not to run the options of the others, for their next start."""
        for id, service in self._set.members.items():
            if not _is_wanted(service) and _differ(service.spec, spec):
                self._set.adopt(id, self._set.spec_for(id, spec))

    def _report(self, outcome: RollOutcome, why: str) -> RollReport:
        members = self._set.members
        running = [id for id, service in members.items() if _is_wanted(service)]
        replaced = tuple(id for id in running if self._is_replaced(id, members[id]))
        return RollReport(
            id=self._set.name,
            outcome=outcome,
            replaced=replaced,
            kept=tuple(id for id in running if id not in replaced),
            skipped=tuple(id for id in members if id not in running),
            failed=dict(self._failed),
            reason=why,
            seconds=self._clock.now() - self._began,
            by=self._by,
        )

    def _is_replaced(self, id: str, service: ServiceRunner) -> bool:
        """Return whether the current run of an instance is one of the new version."""
        forward = self._forward
        if forward is None or not forward.is_new(id, service):
            return False
        return id in forward.target and not _differ(service.run_spec, self.spec)

    def _error(self, outcome: RollOutcome, why: str) -> RollFailed:
        report = self._report(outcome, why)
        for id in self._failed:
            if self._status is None and (service := self._set.members.get(id)) is not None:
                self._status, self._lines = service.snapshot(lines=False).status(), service.last_words(service.number)
        return RollFailed(
            f"the roll of {self._set.name!r} has failed, {outcome}: {why}",
            id=self._set.name,
            report=report,
            status=self._status,
            lines=self._lines,
        )


def _differ(before: Spec, after: Spec) -> bool:
    """Return whether two versions differ. The number of instances belongs to the set, not to a run."""
    return any(name != "instances" for name in changed_options(before, after))


def _is_up(service: ServiceRunner) -> bool:
    return service.state is State.RUNNING


def _is_wanted(service: ServiceRunner) -> bool:
    """Return whether an instance is to run: also one that has given up or failed, but none that was stopped."""
    machine = service.machine
    if machine.wanted:
        return not machine.deferred and machine.state is not State.WAITING
    if not machine.state.is_final or machine.stopped_on_request or machine.stopped_by_group:
        return False
    exit = None if service.process is None or machine.error is not None else service.process.machine.exit
    return not is_success(machine.policy, exit)
