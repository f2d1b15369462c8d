"""Hooks: commands that are started for events."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from aioverseer import (
    CriticalServiceEnded,
    Event,
    EventHook,
    EventStream,
    Every,
    Overseer,
    Restart,
    SpecError,
    State,
    Stop,
    ThreadedOverseer,
)
from aioverseer._engine.overseer import event_hooks
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.overseers import is_alive
from tests.support.programs import child, limit

HOOK = "hook notify"
NOTIFY = ["notify"]
READS = FakeChild().reads_all().exits()
FAILS = FakeChild().runs(1).exits(3)
NEVER = Restart("never")


def given(launcher: ScriptedLauncher, id: str = HOOK) -> list[dict[str, Any]]:
    """Return the events that the commands of a hook have got, in the order of their start."""
    found: list[dict[str, Any]] = []
    for each in launcher.of(id):
        assert each.stdin is not None
        text = bytes(each.stdin.received).decode()
        assert text.endswith("\n")
        found.append(json.loads(text))
    return found


def scripted(**scripts: FakeChild | list[FakeChild]) -> tuple[ManualClock, ScriptedLauncher]:
    clock = ManualClock()
    hook = scripts.pop("hook", READS)
    return clock, ScriptedLauncher(clock, FakeChild(), by_id={HOOK: hook, **scripts})


async def test_command_gets_the_event_as_json() -> None:
    clock, launcher = scripted(web=FAILS)
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        hook = overseer.add_hook(on=["fatal", "failed"], run=NOTIFY, services="web", cwd="/srv", extra_env={"A": "1"})
        assert (hook,) == overseer.hooks
        web, db = overseer.add("web", "web", restart=NEVER), overseer.add("db", "db", restart=NEVER)
        events = overseer.events()
        await asyncio.gather(web.start(), db.start())
        await clock.advance(1)
        await web.wait()
        await clock.advance(0)
        seen = [event async for event in _until(events, lambda event: event.state is State.FINISHED)]
        assert [seen[-1].to_json()] == given(launcher)
        [run] = launcher.of(HOOK)
        assert (("notify",), "/srv", {"A": "1"}) == (run.spec.argv, run.spec.cwd, run.spec.extra_env)


async def _until(events: EventStream, last: Callable[[Event], bool]) -> AsyncIterator[Event]:
    async for event in events:
        yield event
        if last(event):
            return


@pytest.mark.parametrize(
    ("options", "script", "wanted"),
    [
        ({"restart": NEVER}, FAILS, ["finished"]),
        ({"restart": NEVER}, FakeChild().runs(1).exits(0), []),
        ({"restart": NEVER}, FakeChild().runs(1).dies(signal.SIGSEGV), ["interrupted"]),
        ({"restart": Restart(max_restarts=1)}, FAILS, ["fatal"]),
        ({"restart": NEVER, "stop": Stop(timeout=1)}, FakeChild().ignores(signal.SIGTERM), []),
        ({"schedule": Every(10), "restart": NEVER}, FAILS, ["waiting", "waiting"]),
        ({"schedule": Every(10), "restart": Restart(max_restarts=0)}, FAILS, ["waiting", "waiting"]),
    ],
)
async def test_failed_is_an_end_by_a_failure(options: dict[str, Any], script: FakeChild, wanted: list[str]) -> None:
    """A restart, a success and a stop are none. Of a schedule, each failed run is one."""
    clock, launcher = scripted(web=script)
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add_hook(on="failed", run=NOTIFY)
        web = overseer.add("web", "web", **options)
        await web.start()
        await clock.advance(25)
        stopping = asyncio.create_task(web.stop())
        await clock.advance(5)
        await stopping
        assert wanted == [event["state"] for event in given(launcher)]


async def test_kinds_and_sets_of_instances() -> None:
    clock, launcher = scripted(web=FakeChild().notifies("STATUS=busy"))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add_hook(on="change", run=["notify"], services="web")
        overseer.add_hook(on=State.RUNNING, run=["other"], services=["web.1", "db"])
        launcher.script("hook other", READS)
        web, db = overseer.add_instances("web", "web", instances=2), overseer.add("db", "db")
        await asyncio.gather(web.start(), db.start())
        overseer.update("web", nice=1, by="me")
        overseer.update("db", nice=1)
        await clock.advance(0)
        assert [("web.0", "change", "me"), ("web.1", "change", "me")] == [
            (event["id"], event["kind"], event["by"]) for event in given(launcher)
        ]
        assert ["db", "web.1"] == sorted(event["id"] for event in given(launcher, "hook other"))


async def test_runs_are_bounded_and_keep_the_order() -> None:
    slow = FakeChild().reads_all().runs(1).exits()
    clock, launcher = scripted(hook=slow)
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add_hook(on="running", run=NOTIFY)
        overseer.add_hook(on="running", run=["other"], max_running=2)
        launcher.script("hook other", slow)
        await asyncio.gather(*(overseer.add(f"s{number}", "s").start() for number in range(4)))
        await clock.advance(0.5)
        assert (1, 2) == (len(launcher.of(HOOK)), len(launcher.of("hook other")))
        await clock.advance(2)
        assert (3, 4) == (len(launcher.of(HOOK)), len(launcher.of("hook other")))
        await clock.advance(2)
        seqs = [event["seq"] for event in given(launcher)]
        assert (4, sorted(seqs)) == (len(seqs), seqs)


async def test_oldest_events_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_hooks, "MOST_PENDING", 2)
    clock, launcher = scripted(hook=FakeChild().reads_all().runs(1).exits())
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add_hook(on="change", run=NOTIFY)
        overseer.add("web", "web")
        for number in range(7):
            overseer.update("web", nice=number)
            await clock.advance(0)
        await clock.advance(5)
        assert [(1, 0), (6, 4), (7, 0)] == [(event["seq"], event["missed"]) for event in given(launcher)]
    assert 1 == caplog.text.count("hook notify is too slow: 2 events wait for it, and the oldest are dropped")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (FakeChild().reads_all().prints("no route").exits(2), ["exited with code 2", "last lines:\n  no route"]),
        (FakeChild().reads_all().dies(signal.SIGSEGV), ["SIGSEGV"]),
        (FakeChild().cannot_start(number=2), ["there is no such program"]),
        (FakeChild().ignores(signal.SIGTERM), ["ran for longer than max_runtime=5 s"]),
    ],
)
async def test_failure_is_logged_and_no_event(
    script: FakeChild, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """No hook gets an event about a hook, itself included."""
    clock, launcher = scripted(hook=script)
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add_hook(on="change", run=NOTIFY, timeout=5)
        overseer.add_hook(on=sorted({"state", "log", "health", "leftovers", "stop", "change"}), run=["all"])
        launcher.script("hook all", FakeChild().exits())
        overseer.add("web", "web")
        overseer.update("web", nice=1)
        await clock.advance(60)
        assert (1, 1) == (len(launcher.of("hook all")), overseer._publisher._journal.seq)
        assert all(each.has_ended for each in launcher.children if each.spec.id != "web")
    [record] = [record for record in caplog.records if "hook notify failed" in record.message]
    assert logging.WARNING == record.levelno
    assert "failed for event 1 (web is initial): " in record.message
    assert all(word in record.message for word in words)


async def test_warnings_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    clock, launcher = scripted(hook=FakeChild().exits(1))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add_hook(on="change", run=NOTIFY)
        overseer.add("web", "web")
        for number in range(40):
            overseer.update("web", nice=number % 15)
        await clock.advance(1)
        assert 40 == len(launcher.of(HOOK))
    assert 10 == sum(record.levelno == logging.WARNING for record in caplog.records)


async def test_removed_hook_gets_nothing_more() -> None:
    """Its command runs to its end, and events that wait for it are dropped."""
    clock, launcher = scripted(hook=FakeChild().reads_all().runs(5).exits())
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        hook = overseer.add_hook(EventHook(on="change", run=NOTIFY))
        overseer.add("web", "web")
        for number in range(3):
            overseer.update("web", nice=number)
        await clock.advance(1)
        overseer.remove_hook(EventHook(on="change", run=NOTIFY))
        overseer.update("web", nice=5)
        await clock.advance(60)
        assert ((), 1) == (overseer.hooks, len(given(launcher)))
        with pytest.raises(SpecError, match="there is no such hook"):
            overseer.remove_hook(hook)
        overseer.add_hook(hook)
        with pytest.raises(SpecError, match="there is an equal hook already"):
            overseer.add_hook(on="change", run=NOTIFY)
        with pytest.raises(SpecError, match="an EventHook alone"):
            overseer.add_hook(hook, timeout=5)  # type: ignore[call-overload]  # wrong on purpose
        overseer.update("web", nice=6)
        await clock.advance(60)
        assert 2 == len(given(launcher))


async def test_hook_hears_of_the_end_of_the_overseer() -> None:
    """The failure that ends everything is the one that matters most."""
    clock, launcher = scripted(web=FAILS)
    overseer = Overseer(clock=clock, launcher=launcher)
    overseer.add_hook(on=["failed", "interrupted"], run=NOTIFY)
    async with limit():
        with pytest.raises(CriticalServiceEnded):
            await fail_in_a_block(overseer, clock)
    assert [("web", "finished"), ("db", "interrupted")] == [(event["id"], event["state"]) for event in given(launcher)]
    async with limit(), overseer:  # it may be entered again
        overseer.update("db", nice=3)
        assert 2 == len(given(launcher))
        overseer.add_hook(on="change", run=NOTIFY)
        overseer.update("db", nice=4)
        await clock.advance(0)
        assert 3 == len(given(launcher))


async def fail_in_a_block(overseer: Overseer, clock: ManualClock) -> None:
    async with overseer:
        overseer.add("web", "web", restart=NEVER, critical=True)
        overseer.add("db", "db")
        await overseer.start_all()
        await clock.advance(2)
        await clock.sleep(60)


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 10.0), (20.0, 10.0), (5.0, 3.0), (2.5, 1.0)])
async def test_leaving_waits_for_a_bounded_time(
    timeout: float | None, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Services take two seconds here, and a command that does not end gets SIGTERM and two seconds more."""
    stubborn = FakeChild().ignores(signal.SIGTERM)
    clock, launcher = scripted(hook=stubborn, web=FakeChild().ends_on(signal.SIGTERM, after=2))
    overseer = Overseer(clock=clock, launcher=launcher, shutdown_timeout=timeout)
    async with limit():
        await overseer.__aenter__()
        overseer.add_hook(on=["running", "interrupted"], run=NOTIFY, timeout=60)
        await overseer.add("web", "web").start()
        leaving = asyncio.create_task(overseer.__aexit__(None, None, None))
        await clock.advance(2 + seconds + 1.9)
        [run] = launcher.of(HOOK)
        assert (False, False) == (run.has_ended, leaving.done())
        await clock.advance(0.2)
        await leaving
        assert run.has_ended
    assert "hook notify has not ended in time, and is stopped: 1 run, and 1 event that waited" in caplog.text


async def test_both_time_limits_stop_a_command_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit in real time is over at once, and the command still runs when that of the clock is."""
    monkeypatch.setattr(event_hooks, "_PATIENCE", 0.0)
    clock, launcher = scripted(hook=FakeChild().ignores(signal.SIGTERM))
    caplog.set_level(logging.INFO, "aioverseer")
    async with limit():
        overseer = Overseer(clock=clock, launcher=launcher)
        await overseer.__aenter__()
        overseer.add_hook(on="running", run=NOTIFY, timeout=60)
        await overseer.add("web", "web").start()
        await clock.advance(0)
        leaving = asyncio.create_task(overseer.__aexit__(None, None, None))
        while "has not ended in time" not in caplog.text:
            await asyncio.sleep(0)
        await clock.advance(3)
        await leaving
    assert 1 == caplog.text.count("has not ended in time")


async def test_command_that_cannot_be_killed_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    """As one that waits for a device. The next event gets its command, and the overseer is left."""
    immortal = FakeChild().ignores(signal.SIGTERM, signal.SIGKILL)
    clock, launcher = scripted()
    launcher.script(HOOK, immortal, READS)
    overseer = Overseer(clock=clock, launcher=launcher)
    async with limit():
        await overseer.__aenter__()
        overseer.add_hook(on="change", run=NOTIFY, timeout=5)
        overseer.add("web", "web")
        overseer.update("web", nice=1)
        overseer.update("web", nice=2)
        await clock.advance(60)
        assert [False, True] == [each.has_ended for each in launcher.of(HOOK)]
        await overseer.__aexit__(None, None, None)
    assert "hook notify failed for event 1 (web is initial): it still exists after its whole ladder" in caplog.text


async def test_no_command_starts_outside_of_the_block() -> None:
    clock, launcher = scripted()
    overseer = Overseer(clock=clock, launcher=launcher)
    overseer.add_hook(on="change", run=NOTIFY)
    overseer.add("web", "web")
    overseer.update("web", nice=1)
    async with limit(), overseer:
        await clock.advance(1)
    overseer.update("web", nice=2)
    await asyncio.sleep(0)
    assert [] == launcher.children


async def test_an_error_whose_text_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The log records of services would need the text too, so they are off."""

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    async def fail() -> None:
        raise Unprintable

    caplog.set_level(logging.ERROR, "aioverseer")
    async with limit(), Overseer(containment="basic") as overseer:
        overseer.add_hook(on="failed", run=["true"])
        service = overseer.add_task("web", fail, restart=NEVER)
        await service.start()
        await service.wait()
    assert "hook true: cannot be started" in caplog.text


# Real programs.


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie, which nobody may have reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def hanging(fifo: Path) -> tuple[str, ...]:
    """Return a command that writes its pid to a new fifo, and hangs."""
    os.mkfifo(fifo)
    return child(f"""
        import os, time
        with open({str(fifo)!r}, "w") as up:
            up.write(str(os.getpid()))
        time.sleep(60)
    """)


async def test_real_command_reads_a_long_event(tmp_path: Path) -> None:
    """Longer than a pipe. The environment is that of the host."""
    to = tmp_path / "event"
    text = "sys.stdin.read() + os.environ['HOME'] + os.environ['A']"
    code = f"import sys, os; open({str(to)!r}, 'w').write({text})"
    async with limit(), Overseer(containment="basic") as overseer:
        overseer.add_hook(on="finished", run=child(code), extra_env={"A": "-1"})
        service = overseer.add("web", "true", "x" * 120_000, restart=NEVER)
        await service.start()
        await service.wait()
    event, _, rest = to.read_text().partition("\n")
    assert ("x" * 120_000, f"{os.environ['HOME']}-1") == (json.loads(event)["status"]["argv"][1], rest)


async def test_command_that_does_not_read_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with limit(), Overseer(containment="basic") as overseer:
        overseer.add_hook(on="finished", run=["true"])
        service = overseer.add("web", "true", "x" * 120_000, restart=NEVER)
        await service.start()
        await service.wait()
    assert "hook true" not in caplog.text


async def test_what_a_command_starts_ends_with_it(tmp_path: Path) -> None:
    """Also when it fills its output, and when it is over its time."""
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! >>{pids}; setsid sleep 60 & echo $! >>{pids}; echo $$ >>{pids}; "
    async with limit(20), Overseer(containment="basic") as overseer:
        overseer.add_hook(on="finished", run=["sh", "-c", script + "head -c 300000 /dev/zero"])
        overseer.add_hook(on="finished", run=["sh", "-c", script + "sleep 60"], timeout=0.2)
        service = overseer.add("web", "true", restart=NEVER)
        await service.start()
        await service.wait()
    started = [int(pid) for pid in pids.read_text().split()]
    assert 6 == len(started)
    assert [] == [pid for pid in started if lives(pid)]


async def test_leaving_ends_a_command_that_hangs(tmp_path: Path) -> None:
    up = tmp_path / "up"
    async with limit(20):
        async with Overseer(containment="basic", shutdown_timeout=0.2) as overseer:
            overseer.add_hook(on="running", run=hanging(up))
            await overseer.add("web", "sleep", "60").start()
            pid = int(await asyncio.to_thread(up.read_text))
            assert is_alive(pid)
        assert not is_alive(pid)


def test_end_of_the_loop_kills_the_command(tmp_path: Path) -> None:
    """All tasks are cancelled, those of the overseer too."""
    up = tmp_path / "up"
    found: list[int] = []

    async def hold(started: asyncio.Event) -> None:
        async with Overseer(containment="basic") as overseer:
            overseer.add_hook(on="running", run=hanging(up))
            await overseer.add("web", "sleep", "60").start()
            found.append(int(await asyncio.to_thread(up.read_text)))
            started.set()
            await asyncio.sleep(60)

    async def main() -> None:
        started = asyncio.Event()
        holder = asyncio.create_task(hold(started))
        await started.wait()
        assert not holder.done()

    asyncio.run(main())
    assert not is_alive(found[0])


def test_threaded_overseer_has_hooks(tmp_path: Path) -> None:
    to = tmp_path / "event"
    with ThreadedOverseer(containment="basic") as overseer:
        hook = overseer.add_hook(on=State.FINISHED, run=["sh", "-c", f"cat >>{to}"])
        assert [hook] == list(overseer.hooks)
        overseer.add("web", "false", restart=NEVER).start()
        overseer["web"].wait()
    assert "finished" == json.loads(to.read_text())["state"]
    overseer.remove_hook(hook)
    assert [] == list(overseer.hooks)
    assert hook == overseer.add_hook(hook)
