"""``prepare``: a function or a command before each run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from aioverseer import (
    Backoff,
    NotReady,
    NotReadyInTime,
    Overseer,
    Process,
    Restart,
    Service,
    SpawnError,
    Spec,
    SpecError,
    State,
    ThreadedOverseer,
    ready,
)
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

SOON = Restart(backoff=Backoff(min=0.01, max=0.01), max_restarts=3)


async def test_function_comes_before_each_run_and_changes_its_options() -> None:
    calls: list[tuple[str, int, State, int | None]] = []

    async def prepare(service: Service, run: int) -> dict[str, Any]:
        await asyncio.sleep(0)
        calls.append((service.id, run, service.state, service.pid))
        return {"extra_env": {"PORT": str(9000 + run)}, "ready": ready.line(f"port {9000 + run}")}

    async with limit(), Overseer() as overseer:
        web = overseer.add("web", "sh", "-c", 'echo "port $PORT"; exec sleep 60', prepare=prepare)
        lines = web.lines()
        await web.start()
        await web.restart()
        assert ["port 9001", "port 9002"] == [(await lines.get()).text for _ in range(2)]
        assert {} == web.spec.extra_env
    assert [("web", 1, State.STARTING, None), ("web", 2, State.STARTING, None)] == calls


async def test_plain_function_and_another_command() -> None:
    def prepare(_service: object, run: int) -> dict[str, Any]:
        return {"argv": ["echo", f"run {run}"]}

    async with limit(), Overseer() as overseer:
        web = overseer.add("web", "no-such-program", prepare=prepare, buffered=True)
        status = await overseer.supervise("web")
    assert (["run 1"], 0) == (status.stdout, status.exit_code)
    assert 1 == len(web.history)


async def test_command_runs_on_behalf_of_the_program(tmp_path: Path) -> None:
    words = ["sh", "-c", 'echo "$MOOD" > file; echo prepared']
    async with limit(), Overseer() as overseer:
        web = overseer.add("web", "cat", "file", prepare=words, cwd=tmp_path, extra_env={"MOOD": "good"})
        lines = web.lines()
        await overseer.supervise("web")
        assert [("prepared", "stderr", 1), ("good", "stdout", 1)] == [
            (line.text, line.stream, line.run) for line in [await lines.get(), await lines.get()]
        ]


async def test_failure_is_judged_like_a_failed_start() -> None:
    """Also that of a program which is not there: another attempt may find it."""
    attempts: list[int] = []

    async def prepare(_service: object, run: int) -> None:
        attempts.append(run)
        if run < 3:
            raise FileNotFoundError(2, "No such file or directory", "data")

    async with limit(), Overseer() as overseer:
        web = await overseer.add("web", "sleep", "60", prepare=prepare, restart=SOON).start()
        assert ([1, 2, 3], 2) == (attempts, web.restarts)
        error = web.history[0].error
        assert isinstance(error, SpawnError)
        assert error.errno is None
        assert isinstance(error.__cause__, FileNotFoundError)
        assert "'web' cannot be started: its prepare" in str(error)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (["sh", "-c", "echo no disk; exit 4"], "failed: exited with code 4: no disk"),
        (["no-such-program"], "no-such-program"),
        (lambda _service, _run: 5, "it returned int: return a dict"),
        (lambda _service, _run: {"nice": 99}, "returned: service 'web': nice=99"),
        (lambda _service, _run: {"after": "db"}, "after='db' is an option of the service"),
        (lambda _service, _run: {"cwdd": "/"}, "there is no option 'cwdd'"),
    ],
)
async def test_end_of_the_budget_names_the_failure(prepare: Any, words: str) -> None:
    async with limit(), Overseer() as overseer:
        web = overseer.add("web", "sleep", "60", prepare=prepare, restart=Restart("on-failure", max_restarts=0))
        with pytest.raises(NotReady) as caught:
            await web.start()
        assert words in str(caught.value)
        assert State.FATAL is web.state
        assert not web.status().reason.startswith("gave up: could never")


def scripted(*children: FakeChild) -> tuple[ManualClock, Any]:
    clock = ManualClock()
    return clock, ScriptedLauncher(clock, *children)


async def test_time_is_part_of_that_of_readiness() -> None:
    """Four of ten seconds are left for the program."""
    clock, launcher = scripted(FakeChild())

    async def prepare(_service: object, _run: int) -> None:
        await clock.sleep(6)

    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        options: dict[str, Any] = {"ready": ready.line("up"), "ready_timeout": 10, "restart": Restart("never")}
        web = overseer.add("web", "web", prepare=prepare, **options)
        starting = asyncio.create_task(web.start())
        await clock.advance(1)
        assert "starting for 1.0 s: is being started; waits for its prepare (" in str(web.why())
        assert ("start", 9.0) == (web.why().awaits[0].kind, web.why().awaits[0].due_in)
        await clock.advance(8.9)
        assert State.STARTING is web.state
        await clock.advance(0.2)
        with pytest.raises(NotReadyInTime, match="was not ready within 4 s"):
            await starting


async def test_one_that_takes_too_long_is_ended() -> None:
    clock, launcher = scripted(FakeChild())
    ended: list[str] = []

    async def prepare(_service: object, _run: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        web = overseer.add("web", "web", prepare=prepare, ready_timeout=10, restart=Restart("never"))
        starting = asyncio.create_task(web.start())
        await clock.advance(11)
        with pytest.raises(NotReadyInTime, match=r"within 10 s: its prepare .* was still under way"):
            await starting
    assert (["ended"], 0) == (ended, len(launcher.children))


HANGS = ["sh", "-c", 'echo $$ > "$0"; exec sleep 60']


@pytest.mark.parametrize("how", ["stop", "kill", "leave", "cancel", "restart", "remove"])
async def test_stop_ends_a_command(tmp_path: Path, how: str) -> None:
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    async with limit():
        async with Overseer() as overseer:
            web = overseer.add("web", "sleep", "60", prepare=[*HANGS, str(fifo)])
            starting = asyncio.create_task(web.start())
            pid = int(await asyncio.to_thread(fifo.read_text))
            match how:
                case "stop" | "kill":
                    status = await web.stop(kill=how == "kill")
                    assert (State.INTERRUPT, None) == (status.state, status.pid)
                    assert "a stop was asked for" in status.reason
                case "cancel":
                    starting.cancel()
                    await asyncio.wait({starting})
                    assert State.INTERRUPT is web.state
                case "remove":
                    await web.stop()
                    overseer.remove("web")
                case "restart":
                    again = asyncio.create_task(web.restart())
                    assert pid != int(await asyncio.to_thread(fifo.read_text))
                    await web.stop()
                    await asyncio.wait({again})
                case _:
                    pass
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        await asyncio.wait({starting})
        if how != "remove":
            assert State.INTERRUPT is web.history[0].state


async def test_stop_is_told_its_own_run_when_a_start_follows() -> None:
    """The program was never launched, and the next run is another one."""
    gate = asyncio.Event()

    async def prepare(_service: object, run: int) -> None:
        if run == 1:
            try:
                await asyncio.Event().wait()
            finally:
                await gate.wait()

    async with limit(), Overseer() as overseer:
        web = overseer.add("web", "sleep", "60", prepare=prepare)
        first = asyncio.create_task(web.start())
        await asyncio.sleep(0)
        stopping = asyncio.create_task(web.stop())
        await asyncio.sleep(0)
        second = asyncio.create_task(web.start())
        await asyncio.sleep(0)
        gate.set()
        assert State.INTERRUPT is (await stopping).state
        await second
        await asyncio.wait({first})
        assert State.RUNNING is web.state


async def test_one_that_swallows_its_cancellation_holds_no_stop_up(caplog: pytest.LogCaptureFixture) -> None:
    gate = asyncio.Event()

    async def prepare(_service: object, _run: int) -> None:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    async with limit(), Overseer() as overseer:
        web = overseer.add("web", "sleep", "60", prepare=prepare)
        starting = asyncio.create_task(web.start())
        await asyncio.sleep(0.01)
        assert State.INTERRUPT is (await web.stop()).state
        assert "goes on although it was cancelled" in caplog.text
        gate.set()
        await asyncio.wait({starting})


async def test_delay_comes_first() -> None:
    clock, launcher = scripted(FakeChild())
    calls: list[float] = []

    async def prepare(_service: object, _run: int) -> None:
        calls.append(clock.now())

    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        began = clock.now()
        web = overseer.add("web", "web", prepare=prepare, delay_start=5, restart=Restart("always"))
        starting = asyncio.create_task(web.start())
        await clock.advance(4)
        assert ("its start", 1.0) == (web.why().due, web.why().due_in)
        await clock.advance(2)
        await starting
        await web.restart()
        await web.stop()
        waiting = asyncio.create_task(web.start())
        await clock.advance(1)
        assert State.INTERRUPT is (await web.stop()).state
        await asyncio.wait({waiting})
    assert [5.0, 6.0] == [when - began for when in calls]


async def test_only_a_service_of_a_program_has_it() -> None:
    with pytest.raises(SpecError, match="is for a Service"):
        Process("true", prepare=["true"])
    async with Overseer() as overseer:
        with pytest.raises(SpecError, match="is for a program"):
            overseer.add_task("web", asyncio.Event().wait, prepare=["true"])
    coroutine = asyncio.sleep(0)
    with pytest.raises(SpecError, match="is the result of a call: pass the function itself"):
        Spec.of("web", ["true"], prepare=coroutine)  # type: ignore[arg-type]  # refused
    coroutine.close()


def test_without_an_event_loop() -> None:
    async def prepare(service: Service, run: int) -> dict[str, Any]:
        return {"argv": ["echo", service.id, str(run)]}

    with ThreadedOverseer() as overseer:
        overseer.add("web", "false", prepare=prepare, buffered=True)
        assert ["web 1"] == overseer.supervise("web").stdout


async def test_killed_program_is_prepared_again(tmp_path: Path) -> None:
    """A file of the last run is removed before the next one starts."""
    lock = tmp_path / "lock"
    program = ["sh", "-c", 'set -C; : > "$0" || exit 7; exec sleep 60', str(lock)]

    async def again(web: Service, number: int) -> None:
        await web.wait_for(lambda status: (number, State.RUNNING) == (status.restarts, status.state))

    async with limit(), Overseer() as overseer:
        web = overseer.add("web", *program, prepare=["rm", "-f", str(lock)], restart=SOON, ready=ready.file(str(lock)))
        await web.start()
        for number in (1, 2):
            web.signal(signal.SIGKILL)
            await again(web, number)
    assert [None, None] == [status.exit_code for status in web.history[:2]]
