"""ServiceOwner and Throttle: the protocols by which a service uses its overseer. ServiceTransition: what it reports."""

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
        by: The name of the one who asked for it; empty if nobody did, or gave a name.
    """

    __slots__ = ("by", "id", "previous", "reason", "snapshot", "state")

    def __init__(self, snapshot: StatusSnapshot, *, previous: State, state: State, reason: str, by: str = "") -> None:
        self.id = snapshot.spec.id
        self.snapshot = snapshot
        self.previous = previous
        self.state = state
        self.reason = reason
        self.by = by


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

    def on_notice(self, id: str, text: str, kind: Kind, *, level: int | None = None) -> None:
        """Handle something that is worth an event but changes no state.

        Args:
            id: The name of the service.
            text: The end of a sentence that begins with the name of the service.
            kind: The kind of the event.
            level: The level of the log record; None for that of the kind.
        """
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
