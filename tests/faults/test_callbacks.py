"""Callbacks of the application may raise at any moment: the service that a failure belongs to ends, and no other."""

from __future__ import annotations

import asyncio
import codecs
import datetime
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from aioverseer import Backoff, LogBridge, Overseer, Process, Restart, State, Status, Stop
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit


class Oops(Exception):
    """The error that the application's own code raises."""


class Loaded:
    """Chance that raises."""

    def random(self) -> float:
        """Raise."""
        raise Oops("rng")

    def uniform(self, _a: float, _b: float, /) -> float:
        """Raise."""
        raise Oops("rng")


class Broken(ManualClock):
    """A clock that raises from a call on."""

    def __init__(self, method: str, calls: int) -> None:
        super().__init__()
        self.left = calls
        self.method = method

    def _count(self, method: str) -> None:
        if method == self.method:
            self.left -= 1
            if self.left < 0:
                raise Oops(method)

    def now(self) -> float:
        """Manual time."""
        self._count("now")
        return super().now()

    def wall(self) -> datetime.datetime:
        """Manual time."""
        self._count("wall")
        return super().wall()

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        """Manual time."""
        self._count("call_at")
        return super().call_at(when, callback)


@pytest.fixture(name="told")
async def told_fixture() -> list[BaseException]:
    """The errors that came to the exception handler of the loop."""
    told: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    return told


@pytest.mark.parametrize("how", ["exits", "cannot start", "is restarted"])
async def test_chance_that_raises_ends_its_service(how: str, told: list[BaseException]) -> None:
    """FATAL with the error, told to the loop's handler; another service goes on, and it can be started again."""
    clock = ManualClock()
    scripts = {"exits": FakeChild().exits(1), "cannot start": FakeChild().cannot_start(), "is restarted": FakeChild()}
    launcher = ScriptedLauncher(clock, by_id={"victim": [scripts[how]]})
    async with limit(), Overseer(clock=clock, launcher=launcher, rng=Loaded()) as overseer:
        other = await overseer.add("other", "program").start()
        victim = overseer.add("victim", "program", restart=Restart("always", backoff=Backoff(1, 2, jitter="full")))
        supervising = asyncio.ensure_future(overseer.supervise("victim"))
        await clock.settle()
        for child in launcher.children:
            if child.spec.id == "victim":
                child.signal(9) if not child._exit.done() else None
        status = await supervising
        assert (State.FATAL, Oops) == (status.state, type(status.error))
        assert "Oops" in status.reason
        assert [Oops] == [type(error) for error in told]
        assert State.RUNNING is other.state
        overseer.update("victim", restart=Restart("never"))
        assert (await overseer.supervise("victim")).state.is_final if how != "is restarted" else await victim.start()
        events = overseer.events(since=0)
        assert State.FATAL in [event.state async for event in _now(events) if event.id == "victim"]


async def _now(events: Any) -> AsyncIterator[Any]:
    while (event := events.get_nowait()) is not None:
        yield event


async def test_step_that_raises_kills_the_program_first(monkeypatch: pytest.MonkeyPatch, told: list[Any]) -> None:
    """The program is gone before FATAL is published, whichever callback raised."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock)
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = await overseer.add("victim", "program").start()
        real = ServiceRunner._perform

        def perform(self: ServiceRunner, actions: Any) -> None:
            monkeypatch.setattr(ServiceRunner, "_perform", real)
            raise Oops

        monkeypatch.setattr(ServiceRunner, "_perform", perform)
        stopping = asyncio.ensure_future(service.stop())
        await clock.settle()
        assert [Oops] == [type(error) for error in told]
        assert launcher.children[0]._exit.done()
        assert (State.FATAL, Oops) == ((await stopping).state, type(service.status().error))


@pytest.mark.parametrize("method", ["now", "call_at", "wall"])
async def test_clock_that_raises_is_replaced_by_real_time(method: str, told: list[BaseException]) -> None:
    """Whenever it begins to: nobody waits for ever, a ladder that begins afterwards ends, and it is told once."""
    for calls in range(40):
        told.clear()
        clock = Broken(method, calls)
        launcher = ScriptedLauncher(clock, FakeChild().ignores(15), FakeChild().exits(1))
        launcher._clock = ManualClock()  # the children live by another one
        async with limit(5, f"with {calls} calls"), Overseer(clock=clock, launcher=launcher) as overseer:
            one = overseer.add("one", "program", stop=Stop(timeout=0.01), restart=Restart("never"))
            two = overseer.add("two", "program", restart=Restart("always", backoff=Backoff(0.001, 0.001)))
            await one.start()
            starting = asyncio.ensure_future(overseer.supervise("two"))
            await clock.settle()
            stopping = asyncio.ensure_future(overseer.stop_all())
            await clock.settle()
            if not told:
                await clock.advance(10)
            await stopping
            await starting
            assert one.state.is_final
            assert two.state.is_final
        assert told in ([], [told[0]] if told else [])
        if not told:
            assert calls > 2
            return
    raise AssertionError(f"{method} is called so often?")


async def test_time_that_runs_backwards_stands_still() -> None:
    """A decision never sees less than it has seen."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().exits(1))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        await clock.advance(100)
        overseer.add("one", "program", restart=Restart(max_restarts=2, within=10, backoff=Backoff(0, 0)))
        clock._now = 100.0
        supervising = asyncio.ensure_future(overseer.supervise("one"))
        await asyncio.sleep(0)
        clock._now = 50.0
        status = await supervising
        assert (State.FATAL, 2) == (status.state, status.restarts)
        assert overseer["one"].why().since >= 0


async def test_predicate_that_raises_is_for_its_caller_alone(told: list[BaseException]) -> None:
    """At once and later; the service and the others who wait go on."""

    def bad(status: Status) -> bool:
        if status.state is State.INITIAL:
            return False
        raise Oops

    clock = ManualClock()
    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock)) as overseer:
        service = overseer.add("one", "program")
        waiting = asyncio.ensure_future(service.wait_for(bad))
        good = asyncio.ensure_future(service.wait_for(State.RUNNING))
        await service.start()
        with pytest.raises(Oops):
            await waiting
        with pytest.raises(Oops):
            await service.wait_for(bad)
        assert State.RUNNING is (await good).state
    assert [] == told


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "shift_jis"])
async def test_error_handler_of_a_codec_that_raises_loses_no_line(encoding: str, told: list[BaseException]) -> None:
    """Undecodable bytes are replaced."""
    calls = 0

    def handler(error: UnicodeError) -> tuple[str, int]:
        nonlocal calls
        calls += 1
        if calls > 1:  # the first one is the check of the Spec
            raise Oops
        assert isinstance(error, UnicodeDecodeError)
        return "?", error.end

    codecs.register_error("aioverseer-test", handler)
    lines = [line.encode(encoding) for line in ("one\n", "three\n")]
    wrong = {"utf-8": b"\xff\n", "utf-16": b"\x00\xdc\n\x00", "shift_jis": b"\xff\n"}[encoding]
    program = "".join(f"\\{byte:03o}" for byte in lines[0] + wrong + lines[1].removeprefix(b"\xff\xfe"))
    status = await Process("printf", program, encoding=encoding, errors="aioverseer-test")
    assert status.stdout is not None
    assert ("one", "three", 3) == (status.stdout[0], status.stdout[-1], len(status.stdout))
    assert calls > 1
    assert [] == told


async def test_input_that_raises_is_no_fault_of_the_program(caplog: pytest.LogCaptureFixture) -> None:
    """The program reads the given input and then its end; the iterator's error is in the log."""

    async def words() -> AsyncIterator[str]:
        yield "one\n"
        raise Oops

    status = await Process("cat", stdin=words)
    assert (State.FINISHED, ["one"]) == (status.state, status.stdout)
    assert any(record.exc_info is not None and record.exc_info[0] is Oops for record in caplog.records)


async def test_log_handler_that_raises_hurts_no_program(told: list[BaseException]) -> None:
    """Lines go to the other subscribers all the same."""

    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise Oops

    logger = logging.getLogger("aioverseer-test.talks")
    handler = Bad()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        async with limit(), Overseer(log=LogBridge("aioverseer-test")) as overseer:
            service = overseer.add("talks", "sh", "-c", "echo 1; echo 2; echo 3", restart=Restart("never"))
            lines = service.lines()
            status = await overseer.supervise("talks")
            assert State.FINISHED is status.state
            assert ["1", "2", "3"] == [line.text async for line in lines]
    finally:
        logger.removeHandler(handler)
    assert [] == told
