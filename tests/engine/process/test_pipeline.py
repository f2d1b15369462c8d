"""Pipelines: two or more programs that the kernel joins by a pipe."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from aioverseer import (
    Backoff,
    Exit,
    LineQueue,
    LogFile,
    Overseer,
    Process,
    ProcessFailed,
    ProcessNotRunning,
    Restart,
    SpawnError,
    Spec,
    SpecError,
    State,
    Stop,
    ThreadedOverseer,
    framing,
    ready,
)
from aioverseer._system.process import launcher
from aioverseer._system.process.spawn_asyncio import AsyncioSpawner
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit

FOREVER = ("sh", "-c", 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done')
"""Says something when it is asked to end."""


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


async def test_output_of_one_program_is_the_input_of_the_next() -> None:
    first = Process("seq", "10")
    async with limit():
        status = await Process("wc", "-l", stdin=first)
    assert (["10"], State.FINISHED) == ([line.strip() for line in status.stdout or []], status.state)
    assert (State.FINISHED, 0) == (first.state, first.status().exit_code)


async def test_three_programs_each_have_a_status() -> None:
    process = Process("sort", "-rn", stdin=Process("grep", "1", stdin=Process("seq", "12")))
    async with limit():
        assert ["12", "11", "10", "1"] == (await process).stdout
    middle = process.upstream
    assert middle is not None
    assert middle.upstream is not None
    assert [0, 0, 0] == [one.status().exit_code for one in (process, middle, middle.upstream)]
    assert None is middle.upstream.upstream


async def test_bytes_pass_unchanged_and_not_through_the_host(tmp_path: Path) -> None:
    data = os.urandom(300_000) * 20
    (tmp_path / "big").write_bytes(data)
    with (tmp_path / "packed").open("wb") as file:
        async with limit(60):
            status = await Process("gzip", "-1", stdin=Process("cat", str(tmp_path / "big")), stdout=file)
    assert (True, None) == (status.ok, status.stdout)
    with gzip.open(tmp_path / "packed") as packed:
        assert hashlib.sha256(data).digest() == hashlib.sha256(packed.read()).digest()


async def test_reader_that_has_enough_is_no_failure() -> None:
    process = Process("head", "-n", "1", stdin=Process("yes"))
    async with limit():
        status = await process
    assert (["y"], True) == (status.stdout, status.ok)
    assert process.upstream is not None
    assert signal.SIGPIPE is process.upstream.status().signal


async def test_failure_of_the_first_program_is_one_of_the_pipeline() -> None:
    """As with ``pipefail``: half a dump is not a success."""
    process = Process("cat", stdin=Process("sh", "-c", "echo half; echo why >&2; exit 3", id="dump"))
    async with limit():
        status = await process
    assert (["half"], 3, False) == (status.stdout, status.exit_code, status.ok)
    assert "exited with code 3; that is how its input 'dump' ended" == status.reason
    assert process.upstream is not None
    assert ["why"] == process.upstream.status().stderr


async def test_failure_of_the_first_of_three_names_that_program() -> None:
    first = Process("sh", "-c", "exit 3", id="dump")
    async with limit():
        status = await Process("cat", stdin=Process("cat", stdin=first, id="middle"))
    assert "exited with code 3; that is how its input 'dump' ended" == status.reason


@pytest.mark.parametrize("streams", [False, True], ids=["buffered", "streaming"])
async def test_error_shows_the_last_lines_of_the_program_that_has_failed(streams: bool) -> None:
    """The output of the last program does not say why the one in the middle has failed."""
    middle = Process("sh", "-c", "cat; echo why >&2; exit 3", id="middle", stdin=Process("echo", "text"))
    process = Process("wc", "-l", stdin=middle, streaming="stdout" if streams else False)
    async with limit():
        status = await process
    with pytest.raises(ProcessFailed, match=r"that is how its input 'middle' ended\nlast lines:\n  why$"):
        status.check()


async def test_own_failure_goes_before_that_of_the_first_program() -> None:
    async with limit():
        status = await Process("sh", "-c", "cat; exit 4", stdin=Process("sh", "-c", "exit 3"))
    assert (4, "exited with code 4") == (status.exit_code, status.reason)


async def test_first_program_that_cannot_be_started_fails_the_start() -> None:
    before = descriptors()
    process = Process("cat", stdin=Process("no-such-program"))
    async with limit():
        with pytest.raises(SpawnError, match=r"its input: .*there is no program 'no-such-program'") as caught:
            await process.start()
    assert (2, State.FATAL) == (caught.value.errno, process.state)
    assert before == descriptors()


async def test_second_program_that_cannot_be_started_ends_the_first_one() -> None:
    before = descriptors()
    first = Process("sleep", "600")
    async with limit():
        with pytest.raises(SpawnError, match="no-such-program"):
            await Process("no-such-program", stdin=first).start()
    assert (State.INTERRUPT, signal.SIGKILL) == (first.state, first.status().signal)
    assert before == descriptors()


@pytest.mark.parametrize(
    "options",
    [
        {"merge_stderr": True},
        {"framing": {"stdout": framing.chunks()}},
        {"framing": framing.chunks()},
        {"streaming": "stderr"},
    ],
    ids=str,
)
async def test_options_for_the_output_of_the_first_program_do_no_harm(options: dict[str, Any]) -> None:
    async with limit():
        status = await Process("cat", stdin=Process("echo", "data", **options))
    assert (True, ["data"]) == (status.ok, status.stdout)


@pytest.mark.parametrize("steps", range(12))
async def test_start_that_is_cancelled_leaves_nothing(steps: int) -> None:
    """At whatever iteration of the loop; tests/conftest.py looks for processes and tasks."""
    before = descriptors()
    first = Process("sleep", "600")
    process = Process("cat", stdin=first)
    async with limit(20):
        starting = asyncio.ensure_future(process.start())
        for _ in range(steps):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        if not starting.cancelled():
            await process.stop()
        assert not process.state.is_live
        assert not first.state.is_live
    assert before == descriptors()


@pytest.mark.parametrize("kill", [False, True])
async def test_stop_ends_the_delay_of_the_first_program(kill: bool) -> None:
    before = descriptors()
    process = Process("cat", stdin=Process("true", delay_start=600))
    async with limit():
        starting = asyncio.ensure_future(process.start())
        while process.upstream is None or process.upstream.state is State.INITIAL:
            await asyncio.sleep(0)
        status = await process.stop(kill=kill)
        await starting
    assert (State.INTERRUPT, "a stop was asked for before it was started") == (status.state, status.reason)
    assert State.INTERRUPT is process.upstream.state
    assert before == descriptors()


@pytest.mark.parametrize("kill", [False, True])
async def test_stop_during_the_start_is_no_failure(kill: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whatever iteration of the loop. A critical service that is stopped ends nothing else."""
    monkeypatch.setattr(launcher, "_SPAWNERS", (AsyncioSpawner(),))  # its spawn takes several iterations
    async with limit(30), Overseer() as overseer:
        service = overseer.add("pipe", "cat", stdin=Process("sleep", "600"), critical=True)
        for steps in range(1, 12):
            starting = asyncio.ensure_future(service.start())
            for _ in range(steps):
                await asyncio.sleep(0)
            status = await service.stop(kill=kill)
            await asyncio.wait([starting])
            starting.exception()
            assert (State.INTERRUPT, None) == (status.state, status.error), steps


async def test_stop_while_the_end_of_the_first_program_is_awaited() -> None:
    """The leader has ended, so the ladder asks nobody; nothing of it outlives the run."""
    first = Process("sleep", "600", stop=Stop(signal.SIGCONT, 600))
    process = Process("true", stdin=first, stop=Stop(steps=[Stop.command(["sleep", "600"], 600)]))
    async with limit(20):
        await process.start()
        while process.stopped_at is None:
            await asyncio.sleep(0)
        stopping = asyncio.ensure_future(process.stop())
        while not first.signals_sent:
            await asyncio.sleep(0)
        first.signal(signal.SIGKILL)
        status = await stopping
    assert (State.INTERRUPT, 0) == (status.state, status.exit_code)


async def test_stop_begins_with_the_first_program() -> None:
    """The second one reads its last words, and ends by itself at their end."""
    process = Process("cat", stdin=Process(*FOREVER), streaming=True)
    async with limit(20), process:
        assert "up" == await process.stdout.get()
        status = await process.stop()
        assert ["bye"] == [line async for line in process.stdout]
    assert (State.INTERRUPT, 0, ()) == (status.state, status.exit_code, process.signals_sent)
    assert process.upstream is not None
    assert (signal.SIGTERM,) == process.upstream.signals_sent


async def test_program_that_ignores_the_end_of_its_input_gets_its_ladder() -> None:
    code = "print('up', flush=True); import time; time.sleep(600)"
    process = Process(*child(code), stdin=Process("sleep", "600"), streaming=True)
    async with limit(20), process:
        await process.stdout.get()
        status = await process.stop()
    assert (signal.SIGTERM, (signal.SIGTERM,)) == (status.signal, process.signals_sent)


async def test_first_program_that_needs_sigkill_is_told() -> None:
    """Its output may be incomplete, although the last program ends well."""
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); rest()"
    async with limit(20), Overseer() as overseer:
        events = overseer.events()
        first = Process(*child(code), id="dump", stop=Stop(timeout=0.1))
        lines = overseer.add("pack", "cat", stdin=first).lines()
        await overseer.start("pack")
        await lines.get()
        report = await overseer.stop_all()
        outcome = report.outcomes["pack"]
        assert ("stop of its input failed: 'dump' did not end before SIGKILL",) == outcome.failures
        assert "'dump' did not end before SIGKILL" in outcome.status.reason
        assert 0 == outcome.status.exit_code
        while (event := await anext(events)).kind != "stop" or "'dump'" not in event.reason:
            pass


async def test_first_program_that_outlives_sigkill_is_told(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    stubborn = FakeChild().ignores(signal.SIGTERM, signal.SIGKILL)
    launcher = ScriptedLauncher(clock, by_id={"dump": stubborn, "pack": FakeChild().runs(1).exits(0)})
    async with limit():
        spec = Spec.of("pack", ["pack"], stdin=Spec.of("dump", ["dump"]))
        process = Process.from_spec(spec, clock=clock, launcher=launcher)
        await process.start()
        waiting = asyncio.ensure_future(process.wait())
        for _ in range(4):
            await clock.advance(10.0)
        assert (await waiting).ok
        launcher.of("dump")[0].end(Exit(signal=signal.SIGKILL))
    assert "pack has ended, and stop of its input failed: 'dump' is still there after SIGKILL" in caplog.text


async def test_kill_ends_both_at_once() -> None:
    process = Process("cat", stdin=Process(*FOREVER), stop=Stop(timeout=600))
    async with limit(20):
        await process.start()
        status = await process.stop(kill=True)
    assert process.upstream is not None
    assert (signal.SIGKILL, State.INTERRUPT) == (status.signal, process.upstream.state)


async def test_idle_program_is_stopped_when_its_reader_has_ended() -> None:
    process = Process("true", stdin=Process("sleep", "600"))
    async with limit(20):
        status = await process
    assert process.upstream is not None
    assert (True, signal.SIGTERM) == (status.ok, process.upstream.status().signal)
    assert process.upstream.status().reason.startswith("the program that reads its output has ended")


async def test_each_run_of_a_service_has_a_pipeline_of_its_own() -> None:
    policy = Restart("always", max_restarts=2, backoff=Backoff(min=0))
    async with limit(30), Overseer() as overseer:
        first = Process("sh", "-c", "echo data; echo told >&2", id="dump")
        service = overseer.add("pack", "cat", stdin=first, restart=policy)
        status = await overseer.supervise("pack")
        lines = service.tail()
    assert ([1, 2, 3], 2) == (sorted({line.run for line in lines}), status.restarts)
    assert {("stdout", "data"), ("stderr", "told")} == {(line.stream, line.text) for line in lines}
    assert State.INITIAL is first.state


async def test_standard_error_of_all_programs_is_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with limit(30), Overseer() as overseer:
        first = Process("sh", "-c", "echo first >&2; echo data", id="first")
        middle = Process("sh", "-c", "cat; echo middle >&2", stdin=first)
        last = ("sh", "-c", "cat; echo last >&2")
        overseer.add("pipe", *last, stdin=middle, log=LogFile(path), restart=Restart("never"))
        await overseer.supervise("pipe")
    assert ["data", "first", "last", "middle"] == sorted(path.read_text().splitlines())


async def test_policy_judges_the_whole_pipeline() -> None:
    async with limit(30), Overseer() as overseer:
        first = Spec(id="dump", argv=("sh", "-c", "exit 3"))
        policy = Restart("on-failure", max_restarts=1, backoff=Backoff(min=0))
        overseer.add("pack", "cat", stdin=first, restart=policy)
        status = await overseer.supervise("pack")
    assert (State.FATAL, 1) == (status.state, status.restarts)
    assert "that is how its input 'dump' ended" in status.reason


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_service_whose_pipeline_has_a_missing_program_gives_up_at_once(place: int) -> None:
    programs = ["cat", "cat", "cat"]
    programs[place] = "no-such-program"
    async with limit(), Overseer() as overseer:
        middle = Process(programs[1], stdin=Process(programs[0]))
        overseer.add("pipe", programs[2], stdin=middle, restart=Restart("always", backoff=Backoff(min=60, max=60)))
        status = await overseer.supervise("pipe")
    assert (State.FATAL, 0) == (status.state, status.restarts)
    assert "there is no program 'no-such-program'" in status.reason


async def test_block_leaves_neither_program() -> None:
    async with limit(30), Overseer() as overseer:
        code = "import os; print(os.getpid(), flush=True); rest()"
        service = overseer.add("pipe", "cat", stdin=Process(*child(code)))
        lines = service.lines()
        await service.start()
        pids = [int((await lines.get()).text), service.status().pid or 0]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_clone_takes_clones_of_all_programs() -> None:
    process = Process("cat", stdin=Process("echo", "again"))
    async with limit():
        assert [["again"]] * 2 == [(await process).stdout, (await process.clone()).stdout]


async def test_program_that_was_started_before_is_refused() -> None:
    async with limit():
        first = Process("true")
        await first
        with pytest.raises(SpawnError, match="runs once: pass a clone"):
            await Process("cat", stdin=first).start()


def test_options_of_the_last_program_are_refused_before_it() -> None:
    with pytest.raises(SpecError, match="ready is an option of the last program of a pipeline"):
        Process("cat", stdin=Process("true", ready=ready.tcp(80)))
    with pytest.raises(SpecError, match="restart is an option of the last program of a pipeline"):
        Process("cat", stdin=Spec.of("first", ["true"], restart=Restart("always")))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"pty": True}, "leave pty out"),
        ({"stdout": "null"}, "leave stdout out"),
        ({"streaming": True}, 'streaming="stderr"'),
    ],
)
def test_program_whose_output_goes_elsewhere_is_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(SpecError, match=match):
        Process("cat", stdin=Process("true", **options))


async def test_other_inputs_are_refused_with_what_to_write() -> None:
    with pytest.raises(SpecError, match=r"stdin=Process\('first'\)"):
        Process("cat", stdin=LineQueue(10))
    async with Overseer() as overseer:
        service = overseer.add("db", "true")
        with pytest.raises(SpecError, match="a service is no input"):
            Process("cat", stdin=service)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(SpecError, match="pty"):
        Process("cat", pty=True, stdin=Process("true"))


def test_threaded_overseer_runs_a_pipeline() -> None:
    with ThreadedOverseer() as overseer:
        service = overseer.add("pipe", "cat", stdin=Process("cat", stdin="pipe", id="first"))
        runs = service.runs()
        service.start()
        run = next(runs)
        first = run.upstream
        assert first is not None
        assert first.upstream is None
        first.write("hello\n")
        first.write_eof()
        assert ["hello"] == list(run.stdout)
        assert [("pipe", 0), ("first", 0)] == [(one.status().id, one.status().exit_code) for one in (run, first)]
        with pytest.raises(ProcessNotRunning):
            first.write("late")


async def test_scripted_programs_start_and_stop_together() -> None:
    clock = ManualClock()
    scripted = ScriptedLauncher(clock, by_id={"first": FakeChild(), "second": FakeChild()})
    async with limit(), Overseer(clock=clock, launcher=scripted) as overseer:
        service = overseer.add("second", "second", stdin=Spec(id="first", argv=("first",)))
        await service.start()
        assert ["first", "second"] == [one.spec.id for one in scripted.children]
        stopping = asyncio.ensure_future(service.stop())
        await clock.settle()
        assert [[signal.SIGTERM], []] == [one.signals for one in scripted.children]
        await clock.advance(2.0)
        await stopping
        assert [[signal.SIGTERM], [signal.SIGTERM]] == [one.signals for one in scripted.children]
