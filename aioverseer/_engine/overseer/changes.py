"""Change sets: the plan that makes the services of an overseer those that are wanted, and its application.

``core/machine/changes.py`` decides on the steps. A failure rolls back all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from aioverseer._aio.shield import settle
from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.overseer.shutdown import Shutdown
from aioverseer._engine.overseer.startup import all_up
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.clock import Clock
from aioverseer.core.errors import OverseerError, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.machine.changes import Present, by_id, diff, digest_of, target_levels
from aioverseer.core.options.by import asked, check_by
from aioverseer.core.options.effects import described_change
from aioverseer.core.options.restart import is_success
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.changes import ApplyFailed, ApplyReport, PlanIsStale, PlanStep
from aioverseer.core.report.status import ProgramError
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.events.publisher import EventPublisher
    from aioverseer._engine.overseer.instance_rolls import InstanceRolls
    from aioverseer._engine.overseer.instance_set import InstanceSet
    from aioverseer._engine.overseer.systemd import SystemdReports

__all__ = ["ChangeSets", "Plan"]

OnFailure = Literal["rollback", "leave"]
"""Consequence when a step of a plan fails; see ``Plan.apply``."""

_MARGIN = 10.0
"""Seconds that a cancelled call waits for its rollback in addition to all ladders."""

_log = logging.getLogger("aioverseer")


@exported_from("aioverseer")
class Plan:
    """The steps that make the services of an overseer those that are wanted; made by ``Overseer.plan``.

    Nothing has happened yet: ``await plan.apply()`` performs the steps. ``str(plan)`` shows them, without values of the
    environment.

    Attributes:
        steps: Steps in their order: removals, then options that change while the program goes on, then starts.
        unchanged: Ids of the services that stay as they are, sorted.
        digest: Text that is the same for equal plans, in each process and on each machine.
    """

    def __init__(
        self,
        changes: ChangeSets,
        wanted: dict[str, Spec],
        steps: tuple[PlanStep, ...],
        unchanged: tuple[str, ...],
        levels: tuple[tuple[str, ...], ...],
    ) -> None:
        """Create a plan. Use ``Overseer.plan`` instead."""
        self._changes = changes
        self._wanted = wanted
        self._levels = levels
        self.steps = steps
        self.unchanged = unchanged
        self.digest = digest_of(steps)

    def __repr__(self) -> str:
        """Return the number of steps and the digest."""
        return f"<Plan {self.digest} steps={len(self.steps)} unchanged={len(self.unchanged)}>"

    def __bool__(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.steps)

    def __str__(self) -> str:
        """Return the plan as lines for people."""
        unchanged = f"{len(self.unchanged)} unchanged"
        if not self.steps:
            return f"nothing to do: {unchanged}"
        counts = [(word, sum(step.action == action for step in self.steps)) for action, word in _COUNTS]
        done = ", ".join(f"{count} to {word}" for word, count in counts if count)
        return "\n".join([*map(str, self.steps), f"{done}; {unchanged}. Digest: {self.digest}"])

    async def apply(self, *, on_failure: OnFailure = "rollback", by: str = "") -> ApplyReport:
        """Perform the steps, and return once all services of the plan are ready.

        First all services stop that are removed or restarted, dependents before their dependencies. Then options change
        while their programs go on. Then services start, each once its dependencies are ready. A service that has not
        changed keeps its program. Only one plan is applied at a time.

        When a step fails, or the call is cancelled, all steps are rolled back: services that were started are stopped,
        the old Specs are back, and what ran before runs again. A cancelled call does not wait until it is ready again.
        Nothing is started while the overseer is being left, or after a stop of all.

        Args:
            on_failure: ``"rollback"``, or ``"leave"`` to stop at the step that has failed.
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            PlanIsStale: If the overseer has changed since the plan was made. Nothing has happened then.
            ApplyFailed: If a step has failed. Its ``report`` says what was done; its cause is the error.
            OverseerError: If another plan is being applied, or the overseer is not in use.
        """
        if on_failure not in ("rollback", "leave"):
            raise SpecError(
                f'on_failure={on_failure!r} is unknown: pass "rollback" or "leave"',
                option="on_failure",
                value=on_failure,
            )
        return await self._changes.apply(self, self._wanted, self._levels, on_failure=on_failure, by=check_by(by))


_COUNTS = (
    ("add", "add"),
    ("update", "change"),
    ("start", "start"),
    ("restart", "restart"),
    ("scale", "scale"),
    ("roll", "roll"),
    ("remove", "remove"),
)


class ChangeSets:
    """Makes plans for one overseer, and applies them, one at a time."""

    def __init__(
        self,
        name: str,
        registry: Registry,
        sets: Mapping[str, InstanceSet],
        dependencies: DependencyTracker,
        publisher: EventPublisher,
        shutdown: Shutdown,
        *,
        clock: Clock,
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
        is_leaving: Callable[[], bool],
        check: Callable[..., None],
        rolls_of: Callable[[InstanceSet], InstanceRolls],
        systemd: SystemdReports | None,
        add: Callable[[Spec], object],
        remove: Callable[[str, str], None],
    ) -> None:
        """Prepare.

        Args:
            name: The name of the overseer.
            registry: The services.
            sets: The sets of instances by name.
            dependencies: The order of the services.
            publisher: The publisher of events about changes.
            shutdown: The stop of all services: after one, nothing is started.
            clock: The source of time.
            start_task: Function that runs a coroutine until the overseer is left.
            is_leaving: Function that returns whether the overseer is being left.
            check: Function that raises OverseerError unless the overseer is in use on this event loop.
            rolls_of: Function that returns the rolls of a set.
            systemd: The reports to systemd; None where nobody has asked for them.
            add: Function that adds a service, or a set of instances.
            remove: Function that removes a service by its name, for somebody.
        """
        self.name = name
        self.registry = registry
        self.sets = sets
        self.dependencies = dependencies
        self.publisher = publisher
        self.shutdown = shutdown
        self.clock = clock
        self.is_leaving = is_leaving
        self.rolls_of = rolls_of
        self.add = add
        self.remove = remove
        self._systemd = systemd
        self._start_task = start_task
        self._check = check
        self._current: _Application | None = None

    def plan(self, specs: Iterable[Spec]) -> Plan:
        """Return the plan for the services that are wanted; see ``Overseer.plan``."""
        return self._plan(by_id(specs))

    def _plan(self, wanted: dict[str, Spec]) -> Plan:
        lone = {id: service for id, service in self.registry.services.items() if service.place is None}
        own = {id: service for id, service in lone.items() if service.task_launcher is not None}
        for id in wanted:
            if id in own:
                raise SpecError(
                    f"service {id!r} is a task, a resource or an external service, which no Spec describes: leave it "
                    "out of the plan, it stays as it is",
                    option="id",
                    value=id,
                )
        levels = target_levels(wanted, {id: service.spec.after for id, service in own.items()})
        present = {id: _present(service.spec, [service]) for id, service in lone.items() if id not in own}
        present |= {name: _present(each.spec, each.members) for name, each in self.sets.items()}
        steps = diff(present, wanted, levels)
        for step in steps:
            if step.action != "remove" and step.id in self.sets and self.rolls_of(self.sets[step.id]).is_paused:
                self.rolls_of(self.sets[step.id]).check_idle()
        touched = {step.id for step in steps}
        return Plan(self, wanted, steps, tuple(sorted(id for id in wanted if id not in touched)), levels)

    async def apply(
        self,
        plan: Plan,
        wanted: dict[str, Spec],
        levels: tuple[tuple[str, ...], ...],
        *,
        on_failure: OnFailure,
        by: str,
    ) -> ApplyReport:
        """Perform a plan; see ``Plan.apply``."""
        self._check(starting=True)
        if self._current is not None:
            raise OverseerError(
                f"{asked('another plan is being applied', self._current.by)}: wait for its end, and make a new one"
            )
        if self._plan(wanted).digest != plan.digest:
            raise PlanIsStale(f"overseer {self.name!r} has changed since plan {plan.digest} was made: make another one")
        work = self._current = _Application(self, plan, levels, on_failure=on_failure, by=by)
        self.registry.hold(1)
        if self._systemd is not None:
            self._systemd.begin_reload()
        task = self._start_task(work.run)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                work.cancel(task)
                await settle(task, within=work.longest + _MARGIN, clock=self.clock)
            raise
        finally:
            self._current = None
            self.registry.hold(-1)
            if self._systemd is not None:
                self._systemd.end_reload()
        return work.result()


def _present(spec: Spec, services: Sequence[ServiceRunner]) -> Present:
    """Return what the plan needs to know of a service, or of the instances of a set."""
    live = any(service.state.is_live for service in services)
    return Present(spec=spec, runs=all(map(_runs, services)), live=live)


def _runs(service: ServiceRunner) -> bool:
    machine = service.machine
    if machine.state.is_live:
        return machine.wanted and not service.is_disarmed
    exit = None if service.process is None else service.process.machine.exit
    return machine.judged and machine.state is not State.FATAL and is_success(machine.policy, exit)


class _Application:
    """One plan that is being applied."""

    def __init__(
        self,
        changes: ChangeSets,
        plan: Plan,
        levels: tuple[tuple[str, ...], ...],
        *,
        on_failure: OnFailure,
        by: str,
    ) -> None:
        self.by = by
        self._host = changes
        self._plan = plan
        self._levels = levels
        self._on_failure = on_failure
        self._began = changes.clock.now()
        self._stops_before = changes.shutdown.count
        self._done: list[PlanStep] = []
        self._step: PlanStep | None = None
        self._error: Exception | None = None
        self._cancelled = False
        self._rolled_back = False
        self._problems: list[str] = []
        services = changes.registry.services
        self._ran = {id for id, service in services.items() if service.machine.wanted and service.state.is_live}
        self._stopped: set[str] = set()
        """Names of the services that were stopped."""
        self._started: list[str] = []
        """Names of the services, and of the sets, whose start was begun."""
        self._changed: dict[str, Spec] = {}
        """The old Specs, by the names of services and sets."""
        self._added: list[str] = []
        self._retired: list[str] = []
        self._rolled: set[str] = set()
        """Sets whose roll was begun."""
        self._unwanted: set[str] = set()
        """Names of the services that somebody else has stopped while they were started."""

    @property
    def longest(self) -> float:
        """Seconds that all stops take at most, one after the other."""
        services = self._host.registry.services.values()
        return sum(service.stop_seconds for service in services if service.state.is_live)

    def cancel(self, task: asyncio.Task[None]) -> None:
        """Interrupt the step of now, and roll back."""
        if not self._cancelled and self._error is None:
            self._cancelled = True
            task.cancel()

    def result(self) -> ApplyReport:
        """Return the report.

        Raises:
            ApplyFailed: If a step has failed.
        """
        report = ApplyReport(
            digest=self._plan.digest,
            by=self.by,
            done=tuple(self._done),
            failed=self._step,
            rolled_back=self._rolled_back,
            problems=tuple(self._problems),
            seconds=self._host.clock.now() - self._began,
        )
        if self._error is None:
            return report
        failed, cause = self._step, self._error
        what = f"{failed.id!r} ({failed.action})" if failed is not None else "a step"
        end = "rolled back" if self._rolled_back else "left as it is"
        problems = "".join(f"; {problem}" for problem in self._problems)
        first_line = str(cause).partition("\n")[0]
        about = cause if isinstance(cause, ProgramError) else None
        raise ApplyFailed(
            f"plan {self._plan.digest} has failed at {what}, {end}: {first_line}{problems}",
            id=failed.id if failed is not None else self._host.name,
            report=report,
            status=None if about is None else about.status,
            lines=() if about is None else about.lines,
        ) from cause

    async def run(self) -> None:
        """Perform all steps, and roll back if one fails. Raises nothing but a cancellation from the event loop."""
        try:
            await self._perform()
        except asyncio.CancelledError:
            if not self._cancelled:  # the event loop is being closed: each run kills its program
                raise
            await self._end(wait=False)
        except Exception as error:  # noqa: BLE001  # it is the cause of ApplyFailed
            self._error = error
            await self._end(wait=True)
        else:
            self._step = None

    async def _end(self, *, wait: bool) -> None:
        if self._on_failure == "leave":
            for id in self._retired:  # they stay, stopped, with their order and logs
                self._set_spec(id, self._spec_of(id))
            return
        try:
            complete = await self._roll_back(wait=wait)
        except Exception as error:  # noqa: BLE001  # the first error is the one to tell
            self._problems.append(str(error).partition("\n")[0])
        else:
            self._rolled_back = complete and not self._problems

    # A service, or all instances of a set, by one name.

    def _has(self, id: str) -> bool:
        return id in self._host.sets or id in self._host.registry.services

    def _services(self, id: str) -> list[ServiceRunner]:
        """Return the service of a name, or the instances of the set, also those that are being taken away."""
        if id in self._host.sets:
            found = self._host.sets[id]
            return [*found.members, *found.leaving.values()]
        return [self._host.registry.get(id)]

    def _spec_of(self, id: str) -> Spec:
        return self._host.sets[id].spec if id in self._host.sets else self._host.registry.get(id).spec

    def _set_spec(self, id: str, spec: Spec) -> None:
        """Give a service, or the instances of a set, another Spec. Neither can become the other."""
        if id in self._host.sets:
            found = self._host.sets[id]
            found.update(spec.updated(instances=len(found.members)))
        else:
            self._host.registry.apply_spec(self._host.registry.get(id), spec)

    # The steps.

    async def _perform(self) -> None:
        steps = {step.id: step for step in self._plan.steps}
        await self._stop(step for step in steps.values() if step.action in ("remove", "restart", "start"))
        for step in steps.values():
            if step.action == "remove":
                self._step = step
                self._retire(step.id)
        for step in steps.values():
            self._step = step
            if step.action == "add" and step.after is not None:
                self._host.add(step.after)
                self._added.append(step.id)
            elif step.after is not None:
                self._change(step.id, step.after)
                if step.action == "update":
                    self._done.append(step)
        for level in self._levels:
            if chosen := [steps[id] for id in level if id in steps and steps[id].action != "update"]:
                await self._start(chosen)
        for step in steps.values():
            if step.action == "remove":
                self._step = step
                self._host.remove(step.id, self.by)
                self._retired.remove(step.id)
                self._done.append(step)

    async def _stop(self, steps: Iterable[PlanStep]) -> None:
        """Stop the services of some steps, dependents before their dependencies."""
        live = {
            one.id: (one, step)
            for step in steps
            for one in self._services(step.id)
            # A start waits for the end of a stop that is under way, and leaves the other instances alone.
            if one.state.is_live and not (step.action == "start" and one.machine.wanted)
        }
        for level in self._host.dependencies.stop_levels(live):
            self._stopped.update(level)
            stops = {id: live[id][0].stop(why="a plan is applied", by=self.by) for id in level}
            for id, stop in stops.items():
                service, self._step = live[id]
                outcome = await stop
                if outcome.survived:
                    raise service.waiters.stop_failed(outcome.status)

    def _retire(self, id: str) -> None:
        """Take the place of a service in the order and its logs. It is removed once all starts have succeeded."""
        for service in self._services(id):
            self._host.dependencies.forget(service.id)
            self._host.registry.release_logs(service.id)
        self._retired.append(id)

    def _change(self, id: str, spec: Spec) -> None:
        before = self._spec_of(id)
        if before is spec:
            return
        self._changed[id] = before
        if self._step is not None and self._step.action == "roll":  # the roll gives each instance its new Spec
            return
        if (before.instances is None) != (spec.instances is None):
            self._host.remove(id, self.by)
            self._host.add(spec)
            return
        self._set_spec(id, spec)
        step = self._step
        if step is not None and step.changes:
            names = dict.fromkeys(change.root for change in step.changes)
            for service in self._services(id):
                self._host.publisher.publish(service.id, described_change(names, self.by), "change", by=self.by)

    async def _start(self, steps: list[PlanStep]) -> None:
        """Start services whose dependencies have been started, and wait until they are ready."""
        begun: list[ServiceRunner] = []
        for step in steps:
            self._step = step
            if step.after is not None and step.after.instances is not None:
                await self._resize(step, step.after)
            if step.action not in ("scale", "roll"):
                self._started.append(step.id)
                begun += self._services(step.id)
        self._step = steps[0]
        idle = [service for service in begun if not service.state.is_live]  # supervise_all may have started one
        disarmed = [service for service in begun if service.is_disarmed]
        self._host.dependencies.start(idle, by=self.by)
        for service in disarmed:
            service.start(by=self.by)
        try:
            await all_up(begun)
        except ProgramError as error:
            names = {one.id: step for step in steps for one in self._services(step.id)}
            self._step = names.get(error.id, self._step)
            raise
        self._done += steps

    async def _resize(self, step: PlanStep, after: Spec) -> None:
        """Roll a set if that is the step, and give it its number of instances."""
        found = self._host.sets[step.id]
        if step.action == "roll":
            if (after.instances or 0) < len(found.members):  # no new run for an instance that goes
                await found.scale(after.instances or 0, by=self.by)
            self._rolled.add(step.id)
            await self._host.rolls_of(found).roll(after.updated(instances=len(found.members)), by=self.by)
        if after.instances is not None and after.instances != len(found.members):
            await found.scale(after.instances, by=self.by)

    # The way back.

    async def _roll_back(self, *, wait: bool) -> bool:
        """Undo what was done; return whether all that ran before is started again."""
        host, services = self._host, self._host.registry.services
        if host.is_leaving():
            return False  # the stop of all services is under way, and keeps their order
        _log.warning("%s: plan %s has failed, and is rolled back", host.name, self._plan.digest)
        begun = {one.id: one for id in {*self._started, *self._added} if self._has(id) for one in self._services(id)}
        self._unwanted = {id for id, service in begun.items() if service.machine.stopped_on_request}
        for level in host.dependencies.stop_levels(id for id, one in begun.items() if one.state.is_live):
            stops = {id: begun[id].stop(why="a plan is rolled back", by=self.by) for id in level}
            for id, stop in stops.items():
                if (await stop).survived:
                    self._problems.append(f"{id!r} does not die")
        for id in self._added:
            if self._has(id) and not any(one.state.is_live for one in self._services(id)):
                host.remove(id, self.by)
        for step in self._plan.steps:
            if step.action == "remove" and not self._has(step.id) and step.before is not None:
                host.add(step.before)
        for id in self._retired:
            if self._has(id):
                self._set_spec(id, self._spec_of(id))
        for id, spec in self._changed.items():
            await self._change_back(id, spec)
        if host.is_leaving() or host.shutdown.count != self._stops_before:  # all were stopped meanwhile
            return False
        touched = self._ran & {*self._stopped, *begun} - self._unwanted
        again = [service for id, service in services.items() if id in touched and not service.machine.wanted]
        for service in again:
            if service.state is State.STOPPING:
                host.dependencies.start_after_stop(service, by=self.by)
        host.dependencies.start([service for service in again if not service.state.is_live], by=self.by)
        if wait:
            await all_up(again)
        return not self._unwanted

    async def _change_back(self, id: str, spec: Spec) -> None:
        if not self._has(id):
            self._host.add(spec)
            return
        if (self._spec_of(id).instances is None) != (spec.instances is None):
            self._host.remove(id, self.by)
            self._host.add(spec)
            return
        if spec.instances is None:
            self._set_spec(id, spec)
            return
        found = self._host.sets[id]
        if id in self._rolled:
            rolls = self._host.rolls_of(found)
            if rolls.is_paused:
                await rolls.cancel()
            elif found.spec.updated(instances=spec.instances) != spec:
                await rolls.roll(spec.updated(instances=len(found.members)), by=self.by)
        else:
            self._set_spec(id, spec)
        if spec.instances != len(found.members):
            await found.scale(spec.instances, by=self.by)
