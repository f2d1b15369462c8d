"""The event recorder: keeps the events of an overseer, compares them with what a test expects, and waits for them.

Where events come from is passed in, and what they mean is decided elsewhere.
"""

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
"""Seconds by which times may differ: the labels of events are rounded to microseconds."""


class _Source(Protocol):
    def get_nowait(self) -> Event | None: ...


@exported_from("aioverseer.testing")
class EventRecorder:
    """Keeps the events of an overseer, and compares them with what a test expects.

    ``seen = EventRecorder(overseer.events())``. An event goes by the id and the state: ``"web running"``. An assertion
    that fails shows all events in a table.
    """

    def __init__(self, events: _Source) -> None:
        """Begin with the first event that comes from now on.

        Args:
            events: What ``Overseer.events()`` or ``ThreadedOverseer.events()`` returns.
        """
        self._source = events
        self._seen: list[Event] = []
        self._place = 0
        """How many events lie before where the next ``until`` begins."""

    @property
    def events(self) -> tuple[Event, ...]:
        """All transitions so far."""
        self._pull()
        return tuple(self._seen)

    def states(self, id: str) -> list[str]:
        """Return the states that a service has been in, in order."""
        return [str(event.state) for event in self.events if event.id == id]

    def times(self, wanted: str) -> list[float]:
        """Return when that has come, in seconds from the first event: ``times("web starting")``."""
        is_wanted, events = _is_named(wanted), self.events
        return [(event.time - events[0].time).total_seconds() for event in events if is_wanted(event)]

    # --- assertions

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
        rest = iter(self.events)
        for place, wanted in enumerate(expected):
            if not any(map(_is_named(wanted), rest)):  # takes from it until it is found
                behind = f" behind {expected[place - 1]!r}" if place else ""
                raise AssertionError(f"{wanted!r} did not come{behind}\n{self}")

    def assert_never(self, *unwanted: str) -> None:
        """Check that none of these has come: ``assert_never("web fatal", "db backoff")``.

        Raises:
            AssertionError: With the first that has, and the events of all services.
        """
        for name in unwanted:
            if times := self.times(name):
                raise AssertionError(f"{name!r} has come, {times[0]:g} s after the first event\n{self}")

    def assert_times(self, wanted: str, *seconds: float) -> None:
        """Check when that has come, each time: ``assert_times("web starting", 0, 60, 240)``. For manual clocks.

        Args:
            wanted: The event.
            *seconds: From the first event of all; to the millisecond.

        Raises:
            AssertionError: With what was and what was expected, and the events of all services.
        """
        times = self.times(wanted)
        if len(times) != len(seconds) or any(abs(a - b) > _EXACT for a, b in zip(times, seconds, strict=True)):
            raise AssertionError(f"{wanted!r} has come at {_seconds(times)} s, not at {_seconds(seconds)} s\n{self}")

    # --- waiting

    async def until(self, wanted: _Wanted, *, timeout: float | None = 10.0) -> Event:
        """Wait for an event: ``await seen.until("web running")``. Safe to cancel.

        One that has come already counts, if it came behind the event that the last ``until`` has returned: so several
        of them tell a story. For an ``Overseer``; see ``wait_until``.

        Args:
            wanted: The event, or a function that says True of the one that is wanted.
            timeout: Real seconds; None is no limit.

        Returns:
            The event.

        Raises:
            AssertionError: At once when it cannot come any more, because its service has ended otherwise, or all have;
                or when the time is over. With the events of all services.
        """
        wait: Callable[[], Awaitable[bool]] | None = getattr(self._source, "news", None)
        if wait is None:
            raise SpecError(
                "until() is for the events of an Overseer: use wait_until() for those of a ThreadedOverseer"
            )
        # Who is about to start it has his turn first.
        await asyncio.sleep(0)
        goes_on = True
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                while (event := self._find(wanted)) is None:
                    self._check_hope(wanted, goes_on=goes_on)
                    goes_on = await wait()
        except TimeoutError:
            if not limit.expired():
                raise
            raise AssertionError(f"{_told(wanted)} did not come within {timeout:g} s\n{self}") from None
        except asyncio.CancelledError as error:
            # A clock that cannot go on tells it.
            error.add_note(f"{_told(wanted)} did not come\n{self}")
            raise
        return event

    def wait_until(self, wanted: _Wanted) -> Event:
        """Wait for an event in the calling thread; the same as ``until``, for a ``ThreadedOverseer``.

        Args:
            wanted: The event, or a function that says True of the one that is wanted.

        Returns:
            The event.

        Raises:
            AssertionError: At once when it cannot come any more.
        """
        if not isinstance(self._source, Iterator):
            raise SpecError("wait_until() is for the events of a ThreadedOverseer: await until() with an event loop")
        events, goes_on = cast("Iterator[Event]", self._source), True
        while (event := self._find(wanted)) is None:
            self._check_hope(wanted, goes_on=goes_on)
            goes_on = self._keep(next(events, None))
        return event

    def _find(self, wanted: _Wanted) -> Event | None:
        """Return the next event that is wanted, of those that have come; None when there is none."""
        is_wanted = wanted if callable(wanted) else _is_named(wanted)
        self._pull()
        for place, event in enumerate(self._seen[self._place :], self._place + 1):
            if is_wanted(event):
                self._place = place
                return event
        return None

    def _check_hope(self, wanted: _Wanted, *, goes_on: bool) -> None:
        """Make sure that it may still come."""
        if not goes_on:
            raise AssertionError(f"{_told(wanted)} cannot come any more: the overseer has ended\n{self}")
        if isinstance(wanted, str):
            id = wanted.rpartition(" ")[0]
            news = [event for event in self._seen[self._place :] if event.id == id]
            if news and news[-1].state.is_final:
                end = f"{id} is {news[-1].state}, {news[-1].reason}"
                raise AssertionError(f"{wanted!r} cannot come any more: {end}\n{self}")

    def _pull(self) -> None:
        while self._keep(self._source.get_nowait()):
            pass

    def _keep(self, event: Event | None) -> bool:
        if event is not None and event.kind == "state":
            self._seen.append(event)
        return event is not None

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


def _is_named(name: str) -> Callable[[Event], bool]:
    """Return a function that knows the events of this name.

    Raises:
        SpecError: When there can be none.
    """
    id, _, state = name.rpartition(" ")
    if not id or state not in _STATES:
        states = ", ".join(_STATES)
        raise SpecError(f'{name!r} is no event: pass an id and a state, "web running"; states are {states}', value=name)
    return lambda event: event.id == id and str(event.state) == state


def _told(wanted: _Wanted) -> str:
    return repr(wanted) if isinstance(wanted, str) else f"what {getattr(wanted, '__name__', wanted)} wants"


def _seconds(times: Iterable[float]) -> str:
    return " ".join(f"{time:g}" for time in times) or "no time"
