"""ThreadedInstances: the handle of several services of one program, for threads other than that of their event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Literal, Self, overload

from aioverseer import Instances, InstancesStatus, Line, RollReport, Service, Spec, State, Stop, Subscription, Why
from aioverseer.core.export import exported_from
from aioverseer.threaded.loop import Loop, as_async
from aioverseer.threaded.service import ThreadedService
from aioverseer.threaded.streams import ThreadedEvents, ThreadedLines

__all__ = ["ThreadedInstances"]


@exported_from("aioverseer")
class ThreadedInstances(Sequence[ThreadedService]):
    """The ``Instances`` of a ThreadedOverseer: their methods block the calling thread instead of being awaited."""

    def __init__(self, loop: Loop, instances: Instances, *, service_of: Callable[[Service], ThreadedService]) -> None:
        """Wrap a set of instances. For ``ThreadedOverseer``."""
        self._loop = loop
        self._instances = instances
        self._service_of = service_of

    def __repr__(self) -> str:
        """Return name, program and counts."""
        return f"<Threaded{repr(self._instances)[1:]}"

    @overload
    def __getitem__(self, index: int) -> ThreadedService: ...
    @overload
    def __getitem__(self, index: slice) -> list[ThreadedService]: ...
    def __getitem__(self, index: int | slice) -> ThreadedService | list[ThreadedService]:
        """Return the instance of this number, or several."""
        if isinstance(index, slice):
            return [self._service_of(service) for service in self._loop.call(lambda: self._instances[index])]
        # The list hides the service from the portal of the loop, which awaits any awaitable result.
        return self._service_of(self._loop.call(lambda: [self._instances[index]])[0])

    def __len__(self) -> int:
        """Return the number of instances that are wanted."""
        return len(self._instances)

    def __bool__(self) -> bool:
        """Return True, also without instances."""
        return True

    @property
    def name(self) -> str:
        """The name of the set."""
        return self._instances.name

    @property
    def id(self) -> str:
        """The name of the set, as for a service."""
        return self._instances.id

    @property
    def spec(self) -> Spec:
        """The options of the next runs, with their placeholders."""
        return self._instances.spec

    @property
    def state(self) -> State:
        """One state for all; see ``Instances.state``."""
        return self._loop.call(lambda: self._instances.state)

    @property
    def restarts(self) -> int:
        """Sum of the restarts of all instances."""
        return self._loop.call(lambda: self._instances.restarts)

    def status(self) -> InstancesStatus:
        """Return a snapshot of the set, by counts, with the Status of each instance."""
        return self._loop.call(self._instances.status)

    def why(self) -> Why:
        """Return why the set is in its state."""
        return self._loop.call(self._instances.why)

    def events(self, *, since: int | None = None) -> ThreadedEvents:
        """Return an iterator over the events of all instances; see ``Instances.events``."""
        return ThreadedEvents(self._loop, self._loop.call(lambda: self._instances.events(since=since)))

    def tail(self, n: int = 20) -> list[Line]:
        """Return the last lines of all instances, oldest first; see ``Instances.tail``."""
        return self._loop.call(lambda: self._instances.tail(n))

    def lines(
        self,
        stream: Literal["stdout", "stderr"] | None = None,
        *,
        history: int = 0,
        size: int = 1000,
        overflow: Literal["drop_oldest", "drop_newest", "block", "error"] = "drop_oldest",
    ) -> ThreadedLines:
        """Return an iterator over the lines of all instances; see ``Instances.lines`` for the arguments."""

        async def subscribe() -> Subscription:
            return self._instances.lines(stream, history=history, size=size, overflow=overflow)

        return ThreadedLines(self._loop, self._loop.run(subscribe))

    def __enter__(self) -> Self:
        """Start all instances; see ``start``."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all instances, however the block was left; see ``stop``."""
        self.stop()

    def start(self, *, by: str = "") -> Self:
        """Start all instances and return once each of them has been ready; see ``Instances.start``."""
        self._loop.run(partial(self._instances.start, by=by))
        return self

    def trigger(self, *, by: str = "") -> Self:
        """Run the programs of instances with a schedule now; see ``Instances.trigger``."""
        self._loop.run(partial(self._instances.trigger, by=by))
        return self

    def restart(self, *, by: str = "") -> Self:
        """Stop all instances, start them again, and return once each of them is ready; see ``Instances.restart``."""
        self._loop.run(partial(self._instances.restart, by=by))
        return self

    def reload(self, timeout: float | None = 30.0) -> None:
        """Let the programs read their configuration again, one after the other; see ``Instances.reload``.

        Args:
            timeout: Seconds for each of them; None for no limit.
        """
        self._loop.run(partial(self._instances.reload, timeout))

    def stop(self, *, kill: bool = False, ladder: Stop | None = None, by: str = "") -> InstancesStatus:
        """End all instances, each by its ladder; see ``Instances.stop``."""
        return self._loop.run(partial(self._instances.stop, kill=kill, ladder=ladder, by=by))

    def scale(self, n: int, *, by: str = "") -> Self:
        """Change the number of instances and wait until it is so; see ``Instances.scale``."""
        self._loop.run(partial(self._instances.scale, n, by=by))
        return self

    def roll(self, *, by: str = "") -> RollReport:
        """Give each instance a new run, and keep enough of them available at every moment; see ``Instances.roll``."""
        return self._loop.run(partial(self._instances.roll, by=by))

    def resume_roll(self) -> RollReport:
        """Go on with a paused roll; see ``Instances.resume_roll``."""
        return self._loop.run(self._instances.resume_roll)

    def cancel_roll(self) -> RollReport:
        """End a paused roll: the old Spec comes back; see ``Instances.cancel_roll``."""
        return self._loop.run(self._instances.cancel_roll)

    def signal(self, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to the programs of all instances that are running; see ``Instances.signal``."""
        self._loop.run(as_async(partial(self._instances.signal, number, scope=scope)))

    def ready(self, timeout: float | None = None) -> Self:
        """Wait until all instances are ready; see ``Instances.ready``."""
        self._loop.run(partial(self._instances.ready, timeout))
        return self

    def wait(self) -> InstancesStatus:
        """Wait for the final ends of all instances; see ``Instances.wait``."""
        return self._loop.run(self._instances.wait)

    def wait_for(
        self, wanted: State | Callable[[InstancesStatus], bool], timeout: float | None = None
    ) -> InstancesStatus:
        """Wait for a state of the set, or until a function returns True for its status; see ``Instances.wait_for``.

        Args:
            wanted: The state, or the function. It is called in the thread of the overseer and must not block.
            timeout: Seconds to wait; None for no limit.
        """
        return self._loop.run(partial(self._instances.wait_for, wanted, timeout))

    def reopen_log(self) -> None:
        """Close the log files of all instances; see ``Service.reopen_log``."""
        self._loop.run(as_async(self._instances.reopen_log))

    def flush_log(self) -> None:
        """Wait until all lines so far are in the log files, or counted as lost."""
        self._loop.run(self._instances.flush_log)
