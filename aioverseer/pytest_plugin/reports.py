"""The text about a service in the report of a failed test: state and reason, last exit, last lines, events."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TypeAlias

from aioverseer import Event, Overseer, ThreadedOverseer

__all__ = ["AnyOverseer", "ServiceReports"]

AnyOverseer: TypeAlias = Overseer | ThreadedOverseer

_LINES = 20
"""Last lines of each service in a report."""

_EVENTS = 30
"""Last events of each service in a report."""


class ServiceReports:
    """Reports about the services of one overseer."""

    def __init__(self, overseer: AnyOverseer) -> None:
        """Subscribe to the events of an overseer. They are read for each report, which needs no event loop."""
        self._overseer = overseer
        self._stream = overseer.events()
        self._events: list[Event] = []

    def sections(self) -> Iterator[tuple[str, str]]:
        """Yield a title and a text for each service."""
        for id in self._overseer.list_all():
            yield f"service {id}", self.report(id)

    def report(self, id: str) -> str:
        """Return the report about one service."""
        self._events.extend(iter(self._stream.get_nowait, None))
        return "\n".join(_report_lines(self._overseer, id, [event for event in self._events if event.id == id]))


def _report_lines(overseer: AnyOverseer, id: str, events: list[Event]) -> Iterator[str]:
    status, service = overseer.status(id), overseer[id]
    yield str(service.why())
    if status.exit_code is not None or status.signal is not None:
        how = f"code {status.exit_code}" if status.signal is None else _signal_name(status.signal)
        yield f"last exit: {how} after {status.runtime:.3f} s"
    lines = service.tail(_LINES)
    yield {0: "it has written nothing", 1: "its one line:"}.get(len(lines), f"last {len(lines)} lines:")
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
