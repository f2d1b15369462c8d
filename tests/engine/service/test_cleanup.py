"""``cleanup``: a function or a command after each run."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Alive, Backoff, NotReady, Overseer, Restart, Service, State, Status, Stop, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

SOON = Restart(backoff=Backoff(min=0.01, max=0.01), max_restarts=1)


async def test_function_gets_the_final_status_of_each_run() -> None:
    """The next run waits for it, and the service is STOPPING meanwhile."""
    calls: list[tuple[str, Any, int | None, State, State]] = []

    async def cleanup(service: Service, status: Status) -> None:
        calls.append((service.id, status.pid, status.exit_code, status.state, service.state))
        await asyncio.sleep(0)
        assert service.process is None

    async with limit(), Overseer() as overseer:
        web = overseer.add("web", "sh", "-c", "exit 3", cleanup=cleanup, restart=SOON)
        events = overseer.events()
        status = await overseer.supervise("web")
        states = [event.state for event in iter(events.get_nowait, None)]
    pids = [each.pid for each in web.history]
    assert [("web", pid, 3, State.FINISHED, State.STOPPING) for pid in pids] == calls
    assert [State.STARTING, State.RUNNING, State.STOPPING, State.BACKOFF] * 2 == [*states[:-1], State.BACKOFF]
    assert (State.FATAL, 3) == (status.state, status.exit_code)


async def test_all_of_the_run_is_gone_before(tmp_path: Path) -> None:
    """Its leftovers too, and its last line is delivered."""
    seen: list[tuple[bool, str]] = []
    file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {file}; echo last"

    def cleanup(service: Service, _status: Status) -> None:
        pid = int(file.read_text())
        try:
            state = Path(f"/proc/{pid}/stat").read_text().split()[2]
        except OSError:
            state = "gone"
        seen.append((state in ("Z", "gone"), service.tail(1)[0].text))

    async with limit(), Overseer() as overseer:
        overseer.add("web", "sh", "-c", script, cleanup=cleanup)
        await overseer.supervise("web")
    assert [(True, "last")] == seen


PRINTS = ["sh", "-c", 'echo "$SERVICE_RESULT ${EXIT_CODE-none} ${EXIT_STATUS-none}"']


@pytest.mark.parametrize(
    ("program", "options", "expected"),
    [
        (["true"], {}, "success exited 0"),
        (["sh", "-c", "exit 3"], {}, "exit-code exited 3"),
        (["sh", "-c", "exit 3"], {"restart": Restart("never", success_codes={3})}, "success exited 3"),
        (["sh", "-c", "kill -9 $$"], {}, "signal killed KILL"),
        (["sleep", "60"], {"ready": ready.line("up"), "ready_timeout": 0.05}, "timeout killed TERM"),
        (["no-such-program"], {}, "resources none none"),
        (["true"], {"prepare": ["false"]}, "resources none none"),
        (["true"], {"prepare": ["sleep", "60"], "ready_timeout": 0.05}, "timeout none none"),
    ],
)
async def test_command_is_told_the_end_as_by_systemd(
    program: list[str], options: dict[str, Any], expected: str
) -> None:
    async with limit(), Overseer() as overseer:
        given: dict[str, Any] = {"restart": Restart("never"), **options}
        web = overseer.add("web", *program, cleanup=PRINTS, **given)
        await overseer.supervise("web")
        assert expected == web.tail(1)[0].text


async def test_command_is_told_that_a_program_was_not_alive() -> None:
    async def hangs() -> bool:
        return False

    alive = Alive(ready.check(hangs), every=0.01, failures=1)
    async with limit(), Overseer() as overseer:
        web = overseer.add("web", "sleep", "60", cleanup=PRINTS, alive=alive, restart=Restart("never"))
        await overseer.supervise("web")
        assert "watchdog killed TERM" == web.tail(1)[0].text


@pytest.mark.parametrize("how", ["stop", "leave", "restart"])
async def test_it_follows_a_stop(how: str) -> None:
    statuses: list[Status] = []

    async def cleanup(_service: Service, status: Status) -> None:
        await asyncio.sleep(0)
        statuses.append(status)

    async with limit():
        async with Overseer() as overseer:
            web = await overseer.add("web", "sleep", "60", cleanup=cleanup).start()
            if how == "stop":
                await web.stop()
                assert 1 == len(statuses)
            if how == "restart":
                await web.restart()
                assert (1, State.RUNNING) == (len(statuses), web.state)
        assert ("restart" == how) + 1 == len(statuses)
    assert {(State.INTERRUPT, signal.SIGTERM)} == {(status.state, status.signal) for status in statuses}


async def test_stop_before_the_start_cleans_up_too() -> None:
    """The work of ``prepare`` must be undone, although there was no program."""
    done: list[State] = []
    async with limit(), Overseer() as overseer:
        options: dict[str, Any] = {
            "prepare": lambda _service, _run: asyncio.Event().wait(),
            "cleanup": lambda _service, status: done.append(status.state),
        }
        web = overseer.add("web", "sleep", "60", **options)
        starting = asyncio.create_task(web.start())
        await web.wait_for(State.STARTING, 5)
        await web.stop()
        with pytest.raises(NotReady):
            await starting
    assert [State.INTERRUPT] == done


async def test_failure_is_told_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with limit(), Overseer() as overseer:
        words = ["sh", "-c", "echo disk is full; exit 5"]
        overseer.add("web", "true", cleanup=words)
        events = overseer.events()
        status = await overseer.supervise("web")
        told = [event.reason for event in iter(events.get_nowait, None) if event.kind == "cleanup"]
    assert ["its cleanup (`sh -c 'echo disk is full; exit 5'`) failed: exited with code 5: disk is full"] == told
    assert (State.FINISHED, 0, None) == (status.state, status.exit_code, status.error)
    assert logging.WARNING in [record.levelno for record in caplog.records]


async def test_it_has_the_time_of_the_ladder() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().exits(0), FakeChild())

    async def cleanup(_service: Service, _status: Status) -> None:
        await asyncio.Event().wait()

    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        web = overseer.add("web", "web", cleanup=cleanup, stop=Stop(timeout=4), restart=Restart("never"))
        events = overseer.events()
        ended = asyncio.create_task(overseer.supervise("web"))
        await clock.advance(2)
        assert State.STOPPING is web.state
        why = web.why()
        assert ("its cleanup (", "program", "its end") == (why.awaits[0].text[:13], why.awaits[0].kind, why.due)
        assert why.awaits[0].due_in == pytest.approx(web.spec.stop.total - 2, abs=0.1)
        await clock.advance(web.spec.stop.total)
        assert State.FINISHED is (await ended).state
        told = [event.reason for event in iter(events.get_nowait, None) if event.kind == "cleanup"]
        assert "was still under way after" in told[0]


HANGS = ["sh", "-c", 'echo $$ > "$0"; exec sleep 60']


@pytest.mark.parametrize("how", ["kill", "stop_all"])
async def test_kill_ends_it_at_once(tmp_path: Path, how: str) -> None:
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    async with limit(), Overseer() as overseer:
        web = await overseer.add("web", "sleep", "60", cleanup=[*HANGS, str(fifo)]).start()
        stopping = asyncio.create_task(web.stop())
        pid = int(await asyncio.to_thread(fifo.read_text))
        if how == "kill":
            await web.stop(kill=True)
        else:
            await overseer.stop_all(kill=True)
        assert State.INTERRUPT is (await stopping).state
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_start_and_stop_while_it_goes_on() -> None:
    """A start follows it; a stop cancels the restart."""
    gates = [asyncio.Event() for _ in range(2)]

    async def cleanup(_service: Service, _status: Status) -> None:
        await gates.pop(0).wait() if gates else None

    async with limit(), Overseer() as overseer:
        first, second = gates
        web = await overseer.add("web", "sleep", "60", cleanup=cleanup, restart=Restart("always")).start()
        web.signal(signal.SIGKILL)
        await web.wait_for(State.STOPPING)
        stopping = asyncio.create_task(web.stop())
        await asyncio.sleep(0)
        starting = asyncio.create_task(web.start())
        await asyncio.sleep(0)
        first.set()
        await starting
        assert State.INTERRUPT is (await stopping).state
        web.signal(signal.SIGKILL)
        await web.wait_for(State.STOPPING)
        ending = asyncio.create_task(web.stop())
        await asyncio.sleep(0)
        second.set()
        assert State.INTERRUPT is (await ending).state


async def test_dependents_start_after_it() -> None:
    """``after={"migrate": "success"}`` waits for the end, and that is after the clean-up."""
    order: list[str] = []
    async with limit(), Overseer() as overseer:
        overseer.add("migrate", "true", cleanup=lambda *_: order.append("cleaned"))
        overseer.add("web", "sleep", "60", after={"migrate": "success"}, prepare=lambda *_: order.append("prepared"))
        await overseer.start_all()
    assert ["cleaned", "prepared"] == order


async def test_cancelled_loop_leaves_nothing() -> None:
    """All tasks are cancelled in the middle of both steps, as ``asyncio.run`` does at its end."""
    begun = asyncio.Event()

    async def forever(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    steps: list[dict[str, Any]] = [{"prepare": forever}, {"cleanup": forever}]
    for options in steps:
        begun.clear()
        async with limit(), Overseer() as overseer:
            web = overseer.add("web", "true", restart=Restart("never"), **options)
            supervising = asyncio.create_task(overseer.supervise("web"))
            await begun.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.wait({supervising})
            await web.wait_for(lambda status: status.state.is_final)


async def test_why_names_it_once() -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def cleanup(_service: Service, _status: Status) -> None:
        begun.set()
        await gate.wait()

    async with limit(), Overseer() as overseer:
        web = await overseer.add("web", "sleep", "60", cleanup=cleanup).start()
        stopping = asyncio.create_task(web.stop())
        await begun.wait()
        assert 1 == str(web.why()).count("its cleanup")
        assert [None] != [each.due_in for each in web.why().awaits]
        gate.set()
        await stopping
