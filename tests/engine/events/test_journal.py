"""Events against a model that is a list: numbers, replay, and the report to a reader that is too slow."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from aioverseer import Event, EventStream, Overseer, Restart, SpecError, State
from aioverseer._engine.events.journal import Journal
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.events import EventRecord
from aioverseer.core.report.status import StatusSnapshot
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

WHEN = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
SPEC = Spec.of("a", ("a",))
SNAPSHOT = StatusSnapshot(SPEC, None, State.INITIAL, None, None, None, None, 0.0, None, None, 0, "", 0, 0, "")


def note(seq: int) -> EventRecord:
    """An event that knows its number."""
    return EventRecord(seq, WHEN, State.INITIAL, State.STARTING, f"event {seq}", SNAPSHOT, "state")


class Reader:
    """A reader, and the number of the last event that it received."""

    def __init__(self, journal: Journal, since: int) -> None:
        self.stream = EventStream(journal, after=since)
        self.at = since


class Replay(RuleBasedStateMachine):
    """Readers that begin anywhere and read as they like, of a journal that forgets."""

    readers = Bundle("readers")

    @initialize(size=st.integers(1, 6))
    def begin(self, size: int) -> None:
        """An empty journal."""
        self.size = size
        self.journal = Journal(size)
        self.all: list[str] = []

    @rule(count=st.integers(1, 9))
    def happen(self, count: int) -> None:
        """Something happens."""
        for _ in range(count):
            self.all.append(f"event {len(self.all) + 1}")
            self.journal.append(note(len(self.all)))

    @rule(target=readers, back=st.integers(0, 12))
    def subscribe(self, back: int) -> Reader:
        """Somebody begins to read, from a number on; or goes on where another connection has ended."""
        return Reader(self.journal, max(0, len(self.all) - back))

    @rule(reader=readers, count=st.integers(1, 9))
    def read(self, reader: Reader, count: int) -> None:
        """It reads some, and learns of exactly the events that it misses."""
        for _ in range(count):
            event = reader.stream.get_nowait()
            if reader.at == len(self.all):
                assert event is None
                return
            assert event is not None
            oldest = max(reader.at + 1, len(self.all) - self.size + 1)
            assert (oldest, f"event {oldest}", oldest - reader.at - 1) == (event.seq, event.reason, event.missed)
            reader.at = event.seq

    @invariant()
    def numbers_have_no_holes(self) -> None:
        """The last number is how many there were."""
        assert len(self.all) == self.journal.seq


def test_replay_and_gaps() -> None:
    """Remembered events are delivered and forgotten ones are counted, each once."""
    run_state_machine_as_test(Replay, settings=settings(max_examples=150, stateful_step_count=30, deadline=None))


@settings(deadline=None, max_examples=100)
@given(
    size=st.integers(1, 5),
    before=st.integers(0, 8),
    readers=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=4),
    bursts=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=8),
)
def test_each_reader_has_all_of_them_or_their_number(
    size: int, before: int, readers: list[tuple[int, int]], bursts: list[tuple[int, int]]
) -> None:
    """Tasks read with ``async for``, some of them slowly, to the end, and none waits after it."""

    async def play() -> list[tuple[int, list[Event]]]:
        journal = Journal(size)
        for _ in range(before):
            journal.append(note(journal.seq + 1))

        async def follow(since: int, turns: int) -> tuple[int, list[Event]]:
            seen: list[Event] = []
            async for event in EventStream(journal, after=since):
                seen.append(event)
                for _ in range(turns):
                    await asyncio.sleep(0)
            return since, seen

        tasks = [asyncio.ensure_future(follow(min(since, before), turns)) for since, turns in readers]
        for count, turns in bursts:
            for _ in range(count):
                journal.append(note(journal.seq + 1))
            for _ in range(turns):
                await asyncio.sleep(0)
        journal.end()
        return await asyncio.gather(*tasks)

    last = before + sum(count for count, _ in bursts)
    for since, seen in asyncio.run(play()):
        at = since
        for event in seen:
            assert (event.seq, f"event {event.seq}") == (at + event.missed + 1, event.reason)
            at = event.seq
        assert at == last


# --- of an overseer


async def test_a_reader_goes_on_where_it_was() -> None:
    """The same events again, from any number that has been."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().runs(1).exits(1))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        live = overseer.events()
        overseer.add("a", "a", restart=Restart(max_restarts=3))
        supervising = asyncio.ensure_future(overseer.supervise("a"))
        await clock.advance(300)
        await supervising
        seen = list(iter(live.get_nowait, None))
        assert list(range(1, len(seen) + 1)) == [event.seq for event in seen]
        for since in range(len(seen) + 1):
            again = overseer.events(since=since)
            assert seen[since:] == list(iter(again.get_nowait, None))


async def test_a_slow_reader_learns_how_many_events_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, once; it goes on with the oldest that is remembered, and slows nobody."""
    monkeypatch.setattr("aioverseer._engine.events.journal.JOURNAL_SIZE", 4)
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().runs(1).exits(1))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        slow, first = overseer.events(), overseer.events(since=0)
        overseer.add("a", "a", restart=Restart(max_restarts=3))
        supervising = asyncio.ensure_future(overseer.supervise("a"))
        await clock.advance(300)
        assert State.FATAL is (await supervising).state
        for events in (slow, first, overseer.events(since=0)):
            seen = list(iter(events.get_nowait, None))
            assert [(9, 8), (10, 0), (11, 0), (12, 0)] == [(event.seq, event.missed) for event in seen]


@pytest.mark.parametrize("since", [-1, 1, True, 0.5, "1"])
async def test_a_number_that_has_not_been_is_refused(since: object) -> None:
    """It is of another overseer, perhaps of the host's last run: who waits for it would miss what comes before."""
    async with Overseer() as overseer:
        with pytest.raises(SpecError, match=r"since=.* is the number of no event: .* \(the last is 0\)"):
            overseer.events(since=cast("Any", since))
        assert overseer.events(since=0).get_nowait() is None


def test_journal_keeps_ten_thousand_events() -> None:
    """Memory is bounded by the promised number, and the loss is counted exactly."""
    journal = Journal()
    overseer = Overseer()
    snapshot = overseer.add("a", "x")._runner.snapshot(lines=False)
    for n in range(1, 10_502):
        journal.append(EventRecord(n, overseer.clock.wall(), State.INITIAL, State.STARTING, "", snapshot, "state"))
    first, last = journal.read(0), journal.read(10_500)
    assert first is not None
    assert last is not None
    assert (first.seq, first.missed) == (502, 501)
    assert (last.seq, last.missed) == (10_501, 0)
    assert journal.read(10_501) is None
