"""A timeline of events that tests make assertions about. Values only; where events come from is passed in."""

from __future__ import annotations

from typing import Protocol

from aioverseer.core.events import Event

__all__ = ["EventRecorder"]


class _Source(Protocol):
    def get_nowait(self) -> Event | None: ...


class EventRecorder:
    """Keeps the events of an overseer, and compares them with what a test expects.

    ``seen = EventRecorder(overseer.events())``. An assertion that fails shows all events in a table.
    """

    def __init__(self, events: _Source) -> None:
        """Begin with the first event that comes from now on.

        Args:
            events: What ``Overseer.events()`` or ``ThreadedOverseer.events()`` returns.
        """
        self._source = events
        self._seen: list[Event] = []

    @property
    def events(self) -> tuple[Event, ...]:
        """All transitions so far."""
        self._seen.extend(event for event in iter(self._source.get_nowait, None) if event.kind == "state")
        return tuple(self._seen)

    def states(self, id: str) -> list[str]:
        """Return the states that a service has been in, in order."""
        return [str(event.state) for event in self.events if event.id == id]

    def assert_states(self, id: str, expected: str) -> None:
        """Check all states of a service: ``assert_states("web", "starting running stopping interrupted")``.

        Raises:
            AssertionError: With what was and what was expected, and the events of all services.
        """
        if (seen := self.states(id)) != expected.split():
            raise AssertionError(f"{id} has been {' '.join(seen) or 'nowhere'}, not {expected}\n{self}")

    def assert_order(self, *expected: str) -> None:
        """Check that these came in this order, whatever came between: ``assert_order("db running", "web starting")``.

        Raises:
            AssertionError: With the first that did not come, and the events of all services.
        """
        rest = iter([f"{event.id} {event.state}" for event in self.events])
        for place, wanted in enumerate(expected):
            if wanted not in rest:  # takes from it until it is found
                behind = f" behind {expected[place - 1]!r}" if place else ""
                raise AssertionError(f"{wanted!r} did not come{behind}\n{self}")

    def __str__(self) -> str:
        """Return the events as a table, a line each."""
        events = self.events
        if not events:
            return "there were no events"
        width = max(len(event.id) for event in events)
        return "\n".join(
            f"{(event.time - events[0].time).total_seconds():+10.3f} s  {event.id:<{width}}  "
            f"{event.state!s:<11}  {event.reason}"
            for event in events
        )
