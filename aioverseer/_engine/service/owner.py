"""ServiceOwner, ServiceTransition and Throttle: the needs of a service, which its overseer serves."""

from __future__ import annotations

from typing import Protocol

from aioverseer.core.report.events import Kind
from aioverseer.core.report.status import StatusSnapshot
from aioverseer.core.state import State

__all__ = ["ServiceOwner", "ServiceTransition", "Throttle"]


class ServiceTransition:
    """A change of state of one service.

    Attributes:
        id: The name of the service.
        snapshot: The service after the change, without the lines of a buffered run.
        previous: The old state.
        state: The new state.
        reason: The reason, as one sentence.
    """

    __slots__ = ("id", "previous", "reason", "snapshot", "state")

    def __init__(self, snapshot: StatusSnapshot, *, previous: State, state: State, reason: str) -> None:
        self.id = snapshot.spec.id
        self.snapshot = snapshot
        self.previous = previous
        self.state = state
        self.reason = reason


class ServiceOwner(Protocol):
    """Receives the reports of services, in the order in which things happened."""

    def on_transition(self, transition: ServiceTransition) -> None:
        """Receive a change of state."""
        ...

    def on_spawned(self, id: str) -> None:
        """Receive that a program has been started and is not ready yet.

        A program without ``ready`` is ready at once. Its transition to RUNNING is the only report then.
        """
        ...

    def on_unstoppable(self, id: str) -> None:
        """Receive that a program still exists after its whole ladder."""
        ...

    def on_notice(self, id: str, text: str, kind: Kind) -> None:
        """Receive something that is worth an event but changes no state.

        Args:
            id: The name of the service.
            text: The end of a sentence that begins with that name.
            kind: The kind of the event.
        """
        ...


class Throttle(Protocol):
    """The limit on restarts. A service asks it before each restart that follows a backoff."""

    @property
    def reason(self) -> str:
        """The reason of a service that waits for the throttle."""
        ...

    def ask(self, id: str) -> bool:
        """Return whether a service may restart now. If not, it is fed ``Admitted`` later."""
        ...

    def leave(self, id: str) -> None:
        """Remove a service from the queue."""
        ...
