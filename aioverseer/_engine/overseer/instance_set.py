"""InstanceSet: the services ``web.0``, ``web.1`` and so on of one program, and how many of them there are."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeVar

from aioverseer._aio.watchers import Watchers
from aioverseer._engine.events.journal import EventStream
from aioverseer._engine.events.publisher import EventPublisher
from aioverseer._engine.output.subscription import Overflow, Subscription
from aioverseer._engine.output.tail import TAIL_LINES
from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.overseer.instance_checks import check_instances
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.place import InstancePlace
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.clock import Clock
from aioverseer.core.errors import OverseerError, SpecError, UnknownService
from aioverseer.core.machine.inputs import RestartRequested
from aioverseer.core.options.by import asked
from aioverseer.core.options.effects import changed_options, described_change
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.numbers import no_whole_number
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import Stop, check_ladder
from aioverseer.core.report.instances import InstancesStatus, counted_states, state_of_set, status_of_set
from aioverseer.core.report.status import NotReady, NotReadyInTime
from aioverseer.core.report.why import Awaited, Why
from aioverseer.core.state import State
from aioverseer.core.text.lines import Line

__all__ = ["InstanceSet"]

_NotReady = TypeVar("_NotReady", bound=NotReady)


class SetRolls(Protocol):
    """The rolls of a set, as the set reports to them."""

    def on_resize(self) -> None:
        """Handle a change of the number of instances."""
        ...

    def check_idle(self) -> None:
        """Raise OverseerError if a roll is under way, or is paused."""
        ...


class InstanceSet:
    """The engine of one set of instances.

    A service that ``scale`` has taken away is stopped, and removed at its end. Until then it keeps its name and its
    place in ``leaving``, and a later ``scale`` may take it back.

    Attributes:
        spec: The options of the set: those of each instance, under the name of the set.
        members: The instances that are wanted, by index; for reading.
        leaving: The services that were taken away and have not ended yet, by index.
        ids: The names of all services that have ever been an instance of the set.
        counts: Number of members in each state.
        removed: Whether the set was removed.
        rolls: The rolls of the set; None before the first.
    """

    def __init__(
        self,
        spec: Spec,
        registry: Registry,
        dependencies: DependencyTracker,
        publisher: EventPublisher,
        *,
        clock: Clock,
        is_used: Callable[[], bool],
        check: Callable[[], None],
    ) -> None:
        """Create a set without members; ``extend`` adds them.

        Args:
            spec: The options of the set.
            registry: The services of the overseer.
            dependencies: The order of the services.
            publisher: The publisher of events and lines.
            clock: The source of time.
            is_used: Function that returns whether the overseer is in use, so that services can be started.
            check: Function that raises OverseerError unless the overseer is in use on this event loop.
        """
        self.spec = spec
        self.members: list[ServiceRunner] = []
        self.leaving: dict[int, ServiceRunner] = {}
        self.ids: set[str] = set()
        self.counts: Counter[State] = Counter()
        self.removed = False
        self.rolls: SetRolls | None = None
        self._detached = False
        self._registry = registry
        self._dependencies = dependencies
        self._publisher = publisher
        self._clock = clock
        self._is_used = is_used
        self._check = check
        self._watchers: Watchers[InstanceSet] = Watchers()
        self._followers: tuple[Callable[[ServiceRunner], None], ...] = ()
        self._changes = 0
        self._since = clock.now()
        self._state: State = State.INITIAL
        self._was_wanted = True
        """Whether the last instances were wanted when ``scale(0)`` took them away; then ``scale(1)`` starts one."""

    @property
    def name(self) -> str:
        """The name of the set."""
        return self.spec.id

    @property
    def state(self) -> State:
        """The one state of the set."""
        return state_of_set(self.counts)

    @property
    def is_ready(self) -> bool:
        """Whether all members are ready."""
        return self.counts[State.RUNNING] + self.counts[State.WAITING] == len(self.members)

    @property
    def is_wanted(self) -> bool:
        """Whether members should run, so that a new one is started."""
        if not self.members:
            return self._was_wanted
        return any(member.machine.wanted for member in self.members)

    def status(self, *, lines: bool = False) -> InstancesStatus:
        """Return the status of the set, by counts.

        Args:
            lines: Whether the lines of buffered runs, and the last lines of failed ones, are included.
        """
        each = (member.snapshot(lines=lines).status() for member in self.members)
        return status_of_set(self.spec, self.counts, each)

    def why(self) -> Why:
        """Return why the set is in its state: the instances that are not ready, and why."""
        late = [one for one in self.members if not one.state.is_up]
        awaits = tuple(
            Awaited(kind="service", name=one.id, text=f"{one.id!r}, which is {one.state}: {one.reason()}")
            for one in late
        )
        is_over = self.state.is_final or self.state is State.INITIAL
        return Why(
            id=self.name,
            state=self.state,
            reason=self.summary,
            since=max(0.0, self._clock.now() - self._since),
            awaits=() if is_over else awaits,
        )

    # The members.

    def spec_of(self, index: int) -> Spec:
        """Return the options of one instance."""
        return dataclasses.replace(self.spec, id=InstancePlace(name=self.name, index=index).id)

    def extend(self, count: int) -> list[ServiceRunner]:
        """Add members at the end until there are so many, and return them. Nothing is started.

        Raises:
            DuplicateService: If a name that is needed is taken. Nothing has changed then.
            SpecError: If an instance cannot be added. Nothing has changed then.
        """
        indices = range(len(self.members), count)
        back = [index for index in indices if index in self.leaving]
        fresh = [index for index in indices if index not in self.leaving]
        for index in fresh:
            self._registry.check_name(InstancePlace(name=self.name, index=index).id)
        check_instances(self.spec, count)
        self.spec = self.spec.updated(instances=count)
        added: dict[int, ServiceRunner] = {}
        try:
            for index in fresh:
                added[index] = self._registry.add(self.spec_of(index), place=InstancePlace(name=self.name, index=index))
            for index in back:  # an update or a roll may have passed it by
                self._registry.apply_spec(self.leaving[index], self.spec_of(index))
        except SpecError:
            self.spec = self.spec.updated(instances=len(self.members))
            for service in added.values():
                self._registry.discard(service)
            raise
        for index in back:
            added[index] = self.leaving.pop(index)
        before = len(self.members)
        for index in indices:
            self.members.append(added[index])
            self.ids.add(added[index].id)
            self.counts[added[index].state] += 1
        self._resize([*range(before), *back])
        for index in indices:
            for on_added in self._followers:
                on_added(added[index])
        return [added[index] for index in indices]

    def follow(self, on_added: Callable[[ServiceRunner], None]) -> None:
        """Call a function with each further member, before it is started."""
        self._followers = (*self._followers, on_added)

    def unfollow(self, on_added: Callable[[ServiceRunner], None]) -> None:
        """Call a function of ``follow`` no longer. Idempotent."""
        self._followers = tuple(other for other in self._followers if other != on_added)

    def take(self, count: int, *, why: str, by: str = "") -> list[ServiceRunner]:
        """Take members from the end until there are so many, begin to stop them, and return them.

        Args:
            count: Number of members that stay.
            why: Reason of the stops.
            by: Name of the one who asks.
        """
        if count == 0:
            self._was_wanted = self.is_wanted
        taken = self.members[count:]
        del self.members[count:]
        for index, service in enumerate(taken, count):
            self.counts[service.state] -= 1
            self.leaving[index] = service
        self._resize(range(count))
        for service in reversed(taken):
            if service.state.is_live:
                service.request_stop(why=why, by=by)
        for index, service in list(self.leaving.items()):
            if not service.state.is_live:
                self._settle(index, service)
        return taken

    def _resize(self, others: Iterable[int]) -> None:
        """Tell the number of members.

        Args:
            others: Members whose options name another number, by index.
        """
        self._changes += 1
        self.spec = self.spec.updated(instances=len(self.members))
        for index in others:
            member = self.members[index]  # in a roll its other options differ from those of the set
            member.spec = member.spec.updated(instances=len(self.members))
        self._dependencies.on_resize(self.name)
        if self.rolls is not None:
            self.rolls.on_resize()
        self._on_change()

    def change(self, argv: Iterable[object] | None, options: SpecOptions, *, by: str) -> None:
        """Change the command or options of all members; see ``Overseer.update``."""
        if "instances" in options:
            raise SpecError(
                f"service {self.name!r}: the number of instances is no option of a run: call scale",
                option="instances",
                value=options["instances"],
            )
        spec = self.spec.updated(**options)
        if argv is not None:
            spec = spec.with_command(argv)
        changed = changed_options(self.spec, spec)
        self.update(spec)
        if changed:
            for member in self.members:
                self._publisher.publish(member.id, described_change(changed, by), "change", by=by)

    def update(self, spec: Spec) -> None:
        """Take other options for the next run of each member.

        Args:
            spec: The new options of the set, for the same number of instances.

        Raises:
            SpecError: If the options cannot be those of an instance. Nothing has changed then.
        """
        if self.rolls is not None:
            self.rolls.check_idle()
        self._registry.check(spec)
        check_instances(spec, len(self.members))
        each = [dataclasses.replace(spec, id=member.id) for member in self.members]
        self.spec = spec
        for member, of_member in zip(self.members, each, strict=True):
            self._registry.apply_spec(member, of_member)

    def remove(self, *, by: str) -> None:
        """Remove all services of the set.

        Args:
            by: Name of the one who asks.

        Raises:
            ServiceIsLive: If one of them is live. Nothing has changed then.
        """
        services = [*self.members, *self.leaving.values()]
        for service in services:
            self._registry.check_idle(service)
        for service in services:
            self._publisher.publish(service.id, asked("is removed", by), "change", by=by)
        self.removed = True
        self.members.clear()
        self.leaving.clear()
        self.counts.clear()
        for service in services:
            self._registry.discard(service)
        self._on_change()

    # Events and lines.

    def events(self, *, since: int | None) -> EventStream:
        """Return the events of all services that are or were instances of the set."""
        return self._publisher.events(since=since, wants=self.ids.__contains__)

    def tail(self, n: int) -> list[Line]:
        """Return the last lines of all members, oldest first."""
        lines = [line for member in self.members for line in member.hub.tail(n)]
        return sorted(lines, key=lambda line: line.time)[-n:] if n > 0 else []

    def lines(
        self, stream: Literal["stdout", "stderr"] | None, *, history: int, size: int, overflow: Overflow
    ) -> Subscription:
        """Return a queue of the lines of all members; see ``Instances.lines``."""
        if (why := no_whole_number(history, "lines", least=0)) is not None:
            raise SpecError(f"{self.name!r}: history={history!r} {why}", option="history", value=history)
        subscription = self._publisher.lines(stream, services=self.name, groups=None, size=size, overflow=overflow)
        remembered = [line for line in self.tail(TAIL_LINES) if stream in (None, line.stream)] if history else []
        subscription.deliver(remembered[-min(history, size) :])
        return subscription

    async def flush_log(self) -> None:
        """Wait until all lines so far are in the log files."""
        await self._publisher.log_routing.flush()

    # Reports of the services.

    def on_transition(self, transition: ServiceTransition, place: InstancePlace) -> None:
        """Count the states, and remove a service that was taken away and has ended."""
        leaving = self.leaving.get(place.index)
        if leaving is not None and leaving.id == transition.id:
            if transition.state.is_final or transition.state is State.STARTING:
                # Not at once: other parts and waiters of the service receive its end after this.
                asyncio.get_running_loop().call_soon(self._settle, place.index, leaving)
            return
        if place.index >= len(self.members):  # it was taken away and is removed, or is about to be a member
            return
        self.counts[transition.previous] -= 1
        self.counts[transition.state] += 1
        self._on_change()

    def on_unstoppable(self) -> None:
        """Handle a service whose program does not end."""
        self._on_change()

    def detach(self) -> None:
        """End the waits: the overseer was left, so no change follows. The overseer may be entered again."""
        self._detached = True
        self._watchers.notify(self)
        self._detached = False

    @property
    def summary(self) -> str:
        """The counts as words."""
        return counted_states(self.counts, len(self.members))

    def _on_change(self) -> None:
        state = self.state
        if state is not self._state:
            self._state, self._since = state, self._clock.now()
        if self._watchers:
            self._watchers.notify(self)

    def _settle(self, index: int, service: ServiceRunner) -> None:
        """Remove a service that was taken away and has ended. A service that was started again is stopped again."""
        if self.leaving.get(index) is not service:
            return
        if service.state.is_live:
            if service.machine.wanted:
                service.request_stop(why="it was taken away by scale()")
            return
        del self.leaving[index]
        self._registry.discard(service)
        self._on_change()

    # Requests. A cancelled call that has started services stops them; a cancelled stop goes on by itself.

    def check(self) -> None:
        """Check that the set can be used.

        Raises:
            UnknownService: If it was removed.
            OverseerError: If the overseer is not in use on this event loop.
        """
        self._check()
        self.check_known()

    def check_known(self) -> None:
        """Raise UnknownService if the set was removed."""
        if self.removed:
            raise self._unknown()

    async def start(self, *, by: str) -> None:
        """Start all members and wait until each of them has been ready."""
        self.check()
        self._was_wanted = True
        waiting = [one for one in self.members if one.state is not State.RUNNING or one.trigger is not None]
        began = [member for member in waiting if not member.state.is_live]
        for member in waiting:
            member.start(by=by)
        try:
            await self._ready_once([one for one in waiting if not (one in began and one.machine.was_ready)])
        except asyncio.CancelledError:
            await self._roll_back(began, "its start was cancelled")
            raise

    async def trigger(self, *, by: str) -> None:
        """Run the programs of all members now, and wait until each run is ready."""
        self.check()
        for member in self.members:
            if member.trigger is None:
                raise SpecError(f"{self.name!r} has no schedule: start() runs its instances now", option="schedule")
        began = [member for member in self.members if not member.state.is_live]
        for member in self.members:
            member.run_now(by=by)
        try:
            await self._all([(member, member.waiters.until_run()) for member in self.members])
        except asyncio.CancelledError:
            await self._roll_back(began, "its start was cancelled")
            raise

    async def restart(self, *, by: str) -> None:
        """Stop all members, start them again, and wait until each of them is ready."""
        self.check()
        self._was_wanted = True
        members = list(self.members)
        for member in members:
            member.submit(RestartRequested(by=by))
        await self._ready_once(members)

    async def supervise(self, *, by: str) -> InstancesStatus:
        """Start all members, and wait for their final ends."""
        self.check()
        self._was_wanted = True
        began = [member for member in self.members if not member.state.is_live]
        for member in self.members:
            if member in began or member.is_disarmed:
                member.start(by=by)
        try:
            await self.wait()
        except asyncio.CancelledError:
            await self._roll_back(began, "its supervision was cancelled")
            raise
        return self.status(lines=True)

    async def stop(self, *, kill: bool, ladder: Stop | None, by: str) -> InstancesStatus:
        """Stop all members, and those that were taken away, and wait for their ends."""
        self.check()
        check_ladder(ladder, self.name, is_program=True)
        self._was_wanted = False
        services = [*self.members, *self.leaving.values()]
        stops = {service: service.stop(kill=kill, ladder=ladder, by=by) for service in reversed(services)}
        outcomes = {service: await stop for service, stop in stops.items()}
        for service, outcome in outcomes.items():
            if outcome.survived:
                raise service.waiters.stop_failed(outcome.status)
        return self.status(lines=True)

    async def leave(self) -> None:
        """Stop all members through any cancellation: a block of the set has ended."""
        self._was_wanted = False
        members = list(self.members)
        for member in reversed(members):
            if member.state.is_live and self._is_used():
                member.request_stop(why="its block has ended")
        cancelled: asyncio.CancelledError | None = None
        for member in members:
            cancelled = await member.roll_back("its block has ended") or cancelled
        if cancelled is not None:
            raise cancelled
        for member in members:
            if member.is_unstoppable:
                raise member.waiters.stop_failed(member.snapshot(lines=False).status())

    async def scale(self, count: int, *, by: str) -> None:
        """Change the number of members; see ``Instances.scale``."""
        if (why := no_whole_number(count, "instances", least=0)) is not None:
            raise SpecError(f"{self.name!r}: scale({count!r}) {why}", option="instances", value=count)
        self.check_known()
        before = len(self.members)
        wanted = self.is_wanted and self._is_used()
        if count < before:
            if any(member.state.is_live for member in self.members[count:]):
                self._check()
            await self._gone(self.take(count, why=asked(f"its set was scaled to {count}", by), by=by))
            return
        if wanted and count > before:
            self._check()
        added = self.extend(count)
        if not wanted:
            return
        try:
            self._start(added, by=by)
        except SpecError:
            self.take(before, why="its dependencies are invalid")
            raise
        changes = self._changes
        try:
            await self._ready_once([one for one in added if not one.state.is_up])
        except asyncio.CancelledError:
            if changes == self._changes and self._is_used():
                self.take(before, why="the scale() that added it was cancelled")
            await self._roll_back(added, "the scale() that added it was cancelled")
            raise

    def _start(self, added: Sequence[ServiceRunner], *, by: str) -> None:
        self._dependencies.start([service for service in added if not service.state.is_live], by=by)
        for service in added:
            if service.state is State.STOPPING:
                self._dependencies.start_after_stop(service, by=by)

    async def _roll_back(self, began: Sequence[ServiceRunner], why: str) -> None:
        for service in reversed(began):
            if service.state.is_live and self._is_used():
                service.request_stop(why=why)
        for service in began:
            if service.state.is_live:
                await service.roll_back(why)

    # Waits.

    async def ready(self, timeout: float | None) -> None:
        """Wait until all members are ready at the same time; see ``Instances.ready``."""
        self.check()
        due = None if timeout is None else self._clock.now() + timeout
        while not self.is_ready:
            waits = [(one, one.waiters.until_up()) for one in self.members if not one.state.is_up]
            await self._all(waits, due=due, on_due=lambda: self._late(State.RUNNING, timeout))
            self.check_known()

    async def wait(self) -> InstancesStatus:
        """Wait for the final ends of all members, also of those that are added meanwhile."""
        self.check()
        while live := [member for member in self.members if not member.state.is_final]:
            await self._all([(member, member.waiters.for_end()) for member in live])
            self.check_known()
        return self.status(lines=True)

    async def wait_for(
        self, wanted: State | Callable[[InstancesStatus], bool], timeout: float | None
    ) -> InstancesStatus:
        """Wait for a state of the set, or for a condition on its status; see ``Instances.wait_for``."""
        self.check()
        found: list[InstancesStatus] = []

        def judge(_: InstanceSet) -> bool | BaseException:
            status = self.status()
            try:
                if status.state is wanted if isinstance(wanted, State) else wanted(status):
                    found.append(status)
                    return True
            except Exception as error:  # noqa: BLE001  # the caller's own function: only the caller gets its error
                return error
            return self._hopeless(wanted, status) or False

        due = None if timeout is None else self._clock.now() + timeout
        await self._all(
            [(None, self._watchers.watch(self, judge))], due=due, on_due=lambda: self._late(wanted, timeout)
        )
        return found[-1]

    def _hopeless(
        self, wanted: State | Callable[[InstancesStatus], bool], status: InstancesStatus
    ) -> OverseerError | None:
        """Return an error if no change can make a condition true; else None."""
        if self.removed:
            return self._unknown()
        if self._detached:
            return OverseerError(f"the overseer of {self.name!r} was left, and {self.name!r} is {status.state}")
        if self.members and all(member.state.is_final for member in self.members):
            return self._not_ready(NotReady, wanted, f"it is {status.state}: {status.reason}")
        return None

    def _late(self, wanted: State | Callable[[InstancesStatus], bool], timeout: float | None) -> NotReadyInTime:
        return self._not_ready(NotReadyInTime, wanted, f"after {timeout:g} s {self.why()}")

    def _not_ready(
        self, kind: type[_NotReady], wanted: State | Callable[[InstancesStatus], bool], why: str
    ) -> _NotReady:
        what = f"not {wanted}" if isinstance(wanted, State) else "not what was waited for"
        if wanted is State.RUNNING:
            what = "not ready"
        status = self.status()
        late = next((member for member in self.members if not member.state.is_up), None)
        lines = [] if late is None else late.last_lines()
        error = kind(f"{self.name!r} is {what}: {why}", id=self.name, status=status, lines=lines)
        error.__cause__ = status.error
        return error

    async def _ready_once(self, members: Sequence[ServiceRunner]) -> None:
        """Wait until each of some members has been ready. Members that are taken away meanwhile do not count."""
        await self._all([(one, one.waiters.until_up()) for one in members if self.has(one)])

    async def _gone(self, taken: Sequence[ServiceRunner]) -> None:
        """Wait until services that were taken away are removed, or were taken back."""

        def judge(_: InstanceSet) -> bool | BaseException:
            left = [service for service in taken if self._is_leaving(service)]
            stuck = [service for service in left if service.is_unstoppable]
            if left and len(stuck) == len(left):
                return stuck[0].waiters.stop_failed(stuck[0].snapshot().status())
            return not left

        await self._watchers.watch(self, judge)

    async def _all(
        self,
        futures: Iterable[tuple[ServiceRunner | None, asyncio.Future[Any]]],
        *,
        due: float | None = None,
        on_due: Callable[[], BaseException] | None = None,
    ) -> None:
        """Wait for all futures, or raise the first error at once. The error of a service that has left is none.

        Args:
            futures: A future for each service; None is the set as a whole.
            due: Monotonic time of the end of the wait; None for no limit.
            on_due: Function that returns the error at that time.
        """
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waits = list(futures)
        left = len(waits)

        def on_done(member: ServiceRunner | None, future: asyncio.Future[Any]) -> None:
            nonlocal left
            left -= 1
            error = None if future.cancelled() else future.exception()
            if gate.done():
                return
            if error is not None and (member is None or self.has(member)):
                gate.set_exception(error)
            elif left == 0:
                gate.set_result(None)

        def on_timer() -> None:
            if on_due is not None and not gate.done():
                gate.set_exception(on_due())

        if not waits:
            return
        for member, future in waits:
            future.add_done_callback(functools.partial(on_done, member))
        timer = None if due is None else self._clock.call_at(due, on_timer)
        try:
            await gate
        finally:
            if timer is not None:
                timer.cancel()
            for _, future in waits:
                future.cancel()

    def has(self, service: ServiceRunner) -> bool:
        """Return whether a service is a member now."""
        place = service.place
        return place is not None and place.index < len(self.members) and self.members[place.index] is service

    def _is_leaving(self, service: ServiceRunner) -> bool:
        return service.place is not None and self.leaving.get(service.place.index) is service

    def _unknown(self) -> UnknownService:
        return UnknownService(f"the instances {self.name!r} were removed: add them again")
