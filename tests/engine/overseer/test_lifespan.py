"""Lifespan: an overseer is entered and left, in one task or in several, and used only in between."""

from __future__ import annotations

import asyncio
import resource
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
import pytest_asyncio

from aioverseer import Overseer, OverseerError, State, Stop
from aioverseer._system.process import loop_resources
from aioverseer.testing import FakeChild
from tests.support.overseers import is_alive, scripted
from tests.support.programs import limit

SLEEP = ("sleep", "100")


async def test_overseer_can_be_used_twice_and_started_again() -> None:
    """After ``stop_all`` and after leaving, the same overseer works again (B08)."""
    overseer = Overseer()
    service = overseer.add("svc", *SLEEP)
    async with limit():
        for _ in range(2):
            async with overseer:
                for _ in range(2):
                    await overseer.start_all()
                    assert service.state is State.RUNNING
                    assert (await overseer.stop_all()).ok
                await overseer.start_all()
            assert not is_alive(service.pid)
            assert service.state is State.INTERRUPT


def test_overseer_can_be_used_on_one_loop_after_the_other() -> None:
    """A used overseer keeps nothing of its old event loop."""
    overseer = Overseer()
    overseer.add("svc", *SLEEP)

    async def use() -> None:
        async with limit(), overseer:
            await overseer.start_all()

    asyncio.run(use())
    asyncio.run(use())
    assert overseer.status("svc").state is State.INTERRUPT


async def test_entering_twice_is_refused_and_harms_nothing() -> None:
    """An overseer in use cannot be entered again; the first use goes on."""
    async with limit(), Overseer(name="mine") as overseer:
        service = await overseer.add("svc", *SLEEP).start()
        with pytest.raises(OverseerError, match="'mine' is in use already"):
            await overseer.__aenter__()
        assert service.state is State.RUNNING
        await service.restart()


async def test_five_overseers_live_in_one_loop_and_end_in_any_order() -> None:
    """Overseers do not know of each other, and need not be left in reverse order."""
    async with limit():
        overseers = [Overseer(name=f"o{n}") for n in range(5)]
        for overseer in overseers:
            await overseer.__aenter__()
            overseer.add("same name", *SLEEP)
        await asyncio.gather(*(overseer.start_all() for overseer in overseers))
        pids = [overseer["same name"].pid for overseer in overseers]
        assert len(set(pids)) == 5
        for number in (0, 3, 1, 4, 2):
            await overseers[number].__aexit__(None, None, None)
            assert not is_alive(pids[number])
            pids[number] = None
            assert all(is_alive(pid) for pid in pids if pid is not None)


async def test_entered_and_left_in_different_tasks() -> None:
    """Entering, using and leaving in three tasks, also while tasks of the first two are long gone."""
    overseer = Overseer()

    async def use() -> int | None:
        return (await overseer.add("svc", *SLEEP).start()).pid

    async with limit():
        await asyncio.create_task(overseer.__aenter__())
        pid = await asyncio.create_task(use())
        assert is_alive(pid)
        await asyncio.create_task(overseer.__aexit__(None, None, None))
        assert not is_alive(pid)


@pytest_asyncio.fixture
async def fixture_overseer() -> AsyncIterator[Overseer]:
    """An overseer of an async-generator fixture: set-up, test and tear-down are three tasks."""
    async with Overseer() as overseer:
        yield overseer
    assert not any(is_alive(overseer[name].pid) for name in overseer)


@pytest.mark.parametrize("time", [1, 2])
async def test_overseer_of_an_async_generator_fixture(fixture_overseer: Overseer, time: int) -> None:
    """The fixture of pytest-asyncio works, test after test, with anyio's scopes and native ones around its use."""
    async with limit(), anyio.create_task_group():
        with anyio.fail_after(5):
            await fixture_overseer.add("svc", *SLEEP).start()


def test_overseer_of_a_fixture_under_the_plugin_of_anyio(pytester: pytest.Pytester) -> None:
    """The same fixture works with anyio's own pytest plugin."""
    pytester.makepyfile(
        """
        import pytest
        from aioverseer import Overseer, State

        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def overseer():
            async with Overseer() as overseer:
                yield overseer
            assert overseer["svc"].state is State.INTERRUPT

        async def test_use(overseer):
            assert (await overseer.add("svc", "sleep", "100").start()).state is State.RUNNING
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio", "-q")
    result.assert_outcomes(passed=1)


async def test_use_outside_of_the_block_is_a_clear_error() -> None:
    """Before entering and after leaving every verb says what to do, and what is known can still be read."""
    overseer = Overseer(name="mine")
    service = overseer.add("svc", *SLEEP)

    async def refused() -> None:
        verbs: list[Callable[[], Awaitable[Any]]] = [
            overseer.start_all,
            overseer.stop_all,
            overseer.supervise_all,
            lambda: overseer.supervise("svc"),
            service.start,
            service.stop,
            service.restart,
            service.wait,
            service.ready,
            lambda: service.write(b""),
        ]
        for verb in verbs:
            with pytest.raises(OverseerError, match="'mine' is not in use: use it inside `async with`"):
                await verb()
        for call in (overseer.logs, service.lines, lambda: service.signal(1)):
            with pytest.raises(OverseerError, match="not in use"):
                call()

    await refused()
    async with limit(), overseer:
        await overseer.start_all()
    await refused()
    assert overseer.status("svc").state is State.INTERRUPT
    assert service.history[0].signal == signal.SIGTERM
    assert service.why().state is State.INTERRUPT
    assert [event async for event in overseer.events()] == []
    overseer.remove("svc")


async def test_use_from_another_loop_is_a_clear_error() -> None:
    """Called on another event loop, every verb says so instead of hanging."""
    async with limit(), Overseer(name="mine") as overseer:
        service = await overseer.add("svc", *SLEEP).start()
        found: list[str] = []

        async def elsewhere() -> None:
            verbs: list[Callable[[], Awaitable[Any]]] = [
                overseer.start_all,
                overseer.stop_all,
                overseer.supervise_all,
                service.stop,
                service.wait,
                lambda: anext(overseer.events()),
                lambda: overseer.__aexit__(None, None, None),
            ]
            for verb in verbs:
                try:
                    await verb()
                except OverseerError as error:
                    found.append(str(error))
            for call in (overseer.logs, service.lines):
                with suppress(OverseerError):
                    call()
                    found.append("allowed")

        thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
        thread.start()
        while thread.is_alive():
            await asyncio.to_thread(thread.join)
        assert len(found) == 7
        assert all("event loop" in text for text in found)
        assert service.state is State.RUNNING


async def test_leaving_is_bounded_although_nothing_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the ladder itself is stuck (a clock that stands still), leaving gives up in time and leaves no task."""
    monkeypatch.setattr("aioverseer._engine.overseer.lifespan._MARGIN", 0.1)
    monkeypatch.setattr("aioverseer._engine.process.run_task.FINAL_TIMEOUT", 0.05)
    monkeypatch.setattr("aioverseer.core.options.stop.LEAST_FINAL_TIMEOUT", 0.05)
    overseer, _, _ = scripted(FakeChild().ignores(signal.SIGTERM))
    async with limit(), overseer:
        service = overseer.add("svc", "x", stop=Stop(steps=[(signal.SIGTERM, 0.05), (signal.SIGKILL, 0.05)]))
        await service.start()
    assert service.state is State.INTERRUPT
    with pytest.raises(OverseerError, match="not in use"):
        await overseer.flush_logs()


def test_entering_that_is_refused_has_taken_nothing() -> None:
    """The limit of descriptors, raised before the signals were refused, is what it was; so is what programs share."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = before[0] - 1, before[1]
    found: list[object] = []

    async def use() -> None:
        overseer = Overseer(handle_signals=True, raise_fd_limit=True)
        for _ in range(2):
            with pytest.raises(OverseerError, match="main thread"):
                await overseer.__aenter__()
            found.append(resource.getrlimit(resource.RLIMIT_NOFILE))
        found.append(loop_resources._all.get(asyncio.get_running_loop()))

    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        thread = threading.Thread(target=asyncio.run, args=(use(),))
        thread.start()
        thread.join()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert [(soft, hard), (soft, hard), None] == found
