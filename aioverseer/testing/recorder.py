"""EventRecorder: collects the events of an overseer, compares them with the expected ones, and waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Protocol, TypeAlias, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.report.events import Event
from aioverseer.core.state import State

__all__ = ["EventRecorder"]

_Wanted: TypeAlias = "str | Callable[[Event], object]"
_STATES = [str(state) for state in State]
_EXACT = 0.001
"""Seconds by which equal times may differ, as times of events are rounded to microseconds."""


class _EventSource(Protocol):
    def get_nowait(self) -> Event | None: ...


@exported_from("aioverseer.testing")
class EventRecorder:
    """Collects the events of an overseer, and compares them with the expected ones.

    ``seen = EventRecorder(overseer.events())``. An event is named by id and state: ``"web running"``. A failed
    assertion shows all events as a table.
    """

    def __init__(self, events: _EventSource) -> None:
        """Begin with the next event.

        Args:
            events: The stream from ``Overseer.events()`` or ``ThreadedOverseer.events()``.
        """
        self._source = events
        self._seen: list[Event] = []
        self._next = 0
        """The index in ``_seen`` at which the next search begins."""

    @property
    def events(self) -> tuple[Event, ...]:
        """All transitions so far."""
        self._pull()
        return tuple(self._seen)

    def states(self, id: str) -> list[str]:
        """Return the states of a service so far, in order."""
        return [str(event.state) for event in self.events if event.id == id]

    def times(self, wanted: str) -> list[float]:
        """Return the times of an event, in seconds since the first event of all: ``times("web starting")``."""
        is_wanted, events = _is_named(wanted), self.events
        return [(event.time - events[0].time).total_seconds() for event in events if is_wanted(event)]

    # --- assertions

    def assert_states(self, id: str, expected: str) -> None:
        """Check all states of a service: ``assert_states("web", "starting running stopping interrupted")``.

        Raises:
            AssertionError: If they differ; with both, and the events of all services.
        """
        if (seen := self.states(id)) != expected.split():
            raise AssertionError(f"{id} has been {' '.join(seen) or 'nowhere'}, not {expected}\n{self}")

    def assert_order(self, *expected: str) -> None:
        """Check that events came in this order: ``assert_order("db running", "web starting")``.

        Other events may have come in between.

        Raises:
            AssertionError: With the first event that did not come, and the events of all services.
        """
        rest = iter(self.events)
        for place, wanted in enumerate(expected):
            if not any(map(_is_named(wanted), rest)):  # consumes the events up to the wanted one
                after = f" after {expected[place - 1]!r}" if place else ""
                raise AssertionError(f"{wanted!r} did not come{after}\n{self}")

    def assert_never(self, *unwanted: str) -> None:
        """Check that none of these events has come: ``assert_never("web fatal", "db backoff")``.

        Raises:
            AssertionError: With the first one that has come, and the events of all services.
        """
        for name in unwanted:
            if times := self.times(name):
                raise AssertionError(f"{name!r} has come, {times[0]:g} s after the first event\n{self}")

    def assert_times(self, wanted: str, *seconds: float) -> None:
        """Check all times of an event: ``assert_times("web starting", 0, 60, 240)``. For use with a manual clock.

        Args:
            wanted: The event.
            *seconds: The times, in seconds since the first event of all. They are compared to the millisecond.

        Raises:
            AssertionError: If they differ; with both, and the events of all services.
        """
        times = self.times(wanted)
        if len(times) != len(seconds) or any(abs(a - b) > _EXACT for a, b in zip(times, seconds, strict=True)):
            raise AssertionError(f"{wanted!r} has come at {_seconds(times)} s, not at {_seconds(seconds)} s\n{self}")

    # --- waiting

    async def until(self, wanted: _Wanted, *, timeout: float | None = 10.0) -> Event:
        """Wait for an event: ``await seen.until("web running")``. Safe to cancel.

        An event that has come already counts if it is later than the result of the last ``until``. Several calls after
        one another therefore check an order. For the events of an ``Overseer``; ``wait_until`` is for a
        ``ThreadedOverseer``.

        Args:
            wanted: The event, or a function from an event to a true value.
            timeout: The limit in real seconds; None is no limit.

        Returns:
            The event.

        Raises:
            AssertionError: If the time is over, or at once if the event cannot come any more, as its service has
                reached another final state or the overseer has ended. With the events of all services.
        """
        wait: Callable[[], Awaitable[bool]] | None = getattr(self._source, "wait_for_event", None)
        if wait is None:
            raise SpecError(
                "until() is for the events of an Overseer: use wait_until() for those of a ThreadedOverseer"
            )
        # Let tasks that are about to start the service run first: it may be in a final state until then.
        await asyncio.sleep(0)
        goes_on = True
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                while (event := self._find(wanted)) is None:
                    self._check_possible(wanted, goes_on=goes_on)
                    goes_on = await wait()
        except TimeoutError:
            if not limit.expired():
                raise
            raise AssertionError(f"{_described(wanted)} did not come within {timeout:g} s\n{self}") from None
        except asyncio.CancelledError as error:
            # ManualClock.run() cancels a stalled coroutine, and shows this note.
            error.add_note(f"{_described(wanted)} did not come\n{self}")
            raise
        return event

    def wait_until(self, wanted: _Wanted) -> Event:
        """Block the calling thread until an event comes, as ``until`` does. For a ``ThreadedOverseer``.

        Args:
            wanted: The event, or a function from an event to a true value.

        Returns:
            The event.

        Raises:
            AssertionError: If the event cannot come any more.
        """
        if not isinstance(self._source, Iterator):
            raise SpecError("wait_until() is for the events of a ThreadedOverseer: await until() with an event loop")
        events, goes_on = cast("Iterator[Event]", self._source), True
        while (event := self._find(wanted)) is None:
            self._check_possible(wanted, goes_on=goes_on)
            goes_on = self._add(next(events, None))
        return event

    def _find(self, wanted: _Wanted) -> Event | None:
        """Return the next wanted event that has come already, or None."""
        is_wanted = wanted if callable(wanted) else _is_named(wanted)
        self._pull()
        for following, event in enumerate(self._seen[self._next :], self._next + 1):
            if is_wanted(event):
                self._next = following
                return event
        return None

    def _check_possible(self, wanted: _Wanted, *, goes_on: bool) -> None:
        """Raise an AssertionError if the event cannot come any more."""
        if not goes_on:
            raise AssertionError(f"{_described(wanted)} cannot come any more: the overseer has ended\n{self}")
        if isinstance(wanted, str):
            id = wanted.rpartition(" ")[0]
            later = [event for event in self._seen[self._next :] if event.id == id]
            if later and later[-1].state.is_final:
                end = f"{id} is {later[-1].state}, {later[-1].reason}"
                raise AssertionError(f"{wanted!r} cannot come any more: {end}\n{self}")

    def _pull(self) -> None:
        while self._add(self._source.get_nowait()):
            pass

    def _add(self, event: Event | None) -> bool:
        if event is not None and event.kind == "state":
            self._seen.append(event)
        return event is not None

    def __str__(self) -> str:
        """Return the events as a table, with a line for each event."""
        events = self.events
        if not events:
            return "there were no events"
        width = max(len(event.id) for event in events)
        return "\n".join(
            f"{(event.time - events[0].time).total_seconds():+10.3f} s  {event.id:<{width}}  "
            f"{event.state!s:<11}  {event.reason}"
            for event in events
        )


def _is_named(name: str) -> Callable[[Event], bool]:
    """Return a function that compares an event with this name.

    Raises:
        SpecError: If the name is no id and state.
    """
    id, _, state = name.rpartition(" ")
    if not id or state not in _STATES:
        states = ", ".join(_STATES)
        raise SpecError(f'{name!r} is no event: pass an id and a state, "web running"; states are {states}', value=name)
    return lambda event: event.id == id and str(event.state) == state


def _described(wanted: _Wanted) -> str:
    return repr(wanted) if isinstance(wanted, str) else f"what {getattr(wanted, '__name__', wanted)} wants"


def _seconds(times: Iterable[float]) -> str:
    return " ".join(f"{time:g}" for time in times) or "no time"
