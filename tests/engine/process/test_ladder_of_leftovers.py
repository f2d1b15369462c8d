"""The processes that a leader leaves behind get the steps of its ladder, at every level of containment."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, Process, Restart, State, Status, Stop, ThreadedOverseer
from aioverseer._system.containment import cgroup, procfs, strays
from aioverseer._system.containment.guardian import client as guardian_client
from aioverseer._system.containment.shim import client as shim_client
from aioverseer._system.containment.strays import StrayRegistry
from aioverseer._system.process.child import SystemChild
from aioverseer._system.protocols import Leftovers
from tests.support.programs import child, limit

SAVES = """
import os, signal, sys, time
def save(number, frame):
    print('saving', flush=True)
    time.sleep(0.3)
    with open(sys.argv[1], 'w') as file:
        file.write(signal.Signals(number).name)
    print('saved', flush=True)
    os._exit(0)
for number in signal.SIGTERM, signal.SIGINT:
    signal.signal(number, save)
if 'far' in sys.argv:
    os.setsid()
print('up', flush=True)
rest()
rest()
"""
"""Saves for a while when it is asked to end."""

STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if 'far' in sys.argv:
    os.setsid()
print(os.getpid(), flush=True)
rest()
"""
"""Does not end when it is asked to."""


@pytest.fixture(name="level", params=["basic", "guarded", "cgroup", "shim", "pidns"])
def level_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the value of the option ``containment`` for each mechanism that this machine has."""
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    kind = str(request.param)
    missing = {
        "guarded": guardian_client.missing,
        "cgroup": lambda: cgroup.tree().missing(),
        "shim": shim_client.missing,
        "pidns": shim_client.missing_namespace,
    }
    if kind in missing and (why := missing[kind]()) is not None:
        pytest.skip(why)
    if kind == "shim":
        monkeypatch.setattr(cgroup.Tree, "missing", lambda _self: "none is wanted")
    return {"cgroup": "strict", "shim": "strict"}.get(kind, kind)


@pytest.fixture(name="saved")
def saved_fixture(tmp_path: Path) -> Path:
    """Return the file that the program saves to."""
    return tmp_path / "saved"


def wrapped(script: str, code: str, *args: object) -> tuple[str, ...]:
    """Return a shell script that has the program as ``"$@"``."""
    return ("sh", "-c", script, "sh", *child(code, *map(str, args)))


async def up(process: Process) -> None:
    """Wait until the program below the wrapper is up."""
    assert process.stdout is not None
    assert "up" == await process.stdout.get()


PLACES = pytest.mark.parametrize("place", ["near", "far"])
"""Whether the program is in the group of its wrapper, or in a session of its own."""


@PLACES
async def test_program_behind_a_wrapper_saves_before_a_stop_ends(level: Any, saved: Path, place: str) -> None:
    """The wrapper dies at the first signal, and the program that it waited for does not."""
    async with limit(20):
        process = Process(*wrapped('"$@"; echo bye', SAVES, saved, place), containment=level, streaming=True)
        await process.start()
        await up(process)
        status = await process.stop()
        assert "SIGTERM" == saved.read_text()
        assert State.INTERRUPT is status.state
        assert status.reason.startswith("a stop was asked for; was killed by SIGTERM; left 1 process behind: pid ")
        assert status.reason.endswith(", ended by SIGTERM")
        assert process.stdout is not None
        assert ["saving", "saved"] == [line async for line in process.stdout]


@PLACES
async def test_program_saves_after_its_wrapper_has_ended_by_itself(level: Any, saved: Path, place: str) -> None:
    """The exit is that of the wrapper. The output of the rest is read up to its end."""
    async with limit(20):
        script = 'exec 3<"$1"; shift; "$@" & read -r line <&3; exit 3'
        gate = saved.with_name("gate")
        os.mkfifo(gate)
        holder = os.open(gate, os.O_RDWR)
        argv = ("sh", "-c", script, "sh", str(gate), *child(SAVES, str(saved), place))
        process = Process(*argv, containment=level, streaming=True)
        await process.start()
        await up(process)
        os.write(holder, b"\n")
        status = await process.wait()
        os.close(holder)
        assert ("SIGTERM", State.FINISHED, 3) == (saved.read_text(), status.state, status.exit_code)
        assert status.reason.startswith("exited with code 3; left 1 process behind: pid ")
        assert process.stdout is not None
        assert ["saving", "saved"] == [line async for line in process.stdout]


@PLACES
async def test_stop_after_the_end_of_the_wrapper_reaches_what_it_left(
    level: Any, saved: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No signal reaches the group through an ended leader, before it is known what the leader has left."""
    find_leftovers = SystemChild.find_leftovers
    stops: list[asyncio.Future[Status]] = []

    async def find_after_stop(self: SystemChild, *, everywhere: bool) -> Leftovers | None:
        stops.append(asyncio.ensure_future(process.stop()))
        await asyncio.sleep(0)
        return await find_leftovers(self, everywhere=everywhere)

    monkeypatch.setattr(SystemChild, "find_leftovers", find_after_stop)
    async with limit(20):
        script = 'exec 3<&0; "$@" & read -r line; exit 3'
        argv = wrapped(script, SAVES, saved, place)
        process = Process(*argv, containment=level, streaming=True, stdin="pipe", stop=Stop(timeout=5))
        await process.start()
        await up(process)
        await process.write("\n")
        status = await process.wait()
        assert [status] == [await stop for stop in stops]
        assert "SIGTERM" == saved.read_text()
        assert State.INTERRUPT is status.state
        assert status.reason.startswith("a stop was asked for; exited with code 3; left 1 process behind: pid ")


async def test_leader_scope_gives_the_rest_its_time_after_the_leader(level: Any, saved: Path) -> None:
    """The first step goes to the leader alone, then to the rest."""
    async with limit(20):
        stop = Stop(steps=[(signal.SIGINT, 5), (signal.SIGTERM, 5)], scope="leader")
        script = 'trap "exit 7" INT; exec 3<&0; "$@" & wait'
        process = Process(*wrapped(script, SAVES, saved), containment=level, streaming=True, stop=stop)
        await process.start()
        await up(process)
        status = await process.stop()
        assert ("SIGINT", 7) == (saved.read_text(), status.exit_code)
        assert [signal.SIGINT] == process._runner.machine.ladder.signals


@PLACES
async def test_stubborn_rest_is_killed_two_seconds_after_its_leader(level: Any, place: str) -> None:
    """It is named, with the signal that ended it."""
    async with limit(20):
        script = '"$@" & read -r line; exit 1'
        process = Process(
            *wrapped(script, STUBBORN, place), containment=level, streaming=True, stdin="pipe", merge_stderr=True
        )
        await process.start()
        assert process.stdout is not None
        await process.stdout.get()
        began = time.monotonic()
        await process.write("\n")
        status = await process.wait()
        assert 1.9 < time.monotonic() - began < 3.5
        assert (State.FINISHED, 1) == (status.state, status.exit_code)
        assert status.reason.endswith(", ended by SIGKILL")


@PLACES
async def test_stubborn_rest_is_killed_at_the_last_step(level: Any, place: str) -> None:
    """The ladder goes on when the leader ends first."""
    async with limit(20):
        stop = Stop(timeout=0.5)
        process = Process(*wrapped('"$@"; echo bye', STUBBORN, place), containment=level, streaming=True, stop=stop)
        await process.start()
        assert process.stdout is not None
        await process.stdout.get()
        began = time.monotonic()
        status = await process.stop()
        assert 0.4 < time.monotonic() - began < 2.5
        assert status.reason.endswith(", ended by SIGKILL")
        assert [signal.SIGTERM, signal.SIGKILL] == process._runner.machine.ladder.signals


async def test_kill_waits_for_nobody(level: Any, saved: Path) -> None:
    """Everything is killed at once."""
    async with limit(20):
        process = Process(*wrapped('"$@"; echo bye', SAVES, saved), containment=level, streaming=True)
        await process.start()
        await up(process)
        status = await process.stop(kill=True)
        assert (False, signal.SIGKILL) == (saved.exists(), status.signal)


async def test_kill_ends_the_wait_for_the_rest(level: Any) -> None:
    """The leader has ended, and the ladder has hours left."""
    async with limit(20):
        process = Process(
            *wrapped('"$@"; echo bye', STUBBORN), containment=level, streaming=True, stop=Stop(timeout=3600)
        )
        await process.start()
        assert process.stdout is not None
        await process.stdout.get()
        stopping = asyncio.ensure_future(process.stop())
        await process._runner.watch(lambda machine: machine.leader_exit is not None or machine.state.is_final)
        assert State.STOPPING is process.state
        assert "left 1 process behind" in process.status().reason
        status = await process.stop(kill=True)
        assert status == await stopping
        assert status.reason.endswith(", ended by SIGKILL")


async def test_restart_waits_for_the_rest_of_the_run_before(level: Any, saved: Path) -> None:
    """The service is STOPPING meanwhile, and its policy judges the exit of the leader."""
    async with limit(20), Overseer(containment=level) as overseer:
        again = Restart("always", max_restarts=1)
        script = 'exec 3<&0; "$@" & read -r line <&3; exit 1'
        service = overseer.add("web", *wrapped(script, SAVES, saved), restart=again, stdin="pipe")
        lines = service.lines()
        ends = asyncio.ensure_future(overseer.supervise("web"))
        seen: list[tuple[int, str]] = []
        while (2, "up") not in seen:
            line = await lines.get()
            seen.append((line.run, str(line.text)))
            if seen[-1] == (1, "up"):
                await service.write("\n")
        assert [(1, "up"), (1, "saving"), (1, "saved"), (2, "up")] == seen
        report = await overseer.stop_all()
        assert "left 1 process behind: pid " in str(report)
        await ends
    assert State.INTERRUPT is service.state


async def test_zombie_in_the_group_counts_as_gone() -> None:
    """Its parent lives and never reaps it, as in a container without an init. The parent itself cannot be found."""
    code = """
    import os, resource
    told, tell = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        os.setsid()
        for limit in 10, 15:  # the mark of the library
            resource.setrlimit(limit, resource.getrlimit(limit)[1:] * 2)
        print(os.getpid(), flush=True)
        null = os.open(os.devnull, os.O_RDWR)
        for number in 0, 1, 2:
            os.dup2(null, number)
        os.set_inheritable(tell, True)
        os.execve('/bin/sh', ['sh', '-c', f'echo >&{tell}; exec {tell}>&-; exec sleep 60'], {})
    os.read(told, 1)
    """
    async with limit(20):
        status = await Process(*child(code), stop=Stop(timeout=3600))
    os.kill(int((status.stdout or ["0"])[0]), signal.SIGKILL)
    assert "exited with code 0" == status.reason


async def test_crash_loop_that_leaves_nothing_looks_at_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the end for good does, although other processes were started meanwhile."""
    looks: list[int] = []

    def look(_registry: StrayRegistry) -> None:
        looks.append(service.status().restarts)

    monkeypatch.setattr(StrayRegistry, "left_nothing", lambda _registry: False)
    monkeypatch.setattr(StrayRegistry, "may_have_left", look)
    async with limit(20), Overseer(containment="basic") as overseer:
        again = Restart("on-failure", max_restarts=3, backoff=Backoff(0, 0))
        service = overseer.add("web", "sh", "-c", "exit 1", restart=again)
        await overseer.supervise("web")
        assert {3} == set(looks)


async def test_group_restart_waits_for_the_rest_of_each_member(saved: Path) -> None:
    """The member that is stopped for the sake of the others saves its data before it runs again."""
    async with limit(20), Overseer(containment="basic") as overseer:
        overseer.group("all", "one_for_all", restart=Restart(backoff=Backoff(0, 0)))
        overseer.add("failing", "sh", "-c", "read -r line; exit 1", stdin="pipe", group="all")
        service = overseer.add("app", *wrapped('"$@"; echo bye', SAVES, saved), group="all")
        lines = service.lines()
        await overseer.start_all()
        assert "up" == (await lines.get()).text
        await overseer["failing"].write("\n")
        seen = [str((await lines.get()).text) for _ in range(3)]
        assert (["saving", "saved", "up"], "SIGTERM") == (seen, saved.read_text())


async def test_time_for_all_is_the_time_of_the_rest_too() -> None:
    """With ``shutdown_timeout`` they are killed although the ladder has hours left."""
    async with limit(20), Overseer(containment="basic", shutdown_timeout=0.5) as overseer:
        service = overseer.add("app", *wrapped('"$@"; echo bye', STUBBORN), stop=Stop(timeout=3600))
        lines = service.lines()
        await service.start()
        pid = int((await lines.get()).text)
        report = await overseer.stop_all()
        assert [pid] == [left.pid for left in report.outcomes["app"].leftovers]
        assert ["app"] == report.escalated
    assert procfs.state_of(pid) in "ZX"


async def test_cancelled_stop_goes_on_while_the_rest_saves(saved: Path) -> None:
    """The caller is cancelled, not the stop."""
    async with limit(20):
        process = Process(*wrapped('"$@"; echo bye', SAVES, saved), streaming=True)
        await process.start()
        await up(process)
        stopping = asyncio.ensure_future(process.stop())
        await process._runner.watch(lambda machine: machine.leader_exit is not None)
        stopping.cancel()
        await asyncio.wait({stopping})
        assert stopping.cancelled()
        assert State.STOPPING is process.state
        status = await process.wait()
        assert (State.INTERRUPT, "SIGTERM") == (status.state, saved.read_text())


def test_end_of_the_loop_ends_the_rest_at_once() -> None:
    """The task of the run itself is cancelled while it waits."""
    pids: list[int] = []
    made: list[Process] = []

    async def main() -> None:
        process = Process(*wrapped('"$@"; echo bye', STUBBORN), streaming=True, stop=Stop(timeout=3600))
        made.append(process)
        await process.start()
        assert process.stdout is not None
        pids.append(int(str(await process.stdout.get())))
        asyncio.get_running_loop().create_task(process.stop())
        await process._runner.watch(lambda machine: machine.leader_exit is not None)

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 20
    assert State.INTERRUPT is made[0].state
    assert procfs.state_of(pids[0]) in "ZX"


def test_threaded_overseer_gives_the_rest_its_time(saved: Path) -> None:
    """A stop returns after the program below the wrapper has saved."""
    with ThreadedOverseer(containment="basic") as overseer:
        service = overseer.add("app", *wrapped('"$@"; echo bye', SAVES, saved))
        lines = service.lines()
        service.start()
        assert "up" == next(lines).text
        report = overseer.stop_all()
        assert "SIGTERM" == saved.read_text()
        assert [1] == [len(outcome.leftovers) for outcome in report.outcomes.values()]


JOB = 'trap "" TERM; set -m; "$@" & wait'
"""A shell that ignores the signal, and whose job has a group of its own."""
DEAF = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.run(sys.argv[1:], start_new_session=True)
"""
"""A parent that ignores the signal, and whose child has a session of its own."""


async def test_job_of_a_shell_that_tells_it_nothing_gets_the_step(level: Any, saved: Path) -> None:
    """It is in the session of the shell, so that nobody else would tell it."""
    async with limit(20):
        process = Process(*wrapped(JOB, SAVES, saved), containment=level, streaming=True)
        await process.start()
        await up(process)
        began = time.monotonic()
        status = await process.stop()
        assert time.monotonic() - began < 5
        assert "SIGTERM" == saved.read_text()
        assert State.INTERRUPT is status.state
        assert process.stdout is not None
        assert ["saving", "saved"] == [line async for line in process.stdout]


async def test_session_below_a_deaf_parent_gets_the_step_before_sigkill(level: Any, saved: Path) -> None:
    """Late, as most parents end what they have started in an order of their own."""
    async with limit(20):
        argv = child(DEAF, *child(SAVES, str(saved)))
        process = Process(*argv, containment=level, streaming=True, stop=Stop(timeout=2.0))
        await process.start()
        await up(process)
        began = time.monotonic()
        status = await process.stop()
        assert 1.0 <= time.monotonic() - began < 1.9
        assert ("SIGTERM", 0) == (saved.read_text(), status.exit_code)
        assert process.stdout is not None
        assert ["saving", "saved"] == [line async for line in process.stdout]


ORDERLY = """
import signal, subprocess, sys, time
def stop(number, frame):
    time.sleep(0.5)
    below.send_signal(signal.SIGINT)
    below.wait()
    sys.exit(0)
below = subprocess.Popen(sys.argv[1:], start_new_session=True)
signal.signal(signal.SIGTERM, stop)
rest()
"""
"""A parent that needs half a second before it ends what it has started, as another supervisor does."""


async def test_parent_may_end_a_session_of_its_own_in_its_own_way(level: Any, saved: Path) -> None:
    """No signal from elsewhere disturbs that."""
    async with limit(20):
        process = Process(*child(ORDERLY, *child(SAVES, str(saved))), containment=level, streaming=True)
        await process.start()
        await up(process)
        status = await process.stop()
        assert ("SIGINT", 0) == (saved.read_text(), status.exit_code)


MIXED = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda number, frame: None)
job = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"], process_group=0)
subprocess.Popen(sys.argv[1:], start_new_session=True)
job.wait()
"""
"""A parent that ends after a job in its session, and leaves a session."""


async def test_session_gets_the_step_that_a_job_has_got_before_the_end_of_the_leader(level: Any, saved: Path) -> None:
    """No process gets a step twice, and each one gets it."""
    async with limit(20):
        argv = child(MIXED, *child(SAVES, str(saved)))
        process = Process(*argv, containment=level, streaming=True, stop=Stop(timeout=3.0))
        await process.start()
        await up(process)
        await process.stop()
        assert "SIGTERM" == saved.read_text()


TWICE = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgrp()
    asked = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    print("up", flush=True)
    rest()
    print("once", flush=True)
    while len(asked) < 2:
        rest()
    print("twice", flush=True)
    os._exit(0)
os.wait()
"""
"""A parent that ignores the signal, and a job of it that ends at the second one."""


async def test_step_that_comes_twice_is_sent_twice_outside_of_the_group(level: Any) -> None:
    """Some programs end at once when a signal is repeated, and ask for that in their ladder."""
    async with limit(20):
        stop = Stop(steps=[(signal.SIGTERM, 0.5), (signal.SIGTERM, 5)])
        process = Process(*child(TWICE), containment=level, streaming=True, stop=stop)
        await process.start()
        await up(process)
        status = await process.stop()
        assert 0 == status.exit_code
        assert process.stdout is not None
        assert ["once", "twice"] == [line async for line in process.stdout]


UNMARKED = """
import os, resource, signal
hear, tell = os.pipe()
if os.fork() == 0:
    os.setpgrp()
    for limit in 10, 15:  # the mark of the library
        resource.setrlimit(limit, resource.getrlimit(limit)[1:] * 2)
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    os.dup2(os.open(os.devnull, os.O_RDWR), 2)
    os.set_inheritable(tell, True)
    os.execve("/bin/sh", ["sh", "-c", f"echo x >&{tell}; exec sleep 60 >/dev/null"], {})
os.read(hear, 1)
print("up", flush=True)
signal.pause()
"""
"""Leaves a job that only the session of the leader identifies, and that ends at SIGKILL."""


async def test_member_of_the_session_is_killed_after_a_long_ladder(level: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder is longer than the session is remembered. The job is known by its pidfd then."""
    if level == "pidns":
        pytest.skip("the job has another pid there")
    monkeypatch.setattr(strays, "_REMEMBERED", 0.3)
    async with limit(20):
        stop = Stop(steps=[(signal.SIGTERM, 0.6), (signal.SIGINT, 0.3)])
        process = Process(*child(UNMARKED), containment=level, streaming=True, stop=stop)
        await process.start()
        assert process.stdout is not None
        job = os.pidfd_open(int(await process.stdout.get()))
        await up(process)
        status = await process.stop()
        assert status.reason.endswith("ended by SIGKILL")
        ended, _, _ = select.select([job], [], [], 5)
        os.close(job)
        assert [job] == ended
