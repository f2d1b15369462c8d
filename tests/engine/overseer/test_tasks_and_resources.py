"""Tasks and resources of the application, supervised beside programs."""

# ruff: noqa: PT012  # the block of an overseer is what raises

from __future__ import annotations

import asyncio
import functools
import gc
import signal
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioverseer import (
    Alive,
    Backoff,
    CriticalServiceEnded,
    GaveUp,
    NotReadyInTime,
    Overseer,
    Restart,
    SpecError,
    State,
    Stop,
    StopFailed,
    ThreadedOverseer,
    ready,
)
from aioverseer.testing import ManualClock
from tests.support.programs import limit
from tests.support.step_loop import descriptors


async def test_a_task_that_raises_is_restarted_and_one_that_returns_is_finished() -> None:
    """Its error is in the Status of the run; the policy judges it as exit code 1."""
    runs = 0

    async def poller() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("no answer")

    clock = ManualClock()
    async with limit(20), Overseer(clock=clock) as overseer:
        service = overseer.add_task(
            "poller", poller, restart=Restart("on-failure", backoff=Backoff(3600, jitter=False))
        )
        await service.start()
        await clock.settle()
        assert str(service.state) == "backoff"
        assert isinstance(service.status().error, ValueError)
        await clock.advance(3600)
        assert str(service.state) == "finished"
        assert (2, None, None) == (runs, service.pid, service.status().error)
        assert "poller" in str(overseer.to_json("poller"))


async def test_a_resource_is_ready_once_it_is_entered_and_is_left_in_the_same_task() -> None:
    """Dependents start after it, and stop before it."""
    told: list[object] = []
    opened = asyncio.Event()

    @asynccontextmanager
    async def pool() -> AsyncGenerator[str]:
        task = asyncio.current_task()
        await opened.wait()
        told.append("entered")
        try:
            yield "the pool"
        finally:
            told.append(asyncio.current_task() is task)

    async def poller() -> None:
        told.append("poller")
        try:
            await asyncio.Event().wait()
        finally:
            told.append("poller ends")

    async with limit(20), Overseer() as overseer:
        service = overseer.add_resource("pool", pool)
        overseer.add_task("poller", poller, after="pool")
        starting = asyncio.ensure_future(overseer.start_all())
        await asyncio.sleep(0)
        assert not starting.done()
        opened.set()
        await starting
        assert service.resource == "the pool"
        await overseer["poller"].wait_for(State.RUNNING)
        await asyncio.sleep(0)
    assert ["entered", "poller", "poller ends", True] == told


async def test_a_resource_that_hangs_while_entering_is_cancelled_by_the_stop() -> None:
    """The block of the overseer ends, and nothing is left."""
    entering = asyncio.Event()

    @asynccontextmanager
    async def pool() -> AsyncGenerator[None]:
        entering.set()
        await asyncio.Event().wait()
        yield

    async with limit(20), Overseer() as overseer:
        service = overseer.add_resource("pool", pool)
        starting = asyncio.ensure_future(service.start())
        await entering.wait()
        assert State.STARTING is service.state
        await service.stop()
        assert service.state.is_final
        await asyncio.gather(starting, return_exceptions=True)


async def test_system_exit_in_a_task_is_its_exit_code() -> None:
    """It does not end the event loop."""

    async def leave() -> None:
        raise SystemExit(3)

    async with limit(20), Overseer() as overseer:
        service = overseer.add_task("leave", leave, restart=Restart("never"))
        await service.start()
        status = await service.wait()
        assert status.exit is not None
        assert 3 == status.exit.code


async def test_a_task_that_swallows_cancellation_is_cancelled_again_by_the_next_step() -> None:
    """As a coroutine cannot be killed, each step of the ladder cancels it."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.Event().wait()

    async with limit(20), Overseer() as overseer:
        service = overseer.add_task("stubborn", stubborn, stop=Stop(timeout=0.05))
        await service.start()
        await asyncio.sleep(0)
        await service.stop()
        assert 1 == swallowed


def test_options_of_programs_are_refused_by_name() -> None:
    """They would be silently without effect."""
    with pytest.raises(SpecError, match="cwd='/' is for a program"):
        Overseer().add_task("poller", asyncio.Event().wait, cwd="/")


PROBES: list[Any] = [ready.line("up"), ready.command("true"), ready.notify(), ready.fd(3)]


@pytest.mark.parametrize("probe", PROBES, ids=str)
def test_probes_of_programs_are_refused_by_name(probe: Any) -> None:
    """A task says nothing, and has no descriptors."""
    with pytest.raises(SpecError, match=r"'poller': ready=.* asks a program"):
        Overseer().add_task("poller", asyncio.Event().wait, ready=ready.tcp(1) | probe)
    if probe in PROBES[1:3]:  # the others can never tell that something lives
        with pytest.raises(SpecError, match=r"'poller': alive=.* asks a program"):
            Overseer().add_task("poller", asyncio.Event().wait, alive=Alive(probe))


@pytest.mark.parametrize("kind", ["task", "resource"])
def test_update_refuses_the_same_options_as_add(kind: str) -> None:
    """And changes nothing; what is allowed is taken."""

    @asynccontextmanager
    async def pool() -> AsyncGenerator[None]:
        yield

    overseer = Overseer()
    member = overseer.add_task("m", asyncio.Event().wait) if kind == "task" else overseer.add_resource("m", pool)
    before = member.spec
    options: list[dict[str, Any]] = [{"cwd": "/"}, {"pty": True}, {"ready": ready.line("x")}]
    for given in options:
        with pytest.raises(SpecError, match=f"'m': {next(iter(given))}="):
            overseer.update("m", **given)
    assert member.spec is before
    overseer.update("m", critical=True, ready=ready.tcp(1))
    assert member.spec.critical
    assert (kind == "resource") == ("entered" in str(member.spec.ready))


async def test_reasons_name_no_process() -> None:
    """There is none: neither in the state, nor in what is said of a run."""

    @asynccontextmanager
    async def pool() -> AsyncGenerator[None]:
        yield

    async with limit(20), Overseer() as overseer:
        pool_, task = overseer.add_resource("pool", pool), overseer.add_task("task", asyncio.Event().wait)
        await overseer.start_all()
        for service in (pool_, task):
            assert service.process is not None
            assert "pid" not in repr(service)
            assert "runs on the event loop" in service.process.status().reason


async def test_a_resource_opens_nothing() -> None:
    """No socket for what is said in the same process."""
    opened: list[object] = []

    @asynccontextmanager
    async def pool() -> AsyncGenerator[None]:
        opened.append(asyncio.current_task())
        yield

    async with limit(20), Overseer() as overseer:
        await overseer.add_task("first", asyncio.Event().wait).start()
        before = descriptors()
        await overseer.add_resource("pool", pool).start()
        assert before == descriptors()
        assert 1 == len(opened)


async def test_a_resource_not_entered_in_time_names_the_wait() -> None:
    """As a program that is not ready in time."""

    @asynccontextmanager
    async def pool() -> AsyncGenerator[None]:
        await asyncio.Event().wait()
        yield

    clock = ManualClock()
    async with limit(20), Overseer(clock=clock) as overseer:
        service = overseer.add_resource("pool", pool, ready_timeout=5, restart=Restart("never"))
        starting = asyncio.ensure_future(service.start())
        await clock.advance(4)
        assert "waits for it to be entered" in str(service.why())
        await clock.advance(2)
        with pytest.raises(NotReadyInTime, match="waits for it to be entered"):
            await starting


async def test_the_traceback_of_a_task_is_its_last_output() -> None:
    """As that of a program: in the tail, on stderr, and in the errors that follow; without our frames."""

    async def poller() -> None:
        secret = 1
        raise ValueError(f"no answer to {secret}")

    async with limit(20), Overseer() as overseer:
        service = overseer.add_task("poller", poller, restart=Restart(max_restarts=0))
        lines = service.lines("stderr")
        status = await overseer.supervise("poller")
        told = [str(line.text) for line in service.tail()]
        assert told == [str(getattr(line, "text", line)) async for line in lines]
        assert "Traceback (most recent call last):" == told[0]
        assert f'File "{__file__}"' in told[1]
        assert "ValueError: no answer to 1" == told[-1]
        assert not [line for line in told if "_system/inprocess.py" in line]
        assert isinstance(status.error, GaveUp)
        assert tuple(told) == status.error.lines


async def test_locals_of_a_failed_task_are_freed() -> None:
    """Neither by the service nor by the events, however long nobody starts it again."""

    class Big:
        pass

    seen: list[weakref.ref[Big]] = []

    async def poller() -> None:
        big = Big()
        seen.append(weakref.ref(big))
        try:
            raise KeyError(seen)
        except KeyError as error:
            raise ExceptionGroup("several", [ValueError("one"), error]) from error

    async with limit(20), Overseer() as overseer:
        service = overseer.add_task("poller", poller, restart=Restart("never"))
        status = await overseer.supervise("poller")
        await asyncio.sleep(0)
        assert isinstance(service.status().error, ExceptionGroup)
        assert isinstance(status.error, ExceptionGroup)
        gc.collect()
        assert [None] == [each() for each in seen]


async def test_an_error_inside_of_a_resource_is_judged_by_its_policy() -> None:
    """A task group within it fails while it is in use: it is left, and entered anew."""
    entered = 0
    broken = asyncio.Event()

    @asynccontextmanager
    async def pool() -> AsyncGenerator[int]:
        nonlocal entered
        entered += 1

        async def keep_alive() -> None:
            await broken.wait()
            raise ConnectionError("the server has hung up")

        async with asyncio.TaskGroup() as group:
            task = group.create_task(keep_alive())
            yield entered
            task.cancel()

    async with limit(20), Overseer() as overseer:
        service = overseer.add_resource("pool", pool, restart=Restart(backoff=Backoff(0.01, 0.01)))
        await service.start()
        assert 1 == service.resource
        broken.set()
        status = await service.wait_for(State.BACKOFF)
        broken.clear()
        assert isinstance(status.error, ExceptionGroup)
        assert "exited with code 1" in status.reason
        assert any("the server has hung up" in str(line.text) for line in service.tail(50))
        await service.wait_for(State.RUNNING)
        assert 2 == service.resource


async def test_a_resource_that_says_nothing_is_asked_whether_it_is_alive() -> None:
    """By a function: one that is not is left, and entered anew."""
    well = True
    left = 0

    @asynccontextmanager
    async def pool() -> AsyncGenerator[None]:
        nonlocal left
        yield
        left += 1

    async def ping() -> bool:
        return well

    clock = ManualClock()
    async with limit(20), Overseer(clock=clock) as overseer:
        alive = Alive(ready.check(ping), every=10, failures=2)
        service = overseer.add_resource("pool", pool, ready=ready.check(ping), alive=alive)
        await service.start()
        await clock.advance(60)
        assert (0, 0) == (service.restarts, left)
        well = False
        await clock.advance(25)
        assert 1 == left
        well = True
        await clock.advance(60)
        assert ("running", 1, 1) == (str(service.state), service.restarts, left)


def test_a_task_runs_on_the_loop_of_a_threaded_overseer() -> None:
    """The same methods, for hosts without an event loop."""
    ran: list[bool] = []

    async def once() -> None:
        ran.append(asyncio.current_task() is not None)

    with ThreadedOverseer() as overseer:
        service = overseer.add_task("once", once)
        service.start()
        assert State.FINISHED is service.wait().state
    assert [True] == ran


async def test_a_task_that_nothing_ends_is_reported_and_held_up_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block of the overseer ends within the time of the ladder, and says who is still there."""
    monkeypatch.setattr("aioverseer.core.options.stop.LEAST_FINAL_TIMEOUT", 0.01)
    monkeypatch.setattr("aioverseer._engine.service.runner._MARGIN", 0.1)
    monkeypatch.setattr("aioverseer._engine.process.run_task.FINAL_TIMEOUT", 0.05)
    over = asyncio.Event()
    ended = asyncio.Event()

    async def for_ever() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    quick = Stop(steps=[(signal.SIGTERM, 0.01), (signal.SIGKILL, 0.01)])
    async with limit(20):
        with pytest.raises(StopFailed, match="still there after the whole ladder: stubborn"):
            async with Overseer() as overseer:
                service = await overseer.add_task("stubborn", for_ever, stop=quick).start()
                await asyncio.sleep(0)
                with pytest.raises(StopFailed, match=r"'stubborn' does not die: .*; it swallows its cancellation"):
                    await service.stop()
        over.set()
        await ended.wait()


async def test_a_block_that_is_cancelled_leaves_no_task_and_no_resource() -> None:
    """As it does with programs; the order of the stop is kept."""
    told: list[str] = []

    @asynccontextmanager
    async def pool() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            told.append("pool is left")

    async def poller() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.append("poller is over")

    async def application() -> None:
        async with Overseer() as overseer:
            overseer.add_resource("pool", pool)
            overseer.add_task("poller", poller, after="pool", critical=True)
            await overseer.start_all()
            await asyncio.sleep(0)
            raise asyncio.CancelledError

    async with limit(20):
        with pytest.raises(asyncio.CancelledError):
            await application()
    assert ["poller is over", "pool is left"] == told


async def test_a_critical_task_that_fails_ends_all() -> None:
    """The error is told; a program beside it is stopped."""

    async def poller() -> None:
        raise ValueError("no answer")

    overseer = Overseer()
    overseer.add("sleeper", "sleep", "100")
    overseer.add_task("poller", poller, critical=True, restart=Restart("never"))
    with pytest.raises(CriticalServiceEnded, match="critical service 'poller' is finished"):
        async with limit(20), overseer:
            await overseer.supervise_all()
    assert overseer["sleeper"].state.is_final


async def test_function_that_cannot_be_called_is_refused() -> None:
    """The message says what to pass."""
    async with Overseer() as overseer:
        nothing: Any = 5
        with pytest.raises(SpecError, match="'poller': 5 cannot be called: pass the function itself"):
            overseer.add_task("poller", nothing)


async def test_partial_function_is_shown_by_its_name() -> None:
    """Arguments may be secrets, and are not shown."""

    async def poller(_secret: str) -> None: ...

    async with Overseer() as overseer:
        service = overseer.add_task("poller", functools.partial(poller, "hunter2"))
        assert "poller" in service.status().argv[0]
        assert "hunter2" not in str(service.status())
