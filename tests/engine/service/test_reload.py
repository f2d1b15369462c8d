"""Reload of a service: by a signal, by a command, and with the notification of systemd."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from aioverseer import (
    Every,
    NotReadyInTime,
    Overseer,
    OverseerError,
    Process,
    ProcessFailed,
    ProcessNotRunning,
    RunEnded,
    Service,
    SpawnError,
    SpecError,
    State,
    ThreadedOverseer,
    ready,
)
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit

SERVER = """
import os, signal, socket, sys, time
name = os.environ.get("NOTIFY_SOCKET", "")
name = "\\0" + name[1:] if name[:1] == "@" else name
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), name)
def hup():
    os.write(1, f"{who} reloads\\n".encode())
    if name:
        say("RELOADING=1")
        os.write(1, b"in between\\n")
        if os.path.exists(sys.argv[1]):
            say("READY=1")
who = "leader"
wanted = {signal.SIGHUP, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
if not name and not os.fork():
    who = "worker"
os.write(1, f"{who} is up\\n".encode())
if name:
    say("READY=1")
while True:
    hup() if signal.sigwait(wanted) == signal.SIGHUP else say("READY=1")
"""


def server(overseer: Overseer, file: Path | str = "/", **options: Any) -> Service:
    return overseer.add("web", *child(SERVER, str(file)), **options)


async def test_signal_goes_to_the_program_alone() -> None:
    up = ready.line("leader is up") & ready.line("worker is up")
    async with limit(), Overseer() as overseer:
        web = await server(overseer, ready=up, reload=signal.SIGHUP).start()
        lines, events = web.lines(), overseer.events()
        pid = web.pid
        await overseer.reload("web")
        assert "leader reloads" == (await lines.get()).text
        event = await anext(events)
        assert ("reload", "is asked to reload, by SIGHUP") == (event.kind, event.reason)
        assert (pid, State.RUNNING, 0) == (web.pid, web.state, lines.qsize())


async def test_notify_waits_until_the_program_is_ready_again() -> None:
    async with limit(), Overseer() as overseer:
        web = await server(overseer, "/no/such/file", ready=ready.notify(), reload="notify").start()
        lines, events = web.lines(), overseer.events()
        reloading = asyncio.create_task(web.reload())
        while (await lines.get()).text != "in between":
            pass
        assert not reloading.done()
        web.signal(signal.SIGUSR1)
        await reloading
        assert [
            "is asked to reload, by SIGHUP",
            "says that it reloads",
            "says that it is ready again, after it said 'reloads'",
            "has reloaded",
        ] == [(await anext(events)).reason for _ in range(4)]


async def test_program_with_another_probe_may_notify_too() -> None:
    """It gets the socket for that alone. The first READY=1, of its start, does not count."""
    async with limit(), Overseer() as overseer:
        web = await server(overseer, ready=ready.line("is up"), reload="notify").start()
        lines = web.lines()
        await asyncio.gather(web.reload(), web.reload())
        assert ["leader reloads", "in between"] * 2 == [(await lines.get()).text for _ in range(4)]


async def test_program_that_says_nothing_in_time() -> None:
    async with limit(), Overseer() as overseer:
        web = await server(overseer, "/no/such/file", ready=ready.notify(), reload="notify").start()
        with pytest.raises(NotReadyInTime, match=r"within 0.05 s: it did not send READY=1"):
            await web.reload(timeout=0.05)
        assert State.RUNNING is web.state
        lines = web.lines()
        reloading = asyncio.create_task(web.reload(timeout=None))
        while (await lines.get()).text != "in between":
            pass
        web.signal(signal.SIGUSR1)
        await reloading


def scripted(child: FakeChild) -> tuple[ManualClock, ScriptedLauncher]:
    clock = ManualClock()
    return clock, ScriptedLauncher(clock, child)


async def test_more_time_is_given_to_a_program_that_asks_for_it() -> None:
    script = FakeChild().notifies("READY=1")
    script = script.on(signal.SIGHUP, FakeChild().notifies("RELOADING=1", "EXTEND_TIMEOUT_USEC=60000000"))
    clock, launcher = scripted(script)
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        web = await overseer.add("web", "web", ready=ready.notify(), reload="notify").start()
        reloading = asyncio.create_task(web.reload(timeout=10))
        await clock.advance(59)
        assert not reloading.done()
        await clock.advance(2)
        with pytest.raises(NotReadyInTime):
            await reloading


async def test_end_of_the_run_ends_the_wait() -> None:
    async with limit(), Overseer() as overseer:
        web = await server(overseer, "/no/such/file", ready=ready.notify(), reload="notify").start()
        reloading = asyncio.create_task(web.reload())
        lines = web.lines()
        while (await lines.get()).text != "in between":
            pass
        web.signal(signal.SIGKILL)
        with pytest.raises(RunEnded, match="'web' was not reloaded: its run has ended before, was killed by SIGKILL"):
            await reloading


COMMAND = ["sh", "-c", 'echo "$MOOD $PWD {pid} $0"', "{pid}"]


async def test_command_runs_on_behalf_of_the_program(tmp_path: Path) -> None:
    """Its output is among the lines of the service, and its words have the process id."""
    async with limit(), Overseer() as overseer:
        web = overseer.add("web", "sleep", "60", reload=COMMAND, cwd=tmp_path, extra_env={"MOOD": "good"})
        lines = (await web.start()).lines()
        await web.reload()
        line = await lines.get()
        assert (f"good {tmp_path} {web.pid} {web.pid}", "stderr", 1) == (line.text, line.stream, line.run)


async def test_command_that_fails_raises_its_last_lines() -> None:
    async with limit(), Overseer() as overseer:
        web = await overseer.add(
            "web", "sleep", "60", reload=["sh", "-c", "echo line 3; echo no semicolon; exit 2"]
        ).start()
        events = overseer.events()
        with pytest.raises(ProcessFailed) as caught:
            await web.reload()
        assert ("line 3", "no semicolon") == caught.value.lines
        assert "failed: exited with code 2: no semicolon" in str(caught.value)
        assert State.RUNNING is web.state
        command = "`sh -c 'echo line 3; echo no semicolon; exit 2'`"
        assert [
            f"is asked to reload, by {command}",
            f"was not reloaded: {command} failed: exited with code 2: no semicolon",
        ] == [(await anext(events)).reason for _ in range(2)]


async def test_command_that_is_missing_is_an_error_of_its_own() -> None:
    async with limit(), Overseer() as overseer:
        web = await overseer.add("web", "sleep", "60", reload=["no-such-program"]).start()
        with pytest.raises(SpawnError, match="no-such-program"):
            await web.reload()


HANGS = ["sh", "-c", 'echo $$ > "$0"; exec sleep 60']


@pytest.mark.parametrize("how", ["timeout", "cancel", "stop", "leave"])
async def test_command_is_killed_when_nobody_waits_for_it(tmp_path: Path, how: str) -> None:
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    async with limit():
        async with Overseer() as overseer:
            web = await overseer.add("web", "sleep", "60", reload=[*HANGS, str(fifo)]).start()
            reloading = asyncio.create_task(web.reload(timeout=0.5 if how == "timeout" else 30))
            pid = int(await asyncio.to_thread(fifo.read_text))
            if how == "cancel":
                reloading.cancel()
            elif how == "stop":
                await web.stop()
            if how != "leave":
                with pytest.raises((NotReadyInTime, asyncio.CancelledError, RunEnded)):
                    await reloading
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)
        if how == "leave":
            with pytest.raises(RunEnded):
                await reloading
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


async def test_one_reload_follows_the_other(tmp_path: Path) -> None:
    """A configuration that has changed after the first one has read it is read by the second one."""
    words = ["sh", "-c", 'mkdir "$0" && rmdir "$0"', str(tmp_path / "lock")]
    async with limit(), Overseer() as overseer:
        web = await overseer.add("web", "sleep", "60", reload=words).start()
        await asyncio.gather(*(web.reload() for _ in range(5)))


async def test_cancelled_reload_lets_the_next_one_go_on(tmp_path: Path) -> None:
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    async with limit(), Overseer() as overseer:
        web = await overseer.add(
            "web", "sleep", "60", reload=["sh", "-c", '[ -e "$1" ] || read x < "$0"', str(fifo), str(tmp_path / "go")]
        ).start()
        first, second = asyncio.create_task(web.reload()), asyncio.create_task(web.reload())
        await asyncio.sleep(0)
        (tmp_path / "go").touch()
        first.cancel()
        await second


async def test_reload_needs_a_ready_program_and_the_option() -> None:
    async with limit(), Overseer() as overseer:
        web = overseer.add("web", "sleep", "60", reload=signal.SIGHUP)
        other = await overseer.add("other", "sleep", "60").start()
        with pytest.raises(ProcessNotRunning, match="'web' cannot reload: it is initial"):
            await web.reload()
        with pytest.raises(SpecError, match="'other' has no way to reload"):
            await other.reload()
        overseer.update("other", reload="notify")
        with pytest.raises(SpecError, match="from its next run on: restart it first"):
            await other.reload()
        overseer.update("other", reload=["true"])
        await other.reload()


async def test_refusal_says_what_to_do() -> None:
    clock, launcher = scripted(FakeChild().runs(2).exits(0))
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        job = overseer.add("job", "job", reload=["true"], schedule=Every(60))
        web = overseer.add("web", "web", reload=["true"], ready=ready.line("up"))
        external = overseer.add_external("db", ready=ready.tcp(1))
        with pytest.raises(ProcessNotRunning, match=r"it is initial, .*: start it, and it reads its config"):
            await web.reload()
        await job.start()
        with pytest.raises(ProcessNotRunning, match=r"it is waiting, .*: its next run reads its configuration anyway"):
            await overseer.reload("job")
        starting = asyncio.create_task(web.start())
        await clock.advance(1)
        with pytest.raises(ProcessNotRunning, match=r"it is starting, .*: wait for ready\(\)"):
            await web.reload()
        starting.cancel()
        with pytest.raises(OverseerError, match="'db' is an external service, which no signal"):
            await external.reload()


async def test_set_reloads_one_after_the_other(tmp_path: Path) -> None:
    """The first failure leaves the rest with the configuration that they have."""
    good = ["sh", "-c", "test ! -e bad || exit 3; echo {index} >> out"]
    async with limit(), Overseer() as overseer:
        web = overseer.add_instances("web", "sleep", "60", instances=3, reload=good, cwd=tmp_path)
        with pytest.raises(ProcessNotRunning, match="'web' cannot reload: it is initial"):
            await web.reload()
        await web.start()
        await web[1].stop()
        await overseer.reload("web")
        assert "0\n2\n" == (tmp_path / "out").read_text()
        (tmp_path / "bad").touch()
        with pytest.raises(ProcessFailed, match="was not reloaded: `sh"):
            await web.reload()


def test_process_has_no_reload() -> None:
    with pytest.raises(SpecError, match="reload='notify' is for a Service"):
        Process("true", reload="notify")


def test_reload_without_an_event_loop() -> None:
    with ThreadedOverseer() as overseer:
        web = overseer.add("web", sys.executable, "-c", "import time; time.sleep(60)", reload=["false"]).start()
        with pytest.raises(ProcessFailed):
            overseer.reload("web")
        overseer.update("web", reload=["true"])
        web.reload(timeout=10)
