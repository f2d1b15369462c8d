"""The Overseer: its registry, the verbs of all services, and bugs of one service that reach no other."""

from __future__ import annotations

import asyncio
import errno
import logging
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from aioverseer import (
    DuplicateService,
    NotReady,
    Overseer,
    Restart,
    ServiceIsLive,
    SpawnError,
    Spec,
    SpecError,
    State,
    UnknownService,
)
from aioverseer._engine.process.run_task import RunTask
from aioverseer._system.protocols import ReadinessChannels
from aioverseer.core.machine.table import Input
from aioverseer.testing import ManualClock, RunningChild, ScriptedLauncher
from tests.support.programs import limit

SLEEP = ("sleep", "100")
NEVER = Restart("never")


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


def test_an_overseer_without_services_is_true() -> None:
    """It has a length, and is no empty collection for all that."""
    overseer = Overseer()
    assert (0, True) == (len(overseer), bool(overseer))


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
            overseer.add("missing", "no-such-program", nice=1)
            await overseer.supervise_all()
            service = await overseer.add("long", *SLEEP).start()
            await service.restart()
        return [event.state async for event in events if event.id == "missing"]

    states = asyncio.run(use())
    assert states == [State.STARTING, State.FATAL]
