"""Instances: the handle of several services that run the same program."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from aioverseer._engine.output.subscription import Overflow, Subscription
from aioverseer._engine.overseer.instance_set import InstanceSet
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._engine.service.service import Service
from aioverseer.core.errors import ProcessNotRunning
from aioverseer.core.export import exported_from
from aioverseer.core.options.by import check_by
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import Stop
from aioverseer.core.report.instances import InstancesStatus
from aioverseer.core.state import State
from aioverseer.core.text.lines import Line

if TYPE_CHECKING:
    from aioverseer._engine.events.journal import EventStream
    from aioverseer._engine.overseer.instance_rolls import InstanceRolls
    from aioverseer.core.report.roll import RollReport
    from aioverseer.core.report.why import Why

__all__ = ["Instances"]


@exported_from("aioverseer")
class Instances(Sequence[Service]):
    """Several services that run the same program: ``web.0``, ``web.1`` and so on, in this order.

    ``Overseer.add_instances`` returns it. ``web[0]`` is a Service, ``len(web)`` the number of services that are wanted.
    The set has the methods of a Service, for all of them at once. ``await web`` waits for the final ends of all, and
    ``async with web`` starts them, and stops them at the end of the block.
    """

    def __init__(
        self,
        instances: InstanceSet,
        *,
        service_of: Callable[[ServiceRunner], Service],
        rolls: Callable[[], InstanceRolls],
    ) -> None:
        """Create a handle. Use ``Overseer.add_instances`` instead."""
        self._instances = instances
        self._rolls = rolls
        self._service_of = service_of

    def __repr__(self) -> str:
        """Return name, program and counts."""
        return f"<Instances {self.name!r} {shlex.join(self.spec.argv)!r} {self._instances.summary}>"

    @overload
    def __getitem__(self, index: int) -> Service: ...
    @overload
    def __getitem__(self, index: slice) -> list[Service]: ...
    def __getitem__(self, index: int | slice) -> Service | list[Service]:
        """Return the instance of this number, or several.

        Raises:
            IndexError: If there is none.
        """
        members = self._instances.members
        if isinstance(index, slice):
            return [self._service_of(member) for member in members[index]]
        try:
            return self._service_of(members[index])
        except IndexError:
            raise IndexError(f"instances {self.name!r}: there is no [{index}], as there are {len(members)}") from None

    def __len__(self) -> int:
        """Return the number of instances that are wanted."""
        return len(self._instances.members)

    def __bool__(self) -> bool:
        """Return True, also without instances."""
        return True

    @property
    def name(self) -> str:
        """The name of the set."""
        return self._instances.name

    @property
    def id(self) -> str:
        """The name of the set, as for a Service."""
        return self._instances.name

    @property
    def spec(self) -> Spec:
        """The options of the next runs, with their placeholders. ``instances`` is the number that is wanted."""
        return self._instances.spec

    @property
    def state(self) -> State:
        """One state for all.

        If an instance starts, waits to restart or stops, this is that state, in this order. Otherwise it is RUNNING if
        any instance runs, and then WAITING. If none is live, it is the worst end.
        """
        return self._instances.state

    @property
    def restarts(self) -> int:
        """Sum of the restarts of all instances."""
        return sum(member.machine.restarts for member in self._instances.members)

    def status(self, *, lines: bool = True) -> InstancesStatus:
        """Return a snapshot of the set, by counts, with the Status of each instance.

        Args:
            lines: Whether the lines of buffered runs are included.
        """
        return self._instances.status(lines=lines)

    def why(self) -> Why:
        """Return why the set is in its state: which instances are not ready, and why.

        ``str()`` of the result is one sentence.
        """
        return self._instances.why()

    def events(self, *, since: int | None = None) -> EventStream:
        """Return the events of all instances, also of those that ``scale`` adds; see ``Overseer.events``.

        Args:
            since: The number of an event to begin after.
        """
        return self._instances.events(since=since)

    def tail(self, n: int = 20) -> list[Line]:
        """Return the last lines of all instances, oldest first.

        Args:
            n: Number of lines at most. Each instance remembers 200 lines, and 64 KiB at most.
        """
        return self._instances.tail(n)

    def lines(
        self,
        stream: Literal["stdout", "stderr"] | None = None,
        *,
        history: int = 0,
        size: int = 1000,
        overflow: Overflow = "drop_oldest",
    ) -> Subscription:
        """Return a queue of the lines that all instances write from now on, also those that ``scale`` adds.

        ``line.id`` is the name of the instance. The queue ends when the overseer is left.

        Args:
            stream: One stream, or None for both.
            history: Number of remembered lines to begin with, at most.
            size: Number of lines that the queue holds.
            overflow: The treatment of further lines; see ``Service.lines``.

        Raises:
            SpecError: If a value is invalid.
        """
        self._instances.check()
        return self._instances.lines(stream, history=history, size=size, overflow=overflow)

    async def start(self, *, by: str = "") -> Self:
        """Start all instances at the same time, and return once each of them has been ready.

        When this is cancelled, the instances that it started are stopped before the cancellation goes on.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            NotReady: If an instance ended for good, or is being stopped, before it was ready. Raised at once; the
                others go on.
            StopFailed: If an earlier program of an instance still exists after its whole ladder.
        """
        await self._instances.start(by=check_by(by))
        return self

    async def trigger(self, *, by: str = "") -> Self:
        """Run the programs of instances with a schedule now; see ``Service.trigger``.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            NotReady: If a run has failed for good, or is being stopped, before it was ready.
            SpecError: If the instances have no schedule: ``start`` runs them.
        """
        await self._instances.trigger(by=check_by(by))
        return self

    async def restart(self, *, by: str = "") -> Self:
        """Stop all instances at the same time, start them again, and return once each of them is ready.

        When this is cancelled, the restarts go on by themselves.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            NotReady: If an instance ended for good, or is being stopped, before it was ready.
            StopFailed: If an earlier program of an instance still exists after its whole ladder.
        """
        await self._instances.restart(by=check_by(by))
        return self

    async def reload(self, timeout: float | None = 30.0) -> None:
        """Let the programs read their configuration again, one after the other; see ``Service.reload``.

        Instances that are not ready are left out. The first failure ends the call, so the instances after it keep the
        configuration that they have.

        Args:
            timeout: Seconds for each of them; None for no limit.

        Raises:
            ProcessNotRunning: If no instance is ready.
            OverseerError: As in ``Service.reload``, for the first instance that has not reloaded.
        """
        self._instances.check()
        ready = [service for service in self if service.state is State.RUNNING]
        if not ready:
            raise ProcessNotRunning(f"{self.name!r} cannot reload: it is {self.state}, {self.status().reason}")
        for service in ready:
            await service.reload(timeout)

    async def stop(self, *, kill: bool = False, ladder: Stop | None = None, by: str = "") -> InstancesStatus:
        """End all instances at the same time, each by its ladder. No restart follows.

        When this is cancelled, the stops go on by themselves.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.
            ladder: A ladder for this stop alone; None for that of the options.
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            StopFailed: If a program still exists after its whole ladder.
        """
        return await self._instances.stop(kill=kill, ladder=ladder, by=check_by(by))

    async def scale(self, n: int, *, by: str = "") -> Self:
        """Change the number of instances, and wait until it is so.

        New instances come at the end. They are started if the others are wanted, each once its dependencies are met,
        and this returns when they are ready. Instances are taken from the end: they are no part of the set any more,
        and this returns when they have been stopped and removed.

        Several calls may overlap: the last one counts. When this is cancelled, instances that it added are stopped and
        removed before the cancellation goes on; a stop goes on by itself.

        Args:
            n: The number of instances, 0 or more.
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            NotReady: If a new instance ended for good before it was ready. It stays a part of the set, and the others
                go on.
            StopFailed: If the program of an instance that is taken away still exists after its whole ladder.
            DuplicateService: If there is another service of a name that is needed. Nothing has changed then.
            SpecError: If ``n`` is no number of instances, or a dependency does not exist. Nothing has changed then.
        """
        await self._instances.scale(n, by=check_by(by))
        return self

    async def roll(self, *, by: str = "") -> RollReport:
        """Give each instance a new run, and keep enough of them available at every moment; see ``Roll``.

        A successor begins beside the old run. The old run serves until the successor has become available: then one
        step makes it the run of the Service, and the old run is stopped by its ladder. The state does not change
        meanwhile; events of kind ``"roll"`` tell of both runs. Instances that were stopped stay down. After
        ``Overseer.update`` the new runs have the new options.

        When this is cancelled, the present step ends, and ``on_failure`` follows before the cancellation goes on.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Returns:
            The outcome, instance by instance.

        Raises:
            RollFailed: If a new run has failed, or all instances were stopped meanwhile. It carries the report, the
                reason and the last lines.
            SpecError: If two runs would listen on the same address. Nothing has changed then.
            OverseerError: If a roll of these instances is under way or paused. It goes on.
        """
        self._instances.check()
        return await self._rolls().roll(by=check_by(by))

    async def resume_roll(self) -> RollReport:
        """Go on with a roll that ``on_failure="pause"`` has paused. Instances that have failed are tried again.

        Raises:
            RollFailed: As ``roll``.
            OverseerError: If no roll is paused.
        """
        self._instances.check()
        return await self._rolls().resume()

    async def cancel_roll(self) -> RollReport:
        """End a roll that ``on_failure="pause"`` has paused: instances with a new Spec get the old one back.

        Raises:
            RollFailed: If that fails.
            OverseerError: If no roll is paused.
        """
        self._instances.check()
        return await self._rolls().cancel()

    def signal(self, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to the programs of all instances that are running; see ``Service.signal``.

        Args:
            number: The signal.
            scope: ``"tree"`` for each program and its descendants, ``"leader"`` for the programs alone.

        Raises:
            ProcessNotRunning: If no instance is running.
            SpecError: If the number is not a signal, or the scope is unknown.
        """
        self._instances.check()
        running = [service for service in self if service.process is not None and service.pid is not None]
        if not running:
            raise ProcessNotRunning(f"no instance of {self.name!r} is running: {self._instances.summary}")
        for service in running:
            service.signal(number, scope=scope)

    async def ready(self, timeout: float | None = None) -> Self:
        """Wait until all instances are ready, also those that ``scale`` adds meanwhile. Safe to cancel.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotReady: If an instance has ended and cannot become ready. Raised at once, with its last lines.
            NotReadyInTime: If the time is over.
        """
        await self._instances.ready(timeout)
        return self

    async def wait(self) -> InstancesStatus:
        """Wait for the final ends of all instances. Nothing is started. Safe to cancel.

        Raises:
            StopFailed: If a program still exists after its whole ladder.
        """
        return await self._instances.wait()

    def __await__(self) -> Generator[Any, None, InstancesStatus]:
        """Do what ``wait()`` does."""
        return self.wait().__await__()

    async def wait_for(
        self, wanted: State | Callable[[InstancesStatus], bool], timeout: float | None = None
    ) -> InstancesStatus:
        """Wait for a state of the set, or until a function returns True for its status. Safe to cancel.

        The condition is evaluated at each change of state of an instance.

        Args:
            wanted: A State, or a function of an InstancesStatus.
            timeout: Seconds to wait; None for no limit.

        Returns:
            The status that was wanted.

        Raises:
            NotReady: If all instances have ended, so the condition cannot come true.
            NotReadyInTime: If the time is over.
        """
        return await self._instances.wait_for(wanted, timeout)

    async def __aenter__(self) -> Self:
        """Start all instances; see ``start``."""
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all instances, however the block was left. A cancellation waits until that is done.

        Raises:
            StopFailed: If a program still exists after its whole ladder.
        """
        await self._instances.leave()

    def reopen_log(self) -> None:
        """Close the log files of all instances; see ``Service.reopen_log``."""
        for service in self:
            service.reopen_log()

    async def flush_log(self) -> None:
        """Wait until all lines so far are in the log files, or are counted as lost. Safe to cancel."""
        self._instances.check()
        await self._instances.flush_log()
