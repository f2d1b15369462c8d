"""The Overseer: its registry, its ways in and out, cancellation at any moment, its news, and the host around it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
import pytest_asyncio

from aioverseer import (
    Backoff,
    DuplicateService,
    Event,
    GaveUp,
    Line,
    NotReady,
    Overseer,
    OverseerError,
    Restart,
    ServiceIsLive,
    SpawnError,
    Spec,
    SpecError,
    State,
    Status,
    Stop,
    StopReport,
    UnknownService,
    ready,
)
from aioverseer._engine.events.journal import Journal
from aioverseer._engine.process.run_task import RunTask
from aioverseer._system.process import loop_resources
from aioverseer._system.protocols import ReadinessChannels
from aioverseer.core.machine.table import Input
from aioverseer.core.report.events import EventRecord
from aioverseer.testing import FakeChild, ManualClock, RunningChild, ScriptedLauncher
from tests.support.programs import child, limit

ROOT = pathlib.Path(__file__).parents[3]
SLEEP = ("sleep", "100")
NEVER = Restart("never")


def is_alive(pid: int | None) -> bool:
    """Whether a process of this number is there; a zombie counts."""
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def scripted(*scripts: FakeChild, by_id: dict[str, list[FakeChild]] | None = None, **options: Any) -> Any:
    """An overseer whose time and children belong to the test; with its clock and launcher."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *scripts, by_id=by_id)
    return Overseer(clock=clock, launcher=launcher, **options), clock, launcher


async def ended(work: Awaitable[Any], clock: ManualClock, seconds: float = 60.0) -> Any:
    """Move the clock on while this is done, and return its result."""
    task = asyncio.ensure_future(work)
    await clock.advance(seconds)
    assert task.done(), "still waiting"
    return await task


# --- the registry


async def test_registry_knows_its_services() -> None:
    """Adding, looking up, listing sorted and by group, iterating and removing; nothing is started by it."""
    async with Overseer(name="reg") as overseer:
        for name, group in (("web", "front"), ("db", "back"), ("cache", "back")):
            service = overseer.add(name, *SLEEP, group=group)
            assert overseer[name] is service
        spec = Spec.of("extra", SLEEP)
        assert overseer.add(spec).spec is spec
        assert overseer.list_all() == list(overseer) == ["cache", "db", "extra", "web"]
        assert overseer.list_group("back") == ["cache", "db"]
        assert overseer.list_group("") == ["extra"]
        assert len(overseer) == 4
        assert overseer.has_proc("db")
        assert "db" in overseer
        assert {service.state for service in map(overseer.__getitem__, overseer)} == {State.INITIAL}
        overseer.remove("db")
        assert "db" not in overseer
        assert not overseer.has_proc("db")
        assert overseer.update("web", group="back").spec.group == "back"
        assert overseer.list_group("back") == ["cache", "web"]
        assert repr(overseer) == "<Overseer 'reg' services=3 live=0>"


async def test_registry_refuses_with_a_clear_error() -> None:
    """A taken name, an unknown one, a live one and a Spec with options are refused, each by its own error."""
    async with limit(), Overseer() as overseer:
        overseer.add("web", *SLEEP)
        with pytest.raises(DuplicateService, match="'web' already"):
            overseer.add("web", "true")
        with pytest.raises(SpecError, match="pass a Spec alone"):
            overseer.add(Spec.of("x", SLEEP), "true")  # type: ignore[call-overload]  # wrong on purpose
        calls: list[Callable[[], Any]] = [
            lambda: overseer["wbe"],
            lambda: overseer.remove("wbe"),
            lambda: overseer.update("wbe", nice=1),
            lambda: overseer.status("wbe"),
            lambda: overseer.to_json("wbe"),
            lambda: overseer.signal("wbe", 1),
        ]
        for call in calls:
            with pytest.raises(UnknownService, match="no service 'wbe'; registered: web") as raised:
                call()
            assert isinstance(raised.value, LookupError)
        for verb in (overseer.start, overseer.stop, overseer.restart, overseer.supervise):
            with pytest.raises(UnknownService):
                await verb("wbe")
        await overseer.start("web")
        with pytest.raises(ServiceIsLive, match="'web' is running: stop it"):
            overseer.remove("web")
        await overseer.stop("web")
        overseer.remove("web")
        first = overseer.add("web", "true")
        assert (await overseer.supervise("web")).ok
        assert overseer["web"] is first


async def test_services_are_added_before_entering_and_at_any_time() -> None:
    """The registry works without the loop; what was added before is started inside, as is what comes later."""
    overseer = Overseer()
    overseer.add("early", *SLEEP)
    async with limit(), overseer:
        overseer.add("late", *SLEEP)
        await overseer.start_all()
        assert [overseer.status(name).state for name in overseer] == [State.RUNNING] * 2
        overseer.add("latest", *SLEEP)
        await overseer.start("latest")
    assert [overseer.status(name).state for name in overseer] == [State.INTERRUPT] * 3


@pytest.mark.parametrize(
    ("argv", "options", "option", "words"),
    [
        ((), {}, "argv", "'bad'.*empty"),
        (("",), {}, "argv", "'bad'.*empty"),
        (("true", 5), {}, "argv[1]", "'bad'.*5 is of type int"),
        (("true", b"x"), {}, "argv[1]", "'bad'.*b'x' is of type bytes"),
        (("true", None), {}, "argv[1]", "'bad'.*None"),
        (("true", "a\0b"), {}, "argv[1]", "'bad'.*NUL"),
        (("tr\0ue",), {}, "argv[0]", "'bad'.*NUL"),
        (("true",), {"cwd": ""}, "cwd", "'bad'.*cwd=''"),
        (("true",), {"delay_start": "5"}, "delay_start", "'bad'.*'5'"),
        (("true",), {"retries": 5}, "retries", "'bad'.*'retries'"),
    ],
)
async def test_bad_description_is_refused_when_it_is_added(argv: Any, options: Any, option: str, words: str) -> None:
    """The error names the service, the option and the value; nothing was added, and the others are not touched."""
    async with Overseer() as overseer:
        with pytest.raises(SpecError, match=words) as raised:
            overseer.add("bad", *argv, **options)
        assert raised.value.option == option
        assert overseer.list_all() == []


@pytest.mark.parametrize("kind", ["missing", "missing path", "not executable", "folder", "cwd"])
async def test_program_that_cannot_be_started_ends_fatal_and_the_others_go_on(
    kind: str, tmp_path: pathlib.Path
) -> None:
    """A clear SpawnError names service and value, errno is kept, and the other services start and live."""
    plain = tmp_path / "plain"
    plain.write_text("no program")
    cases: dict[str, tuple[tuple[str, ...], Any, int]] = {
        "missing": (("no-such-program-xyz",), {}, errno.ENOENT),
        "missing path": ((str(tmp_path / "nothing"),), {}, errno.ENOENT),
        "not executable": ((str(plain),), {}, errno.EACCES),
        "folder": ((str(tmp_path),), {}, errno.EACCES),
        "cwd": (("true",), {"cwd": str(tmp_path / "nowhere")}, errno.ENOENT),
    }
    argv, options, number = cases[kind]
    value = options.get("cwd") or argv[0]
    async with limit(), Overseer() as overseer:
        good = overseer.add("good", *SLEEP)
        overseer.add("wrong", *argv, **options, restart=NEVER)
        with pytest.raises(NotReady, match="wrong") as raised:
            await overseer.start_all()
        error = raised.value.__cause__
        assert isinstance(error, SpawnError)
        assert isinstance(error, OSError)
        assert error.errno == number
        assert "'wrong'" in str(error)
        assert value in str(error)
        await good.ready()
        status = overseer.status("wrong")
        assert (status.state, status.pid, status.exit_code, status.error) == (State.FATAL, None, None, error)
        assert (await overseer.supervise("wrong")).state is State.FATAL
        assert good.state is State.RUNNING


# --- all services


async def test_two_supervisions_of_one_service_end_together() -> None:
    """Two ``supervise()`` of one id at once are one supervision (B39)."""
    async with limit(), Overseer() as overseer:
        overseer.add("job", *child("input()"), stdin="pipe", restart=NEVER)
        tasks = [asyncio.create_task(overseer.supervise("job")) for _ in range(2)]
        await overseer["job"].ready()
        overseer["job"].close_stdin()
        first, second = await asyncio.gather(*tasks)
        assert first == second
        assert first.exit_code == 1


async def test_supervise_all_starts_services_added_meanwhile() -> None:
    """Services added while ``supervise_all`` runs are started and waited for too (B41); it returns when all ended."""
    overseer, clock, launcher = scripted(FakeChild().runs(5).exits(0))
    async with overseer:
        overseer.add("one", "x")
        task = asyncio.ensure_future(overseer.supervise_all())
        await clock.advance(3)
        overseer.add("two", "x")
        await clock.advance(3)
        assert overseer["one"].state is State.FINISHED
        assert not task.done(), "it forgot the one that was added"
        results: dict[str, Status] = await ended(task, clock)
        assert {id: status.exit_code for id, status in results.items()} == {"one": 0, "two": 0}
        assert len(launcher.children) == 2


async def test_supervise_all_can_be_called_again_and_with_nothing() -> None:
    """Without services it returns at once; called again it runs all again (B08, B42)."""
    overseer, clock, launcher = scripted(FakeChild().exits(0))
    async with overseer:
        assert await ended(overseer.supervise_all(), clock, 0) == {}
        overseer.add("a", "x")
        overseer.add("b", "x")
        for times in (1, 2):
            results = await ended(overseer.supervise_all(), clock)
            assert sorted(results) == ["a", "b"]
            assert len(launcher.children) == 2 * times
        both = await ended(asyncio.gather(overseer.supervise_all(), overseer.supervise_all()), clock)
        assert both[0] == both[1]


async def test_stop_all_ends_supervise_all_and_starts_nothing_more() -> None:
    """After ``stop_all`` the supervision returns. It does not start services added later. A new start works."""
    overseer, clock, launcher = scripted(FakeChild().ignores(signal.SIGTERM), FakeChild())
    async with overseer:
        overseer.add("a", "x", restart=Restart("always"))
        supervision = asyncio.ensure_future(overseer.supervise_all())
        await clock.settle()
        stop = asyncio.ensure_future(overseer.stop_all())
        await clock.settle()
        overseer.add("b", "x")
        report: StopReport = await ended(stop, clock)
        assert (report.ok, report.escalated) == (True, ["a"])
        results = await ended(supervision, clock)
        assert {id: status.state for id, status in results.items()} == {"a": State.INTERRUPT, "b": State.INITIAL}
        assert len(launcher.children) == 1
        await ended(overseer.start_all(), clock)
        assert [overseer.status(id).state for id in overseer] == [State.RUNNING] * 2


async def test_stop_report_has_signals_and_seconds_of_each_service() -> None:
    """Signals, seconds and states of each service that was live; those that were down are not in it (B07)."""
    scripts = {
        "deaf": [FakeChild().ignores(signal.SIGTERM)],
        "loop": [FakeChild().exits(1)],
        "done": [FakeChild().exits(0)],
    }
    overseer, clock, _ = scripted(FakeChild(), by_id=scripts)
    async with overseer:
        assert str(await overseer.stop_all()) == "nothing was live"
        for name in ("deaf", "done", "idle", "loop", "polite"):
            overseer.add(name, "x", restart=Restart(backoff=Backoff(50, 50)), stop=Stop(timeout=3))
        for name in ("deaf", "done", "loop", "polite"):
            await ended(overseer.start(name), clock, 0)
        report: StopReport = await ended(overseer.stop_all(), clock)
        assert sorted(report.outcomes) == ["deaf", "loop", "polite"]
        assert str(report) == (
            "deaf needed SIGTERM, SIGKILL in 3.00 s and is interrupted\n"
            "loop needed nothing in 0.00 s and is interrupted\n"
            "polite needed SIGTERM in 0.00 s and is interrupted"
        )
        assert (report.ok, report.survivors, report.escalated) == (True, [], ["deaf"])


async def test_stop_all_kill_and_shutdown_timeout_cut_the_ladders() -> None:
    """``kill=True`` takes no time; ``shutdown_timeout`` bounds the ladders of all, on stop_all and on leaving."""
    overseer, clock, _ = scripted(FakeChild().ignores(signal.SIGTERM), shutdown_timeout=2)
    async with overseer:
        for name in "ab":
            overseer.add(name, "x", stop=Stop(timeout=100))
        await ended(overseer.start_all(), clock, 0)
        assert (await ended(overseer.stop_all(kill=True), clock, 0)).ok
        await ended(overseer.start_all(), clock, 0)
        report = await ended(overseer.stop_all(), clock, 2)
        assert {outcome.seconds for outcome in report.outcomes.values()} == {2.0}
        await ended(overseer.start_all(), clock, 0)
        leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
        await clock.advance(1.9)
        assert not leaving.done()
        await clock.advance(0.1)
        assert leaving.done()
        await leaving
    with pytest.raises(SpecError, match="shutdown_timeout=-1"):
        Overseer(shutdown_timeout=-1)


async def test_shutdown_timeout_does_not_kill_a_run_that_was_started_since() -> None:
    """The limit of a stop is for the runs that it stops, not for one that somebody has started meanwhile."""
    overseer, clock, launcher = scripted(
        FakeChild(), by_id={"deaf": [FakeChild().ignores(signal.SIGTERM)]}, shutdown_timeout=5
    )
    async with overseer:
        overseer.add("deaf", "x")
        overseer.add("good", "x")
        await ended(overseer.start_all(), clock, 0)
        stop = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(1)
        await ended(overseer.start("good"), clock, 0)
        assert (await ended(stop, clock)).ok
        assert overseer["good"].state is State.RUNNING
        assert launcher.children[-1].signals == []


async def test_start_all_raises_at_once_when_one_fails_and_the_others_go_on() -> None:
    """NotReady comes without waiting for slow ones, which are started all the same."""
    overseer, clock, _ = scripted(FakeChild(), by_id={"bad": [FakeChild().prints("bad config").exits(2)]})
    async with overseer:
        bad = overseer.add("bad", "x", restart=Restart(max_restarts=0), delay_start=1)
        slow = overseer.add("slow", "x", delay_start=50)
        await ended(overseer.start_all(), clock, 55)  # it ran for a moment: without a probe that is ready
        assert (bad.state, slow.state) == (State.FATAL, State.RUNNING)
    overseer, clock, _ = scripted(FakeChild(), by_id={"bad": [FakeChild().cannot_start("bad config")]})
    async with overseer:
        overseer.add("bad", "x", restart=Restart(max_restarts=0), delay_start=1)
        slow = overseer.add("slow", "x", delay_start=50)
        start = asyncio.ensure_future(overseer.start_all())
        await clock.advance(1)
        with pytest.raises(NotReady, match="bad config") as raised:
            await start
        assert isinstance(raised.value.__cause__, GaveUp)
        assert slow.state is State.STARTING
        await ended(slow.ready(), clock)


async def test_start_all_restarts_services_that_are_stopping() -> None:
    """A service that is stopping is still wanted by ``start_all``, as by its own ``start``."""
    overseer, clock, launcher = scripted(FakeChild().ignores(signal.SIGTERM), FakeChild())
    async with overseer:
        service = overseer.add("svc", "x")
        await ended(service.start(), clock, 0)
        stop = asyncio.ensure_future(service.stop())
        await clock.settle()
        await ended(overseer.start_all(), clock, 11)
        assert (service.state, len(launcher.children), stop.done()) == (State.RUNNING, 2, True)


# --- entering and leaving


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


class _Left(Exception):
    pass


async def _by_exception(overseer: Overseer) -> None:
    async with overseer:
        await overseer.start_all()
        raise _Left


async def _by_timeout(overseer: Overseer) -> None:
    async with asyncio.timeout(0.02):
        await _held(overseer)


async def _by_move_on(overseer: Overseer) -> None:
    with anyio.move_on_after(0.02) as scope:
        await _held(overseer)
    assert scope.cancelled_caught


async def _by_scope(overseer: Overseer) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_held, overseer)
        await overseer_running(overseer)
        group.cancel_scope.cancel()


async def _by_sibling(overseer: Overseer) -> None:
    async def fails() -> None:
        await overseer_running(overseer)
        raise _Left

    async with asyncio.TaskGroup() as group:
        group.create_task(_held(overseer))
        group.create_task(fails())


async def _by_cancel(overseer: Overseer, times: int = 1) -> None:
    task = asyncio.create_task(_held(overseer))
    await overseer_running(overseer)
    for _ in range(times):
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
    await task


async def _by_cancel_twice(overseer: Overseer) -> None:
    await _by_cancel(overseer, times=3)


async def _by_both(overseer: Overseer) -> None:
    scope = anyio.CancelScope()

    async def inside() -> None:
        with scope:
            await _held(overseer)

    task = asyncio.create_task(inside())
    await overseer_running(overseer)
    scope.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await task


async def overseer_running(overseer: Overseer) -> None:
    """Wait until its one service runs."""
    async for event in overseer.events(since=0):
        if event.state is State.RUNNING:
            return


async def _held(overseer: Overseer) -> None:
    async with overseer:
        await overseer.start_all()
        await asyncio.Event().wait()


@pytest.mark.parametrize("obeys", [True, False])
@pytest.mark.parametrize(
    ("leave", "error"),
    [
        (_by_exception, _Left),
        (_by_timeout, TimeoutError),
        (_by_move_on, None),
        (_by_scope, None),
        (_by_sibling, BaseExceptionGroup),
        (_by_cancel, asyncio.CancelledError),
        (_by_cancel_twice, asyncio.CancelledError),
        (_by_both, asyncio.CancelledError),
    ],
)
async def test_however_the_block_is_left_no_child_is_left(
    leave: Callable[[Overseer], Awaitable[None]], error: type[BaseException] | None, obeys: bool
) -> None:
    """By an exception or any kind of cancellation, once or repeated: the stop is completed, then that comes out."""
    overseer = Overseer()
    if obeys:
        overseer.add("svc", *SLEEP, restart=Restart("always"))
    else:
        overseer.add("svc", "sh", "-c", "trap '' TERM; sleep 100 & wait; wait", stop=Stop(timeout=0.05))
    async with limit():
        try:
            await leave(overseer)
        except BaseException as caught:  # noqa: BLE001  # looked at below
            assert error is not None
            assert isinstance(caught, error)  # noqa: PT017  # one of several, or none
        else:
            assert error is None
    status = overseer.status("svc")
    assert status.state in (State.INTERRUPT, State.FATAL, State.INITIAL)
    if status.pid is not None:
        assert not is_alive(status.pid)


CALLS: dict[str, Callable[[Overseer], Awaitable[Any]]] = {
    "start": lambda overseer: overseer.start("a"),
    "start_all": lambda overseer: overseer.start_all(),
    "supervise": lambda overseer: overseer.supervise("a"),
    "supervise_all": lambda overseer: overseer.supervise_all(),
    "stop": lambda overseer: overseer.stop("live"),
    "stop_all": lambda overseer: overseer.stop_all(),
    "restart": lambda overseer: overseer.restart("live"),
    "restart idle": lambda overseer: overseer.restart("a"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_cancelled_at_any_iteration_leaves_valid_states(call: str) -> None:
    """At whatever iteration the cancellation arrives, no state is left in between and nothing is left behind."""
    async with limit(25):
        for turns in range(13):
            async with Overseer() as overseer:
                for name in ("a", "b"):
                    overseer.add(name, *SLEEP, restart=Restart("always"))
                live = overseer.add("live", *SLEEP, restart=Restart("always"))
                if call in ("stop", "stop_all", "restart"):
                    await live.start()
                before = live.state
                task = asyncio.ensure_future(CALLS[call](overseer))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                result: object = (await asyncio.gather(task, return_exceptions=True))[0]
                assert not isinstance(result, Exception)
                if isinstance(result, asyncio.CancelledError) and call not in ("stop", "stop_all", "restart"):
                    # The call has rolled back its own work when it ends, and nothing else.
                    states = {overseer[name].state for name in overseer}
                    assert states <= {State.INITIAL, State.INTERRUPT, before}
                for name in overseer:
                    service = overseer[name]
                    if service.state in (State.RUNNING, State.BACKOFF):
                        assert service.process is not None
                        assert is_alive(service.pid) is (service.state is State.RUNNING)
            for name in overseer:
                service = overseer[name]
                assert service.state in (State.INITIAL, State.INTERRUPT)
                assert service.pid is None or not is_alive(service.pid)


async def test_cancelled_at_any_turn_entering_and_leaving_are_complete() -> None:
    """A cancelled ``__aenter__`` leaves nothing and can be repeated; a cancelled ``__aexit__`` is completed first."""
    async with limit(25):
        for turns in range(13):
            overseer = Overseer()
            overseer.add("svc", *SLEEP)
            task = asyncio.ensure_future(overseer.__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(result, asyncio.CancelledError):
                await overseer.__aenter__()
            service = await overseer["svc"].start()
            leave = asyncio.ensure_future(overseer.__aexit__(None, None, None))
            for _ in range(turns):
                await asyncio.sleep(0)
            leave.cancel()
            await asyncio.gather(leave, return_exceptions=True)
            if service.state is State.RUNNING:  # it was cancelled before its first step: nothing was asked of it
                assert turns == 0
                await overseer.__aexit__(None, None, None)
            assert not is_alive(service.pid)
            assert service.state is State.INTERRUPT


async def test_cancelled_host_task_kills_all_and_restarts_nothing() -> None:
    """Cancelling all tasks of the loop ends the children too, whatever their policies, and leaving still works."""
    async with limit():
        before = asyncio.all_tasks()
        overseer = Overseer()
        async with overseer:
            policy = Restart("always", max_restarts=None, backoff=Backoff(0, 0))
            services = [overseer.add(f"s{n}", *SLEEP, restart=policy) for n in range(3)]
            waiting = overseer.add("waiting", "false", restart=Restart(backoff=Backoff(0.02, 0.02)))
            await overseer.start_all()
            await waiting.wait_for(State.BACKOFF)
            tasks = asyncio.all_tasks() - before
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for service in (*services, waiting):
                assert service.state is State.INTERRUPT
                assert not is_alive(service.pid)
            with pytest.raises(OverseerError, match="being left"):
                await services[0].start()


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


# --- news


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
    facts = [(str(event.state), event.status.pid, event.status.exit_code, event.status.restarts) for event in seen]
    assert facts == [
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


async def test_start_all_does_not_depend_on_remembered_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is bounded and may drop events of a start; the start still ends, or fails."""
    monkeypatch.setattr("aioverseer._engine.events.journal.JOURNAL_SIZE", 1)
    overseer, clock, _ = scripted(FakeChild(), FakeChild(), FakeChild(), FakeChild().exits(1))
    async with overseer:
        for id in "abc":
            overseer.add(id, "x")
        await ended(overseer.start_all(), clock, 0)
        overseer.add("d", "x", restart=Restart("never"), ready=ready.line("up"))
        with pytest.raises(NotReady, match="'d' is not ready"):
            await ended(overseer.start_all(), clock, 0)


def test_an_overseer_without_services_is_true() -> None:
    """It has a length, and is no empty collection for all that."""
    overseer = Overseer()
    assert (0, True) == (len(overseer), bool(overseer))


def test_journal_keeps_ten_thousand_events() -> None:
    """Memory is bounded by the promised number, and the loss is counted exactly."""
    journal = Journal()
    overseer = Overseer()
    facts = overseer.add("a", "x")._runner.snapshot(lines=False)
    for n in range(1, 10_502):
        journal.append(EventRecord(n, overseer.clock.wall(), State.INITIAL, State.STARTING, "", facts, "state"))
    first, last = journal.read(0), journal.read(10_500)
    assert first is not None
    assert last is not None
    assert (first.seq, first.missed) == (502, 501)
    assert (last.seq, last.missed) == (10_501, 0)
    assert journal.read(10_501) is None


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
    """Effects come first, news last: at RUNNING the child is there, at a final state it is gone."""
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
    lines = [line async for line in logs if isinstance(line, Line)]
    assert sorted((line.id, line.stream, line.text, line.run) for line in lines) == [
        ("a", "stderr", "err a", 1),
        ("a", "stdout", "out a", 1),
        ("b", "stderr", "err b", 1),
        ("b", "stdout", "out b", 1),
        ("c", "stdout", "late", 1),
    ]
    assert all(line.time.tzinfo is not None for line in lines)
    assert sorted([line.id async for line in errors if isinstance(line, Line)]) == ["a", "b"]


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
    texts = [
        sorted(str(line.text) for line in [line async for line in logs if isinstance(line, Line)])
        for logs in (one, group, either)
    ]
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


# --- bugs inside


class _Broken(ScriptedLauncher):
    async def launch(self, spec: Spec, *, capture: bool, channels: ReadinessChannels | None = None) -> RunningChild:
        if spec.id == "broken":
            raise RuntimeError("a bug in the launcher")
        return await super().launch(spec, capture=capture, channels=channels)


async def test_bug_of_one_service_ends_no_other_and_leaves_nobody_waiting() -> None:
    """A launcher that raises what it should not is a failed start of that service, judged and told like any."""
    clock = ManualClock()
    async with limit(), Overseer(clock=clock, launcher=_Broken(clock)) as overseer:
        good = await overseer.add("good", "x").start()
        broken = overseer.add("broken", "x", restart=Restart(max_restarts=2))
        task = asyncio.ensure_future(broken.start())
        await clock.advance(100)
        with pytest.raises(NotReady, match="a bug in the launcher"):
            await task
        assert (broken.state, good.state) == (State.FATAL, State.RUNNING)
        assert len(broken.history) == 3
        await good.restart()


async def test_a_run_that_raises_ends_no_other_service(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the task of one service is logged, and does not reach the task group of all."""
    run = RunTask._run

    async def broken(run_task: RunTask, submit: Callable[[Input], None]) -> None:
        await run(run_task, submit)
        if run_task._spec.id == "bad":
            raise RuntimeError("a bug of the run")

    monkeypatch.setattr(RunTask, "_run", broken)
    async with limit(), Overseer() as overseer:
        good = await overseer.add("good", *SLEEP).start()
        with caplog.at_level(logging.ERROR, "aioverseer"):
            assert (await overseer.add("bad", "true").start()).id == "bad"
            assert State.FINISHED == (await overseer["bad"]).state
            await asyncio.sleep(0)
        assert State.RUNNING == good.state
        await good.restart()
    assert "a bug of the run" in caplog.text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_change_nothing() -> None:
    """Under the eager task factory all verbs work, and the transitions are the same."""

    async def use() -> list[State]:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]  # from Python 3.12 on
        async with limit(), Overseer() as overseer:
            events = overseer.events()
            overseer.add("short", "true")
            overseer.add("missing", "no-such-program", nice=1, restart=Restart(max_restarts=1, backoff=Backoff(0, 0)))
            await overseer.supervise_all()
            service = await overseer.add("long", *SLEEP).start()
            await service.restart()
        return [event.state async for event in events if event.id == "missing"]

    states = asyncio.run(use())
    assert states == [State.STARTING, State.BACKOFF, State.STARTING, State.FATAL]


async def test_nothing_of_the_host_is_configured(caplog: pytest.LogCaptureFixture) -> None:
    """No handler, no level, no signal handler and no global chance is touched by a whole use (B11, B54)."""
    logger, root = logging.getLogger("aioverseer"), logging.getLogger()

    def host() -> Any:
        return (
            list(logger.handlers),
            logger.level,
            logger.propagate,
            logger.disabled,
            list(root.handlers),
            root.level,
            random.getstate(),
            [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)],
        )

    before = host()
    async with limit(), Overseer() as overseer:
        overseer.add("crash", "false", restart=Restart(max_restarts=2, backoff=Backoff(0.001, 0.01, jitter=True)))
        await overseer.supervise_all()
        assert host() == before
    assert host() == before
    assert logger.handlers == []


# --- the host around it, as a program of its own


def run_host(code: str, *, during: Callable[[subprocess.Popen[str]], None] | None = None) -> tuple[int, list[str]]:
    """Run a program that uses the library; return its exit code and its lines. Its children must be gone.

    Args:
        code: The body; ``PRELUDE`` comes before it.
        during: Called once the program has printed ``up``.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as host:
        assert host.stdout is not None
        lines: list[str] = []
        try:
            if during is not None:
                for line in host.stdout:
                    lines.append(line.strip())
                    if line == "up\n":
                        break
                during(host)
            out, errors = host.communicate(timeout=10)
        except BaseException:
            host.kill()
            raise
    lines += out.splitlines()
    assert "aioverseer" not in errors or "KeyboardInterrupt" in errors or "Stray" in errors, errors
    for line in lines:
        if line.startswith("pid "):
            assert not is_alive(int(line.split()[1])), f"a child is left: {errors}"
    return host.returncode, lines


PRELUDE = """
import asyncio, os, signal, sys
from aioverseer import *

DEAF = ("sh", "-c", "trap '' TERM INT; echo up; while :; do sleep 100; done")

async def running(overseer, *argv, **options):
    argv = argv or ("sh", "-c", "echo up; exec sleep 100")
    for n in range(3):
        service = overseer.add(f"s{n}", *argv, restart=Restart("always", backoff=Backoff(0, 0)), **options)
        lines = service.lines()
        await service.start()
        await lines.get()
        print("pid", service.pid, flush=True)
    print("up", flush=True)
"""


@pytest.mark.parametrize("argv", ["", "*DEAF, stop=Stop(timeout=0.1)"])
def test_keyboard_interrupt_leaves_no_child(argv: str) -> None:
    """Ctrl-C in a host without signal handling of its own: the block is left, then KeyboardInterrupt comes out."""
    code, lines = run_host(
        f"""
        async def main():
            async with Overseer() as overseer:
                await running(overseer, {argv})
                await asyncio.sleep(60)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """,
        during=lambda host: host.send_signal(signal.SIGINT),
    )
    assert (code, lines[-1]) == (0, "interrupted")


def test_second_keyboard_interrupt_leaves_no_child() -> None:
    """A second Ctrl-C while a deaf program is being stopped cuts that short, and still leaves nothing."""

    def twice(host: subprocess.Popen[str]) -> None:
        assert host.stdout is not None
        host.send_signal(signal.SIGINT)
        assert host.stdout.readline() == "leaving\n"
        host.send_signal(signal.SIGINT)

    code, _ = run_host(
        """
        async def main():
            async with Overseer() as overseer:
                await running(overseer, *DEAF)
                try:
                    await asyncio.sleep(60)
                finally:
                    asyncio.get_running_loop().call_soon(lambda: print("leaving", flush=True))
        asyncio.run(main())
        """,
        during=twice,
    )
    assert code in (1, 130, -signal.SIGINT)


@pytest.mark.parametrize(
    ("name", "way", "code"),
    [
        ("exit in the block", "sys.exit(3)", 3),
        ("exit in a callback", "asyncio.get_running_loop().call_soon(sys.exit, 4); await asyncio.sleep(60)", 4),
        ("error in the block", "raise ValueError", 1),
        ("cancelled", "asyncio.current_task().cancel(); await asyncio.sleep(60)", 1),
    ],
)
def test_end_of_the_host_leaves_no_child(name: str, way: str, code: int) -> None:
    """``sys.exit`` in the block or anywhere in the loop, an error or a cancellation that ends the host."""
    returned, _ = run_host(
        f"""
        async def main():
            async with Overseer() as overseer:
                await running(overseer)
                {way}
        try:
            asyncio.run(main())
        except (ValueError, asyncio.CancelledError):
            sys.exit(1)
        """
    )
    assert returned == code


def test_loop_that_ends_without_leaving_leaves_no_child() -> None:
    """``asyncio.run`` that ends while an overseer was never left: its children are killed, policies or not."""
    code, lines = run_host(
        """
        async def main():
            overseer = await Overseer().__aenter__()
            await running(overseer)
            return overseer
        overseer = asyncio.run(main())
        print(sorted({str(overseer[id].state) for id in overseer}))
        """
    )
    assert (code, lines[-1]) == (0, "['interrupted']")


SIGNALS = """
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
async def main():
    inside = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with Overseer(handle_signals={handle}) as overseer:
        await running(overseer, {argv})
        results = await overseer.supervise_all()
        print("received", overseer.received_signal and overseer.received_signal.name)
        statuses = results.values()
        print({{str(status.state) for status in statuses}}, {{int(status.signal) for status in statuses}})
    print("restored", inside == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
asyncio.run(main())
print("restored", before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_of_the_host_stops_all_when_asked_for(number: signal.Signals) -> None:
    """With ``handle_signals`` SIGINT and SIGTERM stop all services, and the host's handlers are put back."""
    code, lines = run_host(SIGNALS.format(handle=True, argv=""), during=lambda host: host.send_signal(number))
    assert code == 0
    assert lines[-4:] == [f"received {number.name}", "{'interrupted'} {15}", "restored True", "restored True"]


def test_second_signal_of_the_host_kills() -> None:
    """A second signal cuts the ladder of a deaf program short."""

    def twice(host: subprocess.Popen[str]) -> None:
        assert host.stdout is not None
        host.send_signal(signal.SIGINT)
        assert host.stdout.readline() == "stopping\n"
        time.sleep(0.15)  # two within a tenth of a second are one wish
        host.send_signal(signal.SIGTERM)

    spy = """
    async def spy(overseer):
        async for event in overseer.events():
            if event.state is State.STOPPING:
                print("stopping", flush=True)
                return
    """
    body = SIGNALS.format(handle=True, argv="*DEAF, stop=Stop(timeout=60)").replace(
        "        results =", "        task = asyncio.create_task(spy(overseer))\n        results ="
    )
    code, lines = run_host(textwrap.dedent(spy) + body, during=twice)
    assert code == 0
    assert lines[-4:] == ["received SIGTERM", "{'interrupted'} {9}", "restored True", "restored True"]


def test_signals_of_the_host_are_left_alone_by_default() -> None:
    """Without being asked the library installs nothing: the host's own handler gets the signal (B11)."""
    code, lines = run_host(
        """
        async def main():
            got = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, got.set)
            before = signal.getsignal(signal.SIGINT)
            async with Overseer() as overseer:
                assert signal.getsignal(signal.SIGINT) is before
                await running(overseer)
                await got.wait()
                print("mine", overseer["s0"].state, overseer.received_signal)
        asyncio.run(main())
        """,
        during=lambda host: host.send_signal(signal.SIGTERM),
    )
    assert (code, lines[-1]) == (0, "mine running None")


def test_signal_handling_outside_of_the_main_thread_is_refused() -> None:
    """Where Python has no signal handlers, ``handle_signals`` says so when entered, and nothing is left."""

    async def use() -> str:
        try:
            async with Overseer(handle_signals=True):
                return "entered"
        except OverseerError as error:
            return str(error)

    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(use())))
    thread.start()
    thread.join()
    assert "main thread" in found[0]


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
