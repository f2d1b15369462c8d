"""What a report says of a service: its state and why, its last exit, its last lines, and what has happened to it.

The same for a service of the test, and for one that a keeper runs for several workers. Text only; who shows it is
decided elsewhere.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TypeAlias

from aioverseer import Event, Overseer, ThreadedOverseer

__all__ = ["AnyOverseer", "Story"]

AnyOverseer: TypeAlias = Overseer | ThreadedOverseer

_LINES = 20
"""Last lines of each service in a report."""

_EVENTS = 30
"""Last events of each service in a report."""


class Story:
    """What there is to tell of the services of one overseer."""

    def __init__(self, overseer: AnyOverseer) -> None:
        """Listen to what happens from now on; read when it is asked for, whether or not an event loop runs."""
        self._overseer = overseer
        self._stream = overseer.events()
        self._events: list[Event] = []

    def sections(self) -> Iterator[tuple[str, str]]:
        """Yield a title and a text for each service."""
        for id in self._overseer.list_all():
            yield f"service {id}", self.of(id)

    def of(self, id: str) -> str:
        """Return all of one service."""
        self._events.extend(iter(self._stream.get_nowait, None))
        return "\n".join(_about(self._overseer, id, [event for event in self._events if event.id == id]))


def _about(overseer: AnyOverseer, id: str, events: list[Event]) -> Iterator[str]:
    status, service = overseer.status(id), overseer[id]
    yield str(service.why())
    if status.exit_code is not None or status.signal is not None:
        how = f"code {status.exit_code}" if status.signal is None else _signal_name(status.signal)
        yield f"last exit: {how} after {status.runtime:.3f} s"
    lines = service.tail(_LINES)
    yield f"last {len(lines)} lines:" if lines else "it has written nothing"
    yield from (f"  {line.stream}: {line.text!s}" for line in lines)
    if events:
        yield "events:"
    for event in events[-_EVENTS:]:
        yield f"  {(event.time - events[0].time).total_seconds():+9.3f} s  {event.state!s:<11} {event.reason}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
