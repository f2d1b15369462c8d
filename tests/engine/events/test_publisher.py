"""EventPublisher: events in order, lines of all services, and readers that are slow or late."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioverseer import Backoff, Event, Overseer, Restart, SpecError, State
from aioverseer.testing import FakeChild
from tests.support.overseers import ended, is_alive, scripted
from tests.support.programs import child, limit

SLEEP = ("sleep", "100")


async def test_events_are_in_order_and_chain_from_state_to_state() -> None:
    """Numbers have no holes, each event begins where the last one of its service ended, two readers see the same."""
    async with limit(), Overseer() as overseer:
        streams = overseer.events(), overseer.events()
        for n in range(10):
            overseer.add(f"s{n}", "sh", "-c", f"exit {n % 3}", restart=Restart(max_restarts=2, backoff=Backoff(0, 0)))
        await overseer.supervise_all()
    first, second = [[event async for event in stream] for stream in streams]
    assert first == second
    assert [event.seq for event in first] == list(range(1, len(first) + 1))
    last: dict[str, State] = {}
    for event in first:
        assert event.previous is last.get(event.id, State.INITIAL)
        assert event.missed == 0
        last[event.id] = event.state
    assert all(state.is_final for state in last.values())


@pytest.mark.parametrize("count", [1, 50])
async def test_no_event_of_short_processes_is_missed(count: int) -> None:
    """One or fifty programs that end at once: each has exactly its three transitions (B45, B46)."""
    async with limit(), Overseer() as overseer:
        events = overseer.events()
        for n in range(count):
            overseer.add(f"s{n}", "true")
        await overseer.supervise_all()
    states: dict[str, list[State]] = {}
    async for event in events:
        states.setdefault(event.id, []).append(event.state)
    assert len(states) == count
    assert set(map(tuple, states.values())) == {(State.STARTING, State.RUNNING, State.FINISHED)}


async def test_event_is_frozen_at_its_transition() -> None:
    """State and status of an event are those of the transition, however late it is read (B44, B47)."""
    overseer, clock, _ = scripted(FakeChild().runs(2).exits(7))
    async with overseer:
        events = overseer.events()
        overseer.add("svc", "x", restart=Restart(max_restarts=1, backoff=Backoff(5, 5)))
        await ended(overseer.supervise("svc"), clock)
    seen = [event async for event in events]
    assert all(event.status.state is event.state and event.status.reason == event.reason for event in seen)
    found = [(str(event.state), event.status.pid, event.status.exit_code, event.status.restarts) for event in seen]
    assert found == [
        ("starting", None, None, 0),
        ("running", 1001, None, 0),
        ("backoff", 1001, 7, 0),
        ("starting", None, None, 1),
        ("running", 1002, None, 1),
        ("fatal", 1002, 7, 1),
    ]
    assert [(event.time - seen[0].time).total_seconds() for event in seen] == [0, 0, 2, 7, 7, 9]
    assert [event.status.runtime for event in seen] == [0, 0, 2, 0, 0, 2]
    assert seen[-1].to_json()["status"]["exitCode"] == 7


async def test_reader_that_never_reads_slows_nobody() -> None:
    """Readers of events and logs that read nothing do not delay a stop (B48)."""
    noisy = child("while True: print('x' * 100)")
    async with limit(), Overseer() as overseer:
        unread = (
            [overseer.events() for _ in range(100)],
            overseer.logs(size=10),
            overseer.logs(size=1, overflow="block"),
        )
        overseer.add("noisy", *noisy)
        await overseer.start_all()
        while not unread[2].full():
            await asyncio.sleep(0)
        async with limit(3, "the stop"):
            assert (await overseer.stop_all()).escalated == []


async def test_events_begin_with_the_call_or_where_asked() -> None:
    """``events()`` has what follows; ``since`` goes back; ``get_nowait`` does not wait."""
    overseer, clock, _ = scripted(FakeChild().exits(0))
    async with overseer:
        overseer.add("a", "x")
        await ended(overseer.supervise("a"), clock)
        later = overseer.events()
        assert later.get_nowait() is None
        await ended(overseer.supervise("a"), clock)
        assert [event.seq for event in _all(later)] == [4, 5, 6]
        assert [event.seq for event in _all(overseer.events(since=0))] == [1, 2, 3, 4, 5, 6]
        assert [event.seq for event in _all(overseer.events(since=5))] == [6]
        assert _all(overseer.events(since=6)) == []


def _all(stream: Any) -> list[Event]:
    found: list[Event] = []
    while (event := stream.get_nowait()) is not None:
        found.append(event)
    return found


async def test_slow_reader_learns_how_much_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is bounded. A slower reader gets the oldest event with the number of lost ones."""
    monkeypatch.setattr("aioverseer._engine.events.journal.JOURNAL_SIZE", 10)
    overseer, clock, _ = scripted(FakeChild().exits(0))
    async with overseer:
        stream = overseer.events()
        overseer.add("a", "x")
        for _ in range(5):
            await ended(overseer.supervise("a"), clock, 0)
        assert [(event.seq, event.missed) for event in _all(stream)] == [(6, 5), *((n, 0) for n in range(7, 16))]


async def test_stream_ends_on_leaving_and_a_cancelled_read_loses_nothing() -> None:
    """A waiting reader gets the last events, then the end. A cancelled wait takes none."""
    overseer, _, _ = scripted(FakeChild())
    async with overseer:
        stream = overseer.events()
        for _ in range(3):
            read = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            read.cancel()
            await asyncio.gather(read, return_exceptions=True)
        rest = asyncio.ensure_future(_read(stream))
        await overseer.add("a", "x").start()
    async with limit():
        states = [event.state for event in await rest]
    assert states == [State.STARTING, State.RUNNING, State.STOPPING, State.INTERRUPT]


async def _read(stream: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in stream]


async def test_an_observer_of_running_finds_a_running_child() -> None:
    """Effects come first, events last: at RUNNING the child is there, at a final state it is gone."""
    async with limit(), Overseer() as overseer:
        events = overseer.events()
        service = overseer.add("svc", *SLEEP)
        task = asyncio.create_task(service.start())
        async for event in events:
            if event.state is State.RUNNING:
                assert event.status.pid == service.pid
                service.signal(signal.SIGCONT)
                assert is_alive(event.status.pid)
                overseer.signal("svc", signal.SIGINT)
            elif event.state.is_final:
                assert event.status.signal == signal.SIGINT
                assert not is_alive(event.status.pid)
                break
            elif event.state is State.BACKOFF:
                assert not is_alive(event.status.pid)
                await service.stop()
                break
        await task


async def test_logs_merge_the_lines_of_all_services_with_their_ids() -> None:
    """One queue has all lines, each with service, stream, text and run; it ends when the overseer is left."""
    async with limit(), Overseer() as overseer:
        logs, errors = overseer.logs(), overseer.logs("stderr")
        for name in ("a", "b"):
            overseer.add(name, "sh", "-c", f"echo out {name}; echo err {name} >&2; exit 0")
        await overseer.supervise_all()
        overseer.add("c", "echo", "late")
        await overseer.supervise("c")
    lines = [line async for line in logs]
    assert sorted((line.id, line.stream, line.text, line.run) for line in lines) == [
        ("a", "stderr", "err a", 1),
        ("a", "stdout", "out a", 1),
        ("b", "stderr", "err b", 1),
        ("b", "stdout", "out b", 1),
        ("c", "stdout", "late", 1),
    ]
    assert all(line.time.tzinfo is not None for line in lines)
    assert sorted([line.id async for line in errors]) == ["a", "b"]


async def test_logs_may_select_services_groups_and_one_stream() -> None:
    """The label at the time of the line counts. A service may be named before it exists."""
    async with Overseer() as overseer:
        one, group, either = (
            overseer.logs(services="a"),
            overseer.logs(groups=["back"]),
            overseer.logs("stderr", services=["c", "later"], groups="back"),
        )
        for id, label in (("a", "front"), ("b", "back"), ("c", "")):
            overseer.add(id, "sh", "-c", f"echo {id}; echo {id}! >&2", group=label)
        await overseer.supervise_all()
        overseer.update("a", group="back")
        overseer.add("later", "sh", "-c", "echo later; echo later! >&2")
        await overseer.supervise_all()
    texts = [sorted(str(line.text) for line in [line async for line in logs]) for logs in (one, group, either)]
    assert [
        ["a", "a", "a!", "a!"],
        ["a", "a!", "b", "b", "b!", "b!"],
        ["a!", "b!", "b!", "c!", "c!", "later!"],
    ] == texts
    async with Overseer() as overseer:
        for option in ("services", "groups"):
            with pytest.raises(SpecError, match=f"{option}=1 is no name"):
                overseer.logs(**{option: ["a", 1]})  # type: ignore[arg-type]  # the types forbid it


async def test_unread_logs_of_an_earlier_use_block_nobody() -> None:
    """A lossless reader that ended with the overseer does not stand in the way of its next use."""
    overseer, clock, _ = scripted(FakeChild().prints(*"abc").exits(0))
    overseer.add("a", "x")
    async with overseer:
        unread = overseer.logs(size=1, overflow="block")
        await ended(overseer.supervise("a"), clock)
    async with overseer:
        logs = overseer.logs()
        await ended(overseer.supervise("a"), clock)
    assert logs.qsize() == 3
    assert unread.qsize() == 3


async def test_each_change_of_state_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With both states and the reason."""
    with caplog.at_level("INFO", "aioverseer"):
        async with limit(), Overseer() as overseer:
            overseer.add("job", "true")
            await overseer.supervise("job")
    assert "job: running -> finished: exited with code 0" in caplog.messages
