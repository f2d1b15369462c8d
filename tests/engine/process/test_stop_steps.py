"""Steps of the ladder that are no signals: end of input, a last input, a command."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Overseer, Process, SpecError, State, Stop, ThreadedOverseer, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit

IGNORES = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
for line in sys.stdin:
    print('read', line, end='', flush=True)
print('end of input', flush=True)
rest()
"""
"""Ignores SIGTERM and the end of its input."""


def python_repl(**options: Any) -> Process:
    return Process(sys.executable, "-q", "-i", **options)


def touching(path: Path, *, code: int = 0) -> list[str]:
    """Return a command that writes its folder, a variable and its argument to a file."""
    return ["sh", "-c", 'echo "$PWD $MOOD $1" > "$0"; echo "last words"; exit ' + str(code), str(path), "{pid}"]


async def test_cat_ends_with_its_input() -> None:
    async with limit():
        process = await Process("cat", stdin="pipe", stop=Stop(steps=[Stop.close_stdin(5)])).start()
        await process.write("last\n")
        status = await process.stop()
    assert (State.INTERRUPT, 0, ["last"]) == (status.state, status.exit_code, status.stdout)
    assert () == process.signals_sent
    assert "a stop was asked for; exited with code 0" == status.reason


async def test_program_ends_by_a_word() -> None:
    async with limit():
        process = await python_repl(stdin="pipe", stop=Stop(steps=[Stop.write("exit(3)\n", 9)])).start()
        status = await process.stop()
    assert (3, ()) == (status.exit_code, process.signals_sent)


@pytest.mark.parametrize("step", [Stop.close_stdin(9), Stop.write("exit()\n", 9)], ids=["eof", "word"])
async def test_program_on_a_terminal_ends_by_its_input(step: Any) -> None:
    async with limit():
        # The other interpreter of Python 3.13 and newer changes the mode of the terminal between two inputs.
        process = python_repl(pty=True, streaming=True, stop=Stop(steps=[step]), extra_env={"PYTHON_BASIC_REPL": "1"})
        await process.start()
        await process.stdout.expect(">>> ", 9)
        status = await process.stop()
    assert (0, ()) == (status.exit_code, process.signals_sent)


async def test_steps_follow_each_other_to_the_end() -> None:
    async with limit():
        stop = Stop(steps=[Stop.write("quit\n", 0.05), Stop.close_stdin(0.05), (signal.SIGTERM, 0.05)])
        async with Overseer() as overseer:
            service = overseer.add("db", *child(IGNORES), stdin="pipe", stop=stop)
            lines = service.lines()
            await service.start()
            await lines.get()
            report = await overseer.stop_all()
            assert ["read quit", "end of input"] == [line.text async for line in lines]
    outcome = report.outcomes["db"]
    assert ("input 'quit\\n'", "end of input", "SIGTERM", "SIGKILL") == outcome.steps
    assert (signal.SIGTERM, signal.SIGKILL) == outcome.signals
    assert (["db"], ()) == (report.escalated, outcome.failures)
    assert str(report).startswith("db needed input 'quit\\n', end of input, SIGTERM, SIGKILL in ")


async def test_why_names_the_next_step() -> None:
    async with limit():
        stop = Stop(steps=[Stop.close_stdin(30), Stop.command(["db-cli", "quit"], 30)])
        async with Overseer() as overseer:
            service = overseer.add("db", *child(IGNORES), stdin="pipe", stop=stop)
            lines = service.lines()
            await service.start()
            await lines.get()
            stopping = asyncio.ensure_future(service.stop())
            assert "end of input" == (await lines.get()).text
            why = str(service.why())
            await service.stop(kill=True)
            await stopping
    assert "to end, or `db-cli quit` is run" in why


@pytest.mark.parametrize(
    ("step", "words"),
    [(Stop.close_stdin(30), "or gets the end of its input"), (Stop.write("quit\n", 30), "or gets the input 'quit")],
)
async def test_why_names_a_next_step_that_is_input(step: Any, words: str) -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().ignores(signal.SIGINT))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = overseer.add("db", "db", stdin="pipe", stop=Stop(steps=[(signal.SIGINT, 30), step]))
        await service.start()
        stopping = asyncio.ensure_future(service.stop())
        await clock.settle()
        assert words in str(service.why())
        await service.stop(kill=True)
        await stopping


async def test_launcher_with_a_bug_fails_the_step_alone() -> None:
    class Faulty(ScriptedLauncher):
        async def launch(self, spec: Any, **options: Any) -> Any:
            if spec.id != "db":
                raise RuntimeError("a bug")
            return await super().launch(spec, **options)

    clock = ManualClock()
    stop = Stop(steps=[Stop.command(["db-cli", "quit"], 3600), (signal.SIGTERM, 9)])
    process = Process("db", clock=clock, launcher=Faulty(clock), stop=stop)
    async with limit():
        await process.start()
        status = await process.stop()
    assert "`db-cli quit` failed: RuntimeError('a bug')" in status.reason
    assert signal.SIGTERM is status.signal


async def test_command_has_the_folder_environment_and_user_of_the_program(tmp_path: Path) -> None:
    file, place = tmp_path / "said", tmp_path / "folder"
    place.mkdir()
    command = touching(file)
    command[2] = command[2].replace("echo ", "id -u >&2; kill $1; echo ", 1)
    async with limit():
        process = Process(
            "sleep", "60", cwd=str(place), extra_env={"MOOD": "calm"}, stop=Stop(steps=[Stop.command(command, 9)])
        )
        await process.start()
        status = await process.stop()
    assert f"{place} calm {status.pid}\n" == file.read_text()
    assert (signal.SIGTERM, ()) == (status.signal, process.signals_sent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the user")
async def test_command_runs_as_the_user_of_the_program() -> None:
    with tempfile.TemporaryDirectory() as folder:  # the folders above tmp_path are closed to other users
        Path(folder).chmod(0o777)
        file = Path(folder, "said")
        command = ["sh", "-c", 'id -u > "$0"; kill "$1"', str(file), "{pid}"]
        async with limit():
            process = await Process("sleep", "60", user="nobody", stop=Stop(steps=[Stop.command(command, 9)])).start()
            await process.stop()
        assert pwd.getpwnam("nobody").pw_uid == int(file.read_text())


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["sh", "-c", "echo no; echo not now >&2; exit 4"], "exited with code 4: not now"),
        (["sh", "-c", "kill -9 $$"], "was killed by SIGKILL"),
        (["no-such-command"], "there is no program 'no-such-command'"),
    ],
    ids=["code", "signal", "missing"],
)
async def test_next_step_follows_a_failed_command_at_once(
    command: list[str], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with limit(20), Overseer() as overseer:
        service = overseer.add("db", "sleep", "60", stop=Stop(steps=[Stop.command(command, 3600), (signal.SIGTERM, 9)]))
        events = overseer.events()
        await service.start()
        with caplog.at_level(logging.WARNING, "aioverseer"):
            report = await overseer.stop_all()
        outcome = report.outcomes["db"]
        assert "SIGTERM" == outcome.steps[-1]
        assert 1 == len(outcome.failures)
        assert why in outcome.failures[0]
        assert why in outcome.status.reason
        assert why in str(report)
        assert why in caplog.text
        while (event := await anext(events)).kind != "stop" or "failed" not in event.reason:
            pass
        assert why in event.reason


@pytest.mark.parametrize("start", ["sleep 600 &", "setsid sh -c 'sleep 600; :' &"], ids=["group", "daemon"])
async def test_command_is_killed_with_all_that_it_started_when_its_time_is_over(start: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    held = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
    command = ["sh", "-c", f'exec 3>"$0"; {start} sleep 600', str(gate)]
    async with limit(20):
        process = Process("sleep", "60", stop=Stop(steps=[Stop.command(command, 0.3), (signal.SIGTERM, 9)]))
        await process.start()
        status = await process.stop()
    assert b"" == os.read(held, 1)  # nobody holds the other end
    os.close(held)
    assert "it was still running, and was killed" in status.reason
    assert (signal.SIGTERM,) == process.signals_sent


async def test_daemon_of_a_command_that_outlives_the_program_is_killed(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    held = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
    command = ["sh", "-c", 'exec 3>"$0"; setsid sh -c "sleep 600; :" & kill "$1"; sleep 600', str(gate), "{pid}"]
    async with limit(20):
        process = await Process("sleep", "60", stop=Stop(steps=[Stop.command(command, 15)])).start()
        status = await process.stop()
    assert b"" == os.read(held, 1)  # nobody holds the other end
    os.close(held)
    assert "it was still running, and was killed" in status.reason


async def test_command_may_outlive_the_program_for_a_moment(tmp_path: Path) -> None:
    done = tmp_path / "done"
    command = ["sh", "-c", 'kill "$1"; while kill -0 "$1"; do :; done 2>/dev/null; echo > "$0"', str(done), "{pid}"]
    async with limit(20):
        process = await Process("sleep", "60", stop=Stop(steps=[Stop.command(command, 15)])).start()
        status = await process.stop()
    assert done.exists()
    assert "a stop was asked for; was killed by SIGTERM" == status.reason


async def test_command_that_outlives_the_program_is_killed() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, by_id={"db": FakeChild().runs(1).exits(0), "db stop": FakeChild()})
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = overseer.add("db", "db", stop=Stop(steps=[Stop.command(["db-cli"], 60)]))
        await service.start()
        stopping = asyncio.ensure_future(service.stop())
        await clock.advance(1.0)
        await clock.advance(1.9)
        assert not stopping.done()
        await clock.advance(0.2)
        status = await stopping
        assert [signal.SIGKILL] == launcher.of("db stop")[0].signals
    assert "a stop was asked for; exited with code 0; `db-cli` failed: it was still running, and was killed" == (
        status.reason
    )


async def test_killed_command_is_told_whatever_step_follows() -> None:
    async with limit(20):
        stop = Stop(steps=[Stop.command(["sleep", "600"], 0.1), Stop.close_stdin(9)])
        process = await Process("cat", stdin="pipe", stop=stop).start()
        status = await process.stop()
    assert "a stop was asked for; `sleep 600` failed: it was still running, and was killed; exited with code 0" == (
        status.reason
    )


async def test_stop_after_the_end_of_the_leader_runs_no_command() -> None:
    """The run still waits for its source of input. A command would outlive the run."""
    ended, gate = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncGenerator[str]:
        yield "the program ends after this line, and not before the source has begun\n"
        try:
            await gate.wait()
        finally:
            ended.set()
            await gate.wait()

    stop = Stop(steps=[Stop.command(["sleep", "600"], 600)])
    async with limit(20):
        process = await Process("head", "-n", "1", stdin=source, stop=stop).start()
        await ended.wait()
        stopping = asyncio.ensure_future(process.stop())
        await asyncio.sleep(0)
        gate.set()
        status = await stopping
    assert "a stop was asked for; exited with code 0" == status.reason


async def test_kill_ends_a_command_at_once() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, by_id={"db stop": FakeChild()})
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = overseer.add("db", "db", stop=Stop(steps=[Stop.command(["db-cli"], 60)]))
        await service.start()
        stopping = asyncio.ensure_future(service.stop())
        await clock.settle()
        assert not launcher.of("db stop")[0].has_ended
        await service.stop(kill=True)
        await stopping
        assert launcher.of("db stop")[0].has_ended


async def test_scripted_child_reads_the_end_of_its_input() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().reads("quit").prints("bye\n").reads_all().exits(0))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        stop = Stop(steps=[Stop.write("quit\n", 2), Stop.close_stdin(3), (signal.SIGTERM, 5)])
        service = overseer.add("db", "db", stdin="pipe", stop=stop)
        lines = service.lines()
        await service.start()
        stopping = asyncio.ensure_future(service.stop())
        assert "bye" == (await lines.get()).text
        await clock.advance(2.0)
        status = await stopping
        assert [] == launcher.children[0].signals
    assert 0 == status.exit_code


async def test_input_that_is_closed_is_told_and_the_next_step_follows() -> None:
    async with limit():
        stop = Stop(steps=[Stop.write("quit\n", 3600), (signal.SIGTERM, 9)])
        process = await Process("sleep", "60", stdin="pipe", stop=stop).start()
        process.close_stdin()
        status = await process.stop()
    assert "input 'quit\\n' failed: its standard input is closed" in status.reason
    assert (signal.SIGTERM,) == process.signals_sent


async def test_text_that_the_encoding_does_not_have_is_told_and_the_next_step_follows() -> None:
    stop = Stop(steps=[Stop.write("tschüß\n", 3600), (signal.SIGTERM, 9)])
    async with limit():
        process = await Process("sleep", "60", stdin="pipe", encoding="ascii", stop=stop).start()
        status = await process.stop()
    assert "failed: 'ascii' codec can't encode" in status.reason
    assert signal.SIGTERM is status.signal


async def test_end_of_input_that_was_closed_before_has_its_time() -> None:
    """The program has read its end of file, and may need the time."""
    async with limit():
        code = "import sys, time; print('up', flush=True); sys.stdin.read(); time.sleep(0.2)"
        stop = Stop(steps=[Stop.close_stdin(9), (signal.SIGTERM, 9)])
        process = Process(*child(code), stdin="pipe", streaming=True, stop=stop)
        await process.start()
        await process.stdout.get()
        process.close_stdin()
        status = await process.stop()
    assert (0, ()) == (status.exit_code, process.signals_sent)


async def test_full_pipe_holds_a_step_up_for_its_time_only() -> None:
    async with limit(20):
        stop = Stop(steps=[Stop.write("x" * 1_000_000, 0.1), Stop.close_stdin(0.1), (signal.SIGTERM, 9)])
        process = await Process("sleep", "60", stdin="pipe", stop=stop).start()
        await process.stop()
    assert (signal.SIGTERM,) == process.signals_sent


async def test_suspended_program_reads_the_end_of_its_input() -> None:
    async with limit():
        process = await Process("cat", stdin="pipe", stop=Stop(steps=[Stop.close_stdin(9)])).start()
        process.signal(signal.SIGSTOP)
        assert 0 == (await process.stop()).exit_code


@pytest.mark.parametrize(
    ("step", "name"), [(Stop.close_stdin(3600), "end of input"), (Stop.write("quit\n", 3600), r"input 'quit\n'")]
)
async def test_new_ladder_for_a_program_without_a_pipe_goes_on(step: Any, name: str) -> None:
    """The pipe comes with the next run, and the ladder at once."""
    async with limit(), Overseer() as overseer:
        service = overseer.add("db", "sleep", "60")
        await service.start()
        overseer.update("db", stdin="pipe", stop=Stop(steps=[step, (signal.SIGTERM, 9)]))
        status = await service.stop()
    assert f"{name} failed: there is no pipe to its standard input" in status.reason
    assert signal.SIGTERM is status.signal


async def test_tasks_take_signals_alone() -> None:
    async def work() -> None: ...

    async with Overseer() as overseer:
        with pytest.raises(SpecError, match="steps for a program"):
            overseer.add_task("work", work, stop=Stop(steps=[Stop.command(["true"], 1)]))


async def test_a_cancelled_stop_goes_on_with_its_steps() -> None:
    async with limit():
        process = await Process("cat", stdin="pipe", stop=Stop(steps=[Stop.close_stdin(9)])).start()
        stopping = asyncio.ensure_future(process.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        assert (0, ()) == ((await process.wait()).exit_code, process.signals_sent)


async def test_restart_takes_the_steps_for_each_run() -> None:
    async with limit(), Overseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe", stop=Stop(steps=[Stop.close_stdin(9)]))
        await service.start()
        for _ in range(3):
            await service.restart()
        report = await overseer.stop_all()
    assert (("end of input",), ()) == (report.outcomes["cat"].steps, report.outcomes["cat"].signals)


@pytest.mark.parametrize("of_service", [False, True])
async def test_one_stop_may_have_a_ladder_of_its_own(of_service: bool) -> None:
    async with limit(), Overseer() as overseer:
        ladder = Stop(steps=[Stop.close_stdin(9)])
        one: Any = overseer.add("cat", "cat", stdin="pipe") if of_service else Process("cat", stdin="pipe")
        await one.start()
        run = one.process if of_service else one
        assert 0 == (await one.stop(ladder=ladder)).exit_code
        assert () == run.signals_sent
        if of_service:
            await one.start()
            assert signal.SIGTERM is (await overseer.stop("cat")).signal, "the next one has its own again"


async def test_ladder_of_a_stop_that_is_under_way_stays() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().ignores(signal.SIGINT))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = overseer.add("db", "db", stop=Stop(signal.SIGINT, 5))
        await service.start()
        first = asyncio.ensure_future(service.stop())
        await clock.settle()
        second = asyncio.ensure_future(service.stop(ladder=Stop(signal.SIGQUIT, 600)))
        await clock.advance(5.0)
        await asyncio.gather(first, second)
    assert [signal.SIGINT, signal.SIGKILL] == launcher.children[0].signals


async def test_end_of_a_block_waits_for_the_longer_ladder_of_a_stop() -> None:
    clock = ManualClock()
    process = Process("db", clock=clock, launcher=ScriptedLauncher(clock, FakeChild().ignores(signal.SIGTERM)))
    async with limit():
        await process.start()
        stopping = asyncio.ensure_future(process.stop(ladder=Stop(timeout=100)))
        await clock.settle()
        leaving = asyncio.ensure_future(process.__aexit__(None, None, None))
        await clock.advance(99.0)
        assert not leaving.done()
        await clock.advance(1.0)
        await asyncio.gather(stopping, leaving)
    assert (signal.SIGTERM, signal.SIGKILL) == process.signals_sent


async def test_ladder_of_a_stop_is_checked() -> None:
    async def work() -> None: ...

    async with Overseer() as overseer:
        with pytest.raises(SpecError, match=r"ladder=5 is no ladder: pass a Stop"):
            await overseer.add("db", "db").stop(ladder=5)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(SpecError, match="steps for a program"):
            await overseer.add_task("work", work).stop(ladder=Stop(steps=[Stop.close_stdin(1)]))


def test_threaded_overseer_takes_a_ladder_for_one_stop() -> None:
    with ThreadedOverseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe")
        service.start()
        assert 0 == overseer.stop("cat", ladder=Stop(steps=[Stop.close_stdin(9)])).exit_code


def test_threaded_overseer_takes_the_steps() -> None:
    with ThreadedOverseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe", stop=Stop(steps=[Stop.close_stdin(9)]))
        service.start()
        assert 0 == service.stop().exit_code


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis")
async def test_redis_shuts_down_by_its_command(tmp_path: Path) -> None:
    socket = str(tmp_path / "redis.sock")
    command = ["redis-cli", "-s", socket, "shutdown", "nosave"]
    async with limit(30), Overseer() as overseer:
        service = overseer.add(
            "redis",
            *("redis-server", "--port", "0", "--unixsocket", socket, "--save", ""),
            cwd=str(tmp_path),
            ready=ready.unix(socket),
            stop=Stop(steps=[Stop.command(command, 10)]),
        )
        await service.start()
        report = await overseer.stop_all()
    assert ((), (), 0) == (
        report.outcomes["redis"].signals,
        report.outcomes["redis"].failures,
        report.outcomes["redis"].status.exit_code,
    )
