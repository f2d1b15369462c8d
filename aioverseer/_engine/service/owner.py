"""The protocols by which a service uses its surroundings. ServiceTransition: what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from aioverseer._engine.process.runner import ProcessRunner
from aioverseer.core.machine.table import Transition
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.events import Kind
from aioverseer.core.report.status import StatusSnapshot
from aioverseer.core.report.why import Awaited
from aioverseer.core.state import State

__all__ = ["ServiceOwner", "ServiceTransition", "SideRuns", "SocketHolder", "StartGate", "Throttle"]


class ServiceTransition:
    """A change of state of one service.

    Attributes:
        id: The name of the service.
        snapshot: The service after the change, without the lines of a buffered run.
        previous: The old state.
        state: The new state.
        reason: The reason, as one sentence.
        by: The name of the one who asked for it; empty if nobody did, or gave a name.
        run: The number of the current or last run; 0 before the first.
    """

    __slots__ = ("by", "id", "previous", "reason", "run", "snapshot", "state")

    def __init__(
        self, snapshot: StatusSnapshot, *, previous: State, state: State, reason: str, by: str = "", run: int = 0
    ) -> None:
        self.id = snapshot.spec.id
        self.snapshot = snapshot
        self.previous = previous
        self.state = state
        self.reason = reason
        self.by = by
        self.run = run


class ServiceOwner(Protocol):
    """Receives the reports of services, in the order in which things happened."""

    def on_transition(self, transition: ServiceTransition) -> None:
        """Handle a change of state."""
        ...

    def on_spawned(self, id: str) -> None:
        """Handle the spawn of a program that is not ready yet.

        A program without ``ready`` is ready at once: the transition to RUNNING is its only report.
        """
        ...

    def on_unstoppable(self, id: str) -> None:
        """Handle a program that still exists after its whole ladder."""
        ...

    def on_notice(
        self, id: str, text: str, kind: Kind, *, level: int | None = None, run: int | None = None, by: str = ""
    ) -> None:
        """Handle something that is worth an event but changes no state.

        Args:
            id: The name of the service.
            text: The end of a sentence that begins with the name of the service.
            kind: The kind of the event.
            level: The level of the log record; None for that of the kind.
            run: The number of the run; None for the current or last one.
            by: The name of the one who asked for it.
        """
        ...


class SideRuns(Protocol):
    """The runs of a service beside its current one: a successor, and old runs that are being stopped."""

    @property
    def successor(self) -> ProcessRunner | None:
        """The run that is about to become the current one."""
        ...

    @property
    def live(self) -> bool:
        """Whether there is one that lives."""
        ...

    @property
    def runs(self) -> list[ProcessRunner]:
        """The runs that live."""
        ...

    @property
    def is_stuck(self) -> bool:
        """Whether one still exists after its whole ladder."""
        ...

    @property
    def ready_at(self) -> float | None:
        """Monotonic time at which the successor became ready; None while it is not."""
        ...

    def exchange(self) -> None:
        """Make the successor the current run. The old one goes on until ``on_exchanged``."""
        ...

    def on_exchanged(self) -> None:
        """Stop the old run: the exchange has been reported."""
        ...

    def stop(self, *, kill: bool, why: str) -> None:
        """Begin to stop all of them: the service is being stopped."""
        ...

    def on_transition(self, run: int, transition: Transition) -> None:
        """Handle a change of state of one of them."""
        ...

    def on_unstoppable(self, run: int) -> None:
        """Handle one that still exists after its whole ladder."""
        ...

    def on_change(self) -> None:
        """Handle a change of the service, or of its current run."""
        ...


class Throttle(Protocol):
    """The limit on restarts. A service asks it before each restart that follows a backoff."""

    @property
    def reason(self) -> str:
        """The reason of a service that waits for the throttle."""
        ...

    def ask(self, id: str) -> bool:
        """Return whether a service may restart now. If not, it is queued, and fed ``Admitted`` later."""
        ...

    def leave(self, id: str) -> None:
        """Remove a service from the queue."""
        ...


class SocketHolder(Protocol):
    """The listening sockets of the overseer."""

    def hold(self, spec: Spec) -> Mapping[str, int]:
        """Open the sockets of a service, or keep them, and return their descriptors by name.

        Raises:
            SpawnError: If a socket cannot be opened.
        """
        ...

    def release(self, id: str, *, keeping: Spec | None = None) -> None:
        """Close the sockets of a service that no other service holds. Idempotent.

        Args:
            id: The name of the service.
            keeping: A Spec whose sockets it goes on to hold; None for none.
        """
        ...


class StartGate(Protocol):
    """The limit on programs that start at once."""

    def ask(self, id: str, run: int, begin_turn: Callable[[], None]) -> bool:
        """Return whether a run may start now. If not, it is queued, and ``begin_turn`` called once it may."""
        ...

    def leave(self, id: str, run: int) -> None:
        """Record that a run starts no more, or no longer waits. Idempotent."""
        ...

    def reason(self, id: str, run: int) -> str:
        """Return the reason of a run that waits; empty if it does not."""
        ...

    def blockers(self, id: str, run: int) -> list[Awaited]:
        """Return the programs that start before a run; nothing if it does not wait."""
        ...
