"""The pidfd spawner: one pidfd for each child, no thread, and no effect on the application's own children."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
from typing import Any, Literal

import pytest

from aioverseer import Overseer, Process, SpawnError
from aioverseer._system.process import spawn_pidfd
from aioverseer._system.process.child import SystemChild
from aioverseer._system.process.cpython import start_program
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.process.spawn import SpawnRequest
from aioverseer.core.options.spec import Spec
from tests.support.programs import limit
from tests.support.spawners import pidfd_only

pytestmark = pidfd_only
only_3_11 = pytest.mark.skipif(sys.version_info >= (3, 12), reason="these watchers are deprecated from 3.12 on")


def watcher() -> object:
    """The child watcher that the application would find; None on Python 3.14 and newer, which have none."""
    if not hasattr(asyncio, "get_child_watcher"):
        return None
    policy: Any = asyncio.get_event_loop_policy()  # type: ignore[deprecated]  # not on these versions
    if policy._watcher is None:
        policy._init_watcher()
    return policy._watcher


async def test_a_child_needs_no_thread() -> None:
    """The threads are the same with twenty programs."""
    before = set(threading.enumerate())
    async with limit(20), Overseer() as overseer:
        for number in range(20):
            overseer.add(str(number), "sleep", "100")
        await overseer.start_all()
        assert before == set(threading.enumerate())
    assert before == set(threading.enumerate())


async def test_children_of_the_application_are_watched_as_before() -> None:
    """The watcher of the policy is the same before and after, and it serves the application's own children."""
    before = watcher()
    async with limit(20), Process("sleep", "100"):
        assert before is watcher()
        own = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
        assert 3 == await own.wait()
    assert before is watcher()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_child_has_one_pidfd() -> None:
    """Asyncio opens no second one, and none is left at the end."""

    def pidfds() -> int:
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return sum("pidfd" in os.readlink(link) for link in links if os.path.lexists(link))

    async with limit(20):
        async with Process("sleep", "100"), Process("sleep", "100"):
            assert 2 == pidfds()
        assert 0 == pidfds()


@only_3_11
async def test_a_child_watcher_of_the_application_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pidfd spawner replaces the default watchers only."""
    asked: list[int] = []

    class Chosen(asyncio.ThreadedChildWatcher):
        def is_active(self) -> Literal[True]:
            asked.append(1)
            return True

    monkeypatch.setattr(asyncio.get_event_loop_policy(), "_watcher", Chosen())  # type: ignore[deprecated]  # as above
    async with limit(20):
        await Process("true")
    assert [1] == asked


@only_3_11
async def test_without_pidfds_a_thread_of_asyncio_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit is known although the system refuses pidfds."""

    def refused(pid: int) -> int:
        raise PermissionError(pid)

    monkeypatch.setattr(os, "pidfd_open", refused)
    spawn_pidfd._has_pidfds.cache_clear()
    monkeypatch.setattr(spawn_pidfd, "_has_pidfds", spawn_pidfd._has_pidfds.__wrapped__)
    async with limit(20):
        assert (await Process("sh", "-c", "exit 4")).exit_code == 4
        async with Process("sleep", "100") as process:
            assert (await process.stop()).signal == 15


async def test_loops_in_threads_do_not_hinder_each_other() -> None:
    """Each learns of the exits of its own children, and the watcher of the application is the same afterwards."""
    before = watcher()

    async def many() -> list[str]:
        return [(await Process("sh", "-c", f"exit {code}")).reason for code in range(20)]

    async with limit(60):
        found = await asyncio.gather(*(asyncio.to_thread(asyncio.run, many()) for _ in range(4)), many())
    assert [[f"exited with code {code}" for code in range(20)]] * 5 == found
    assert before is watcher()


def test_a_loop_that_spawns_in_its_own_way_is_asked() -> None:
    """A subclass and a patched method are both respected."""

    class Own(asyncio.SelectorEventLoop):
        async def subprocess_exec(self, *words: Any, **options: Any) -> Any:
            asked.append(words[1])
            return await super().subprocess_exec(*words, **options)

    async def main() -> None:
        await Process("true")
        loop = asyncio.get_running_loop()
        make = loop._make_subprocess_transport  # type: ignore[attr-defined]  # private

        async def spy(protocol: object, words: tuple[str, ...], *rest: Any, **options: Any) -> object:
            asked.append(f"patched {words[0]}")
            return await make(protocol, words, *rest, **options)

        loop._make_subprocess_transport = spy  # type: ignore[attr-defined]  # private
        await Process("false")

    for factory, expected in (
        (Own, ["true", "false", "patched false"]),
        (asyncio.SelectorEventLoop, ["patched false"]),
    ):
        asked: list[str] = []
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
        assert expected == asked


async def test_a_wrapper_of_create_subprocess_exec_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper may limit spawns. Locks of asyncio that are first used in it belong to the real loop."""
    real = asyncio.create_subprocess_exec
    one = asyncio.Semaphore(1)

    async def bounded(*words: str, **options: Any) -> asyncio.subprocess.Process:
        async with one:
            await asyncio.sleep(0)
            return await real(*words, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", bounded)
    async with limit(20):
        found = await asyncio.gather(*(Process("sh", "-c", f"exit {code}") for code in range(5)))
    assert list(range(5)) == [status.exit_code for status in found]
    async with one:
        waiting = asyncio.create_task(one.acquire())
        await asyncio.sleep(0)
    assert await waiting


async def test_the_running_loop_works_during_a_spawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler of the host may use it, and it is the running loop again after a spawn that fails."""
    loop = asyncio.get_running_loop()
    called = asyncio.Event()

    def spy(request: SpawnRequest) -> int:
        asyncio.get_running_loop().call_soon(called.set)
        raise PermissionError(13, "no")

    monkeypatch.setattr(spawn_pidfd, "start_program", spy)
    async with limit(20):
        with pytest.raises(SpawnError):
            await Process("true").start()
        assert loop is asyncio.get_running_loop()
        await called.wait()


async def test_audit_hooks_and_signal_handlers_find_the_running_loop_and_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Futures that they create during a spawn belong to the real loop."""
    loop = asyncio.get_running_loop()
    found: list[tuple[object, object]] = []
    made: list[asyncio.Future[None]] = []

    def spy(request: SpawnRequest) -> int:
        found.append((asyncio.get_running_loop(), asyncio.current_task()))
        made.append(asyncio.Future())
        return start_program(request)

    monkeypatch.setattr(spawn_pidfd, "start_program", spy)
    async with limit(20):
        await Process("true")
        made[0].set_result(None)
        await made[0]
    assert found[0][0] is loop
    assert isinstance(found[0][1], asyncio.Task)


async def test_a_signal_handler_that_raises_does_not_change_the_running_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may raise in the moment in which the stand-in replaces the loop."""
    loop = asyncio.get_running_loop()
    real = asyncio._set_running_loop
    raised = 0

    def interrupted(given: Any) -> None:
        nonlocal raised
        real(given)
        if given is not loop:
            raised += 1
            raise ZeroDivisionError

    monkeypatch.setattr(asyncio, "_set_running_loop", interrupted)
    async with limit(20):
        with pytest.raises(ZeroDivisionError):
            await Process("true").start()
    assert 1 == raised
    assert loop is asyncio.get_running_loop()


WRAPS_BEFORE = """
import asyncio, functools
real, one = asyncio.create_subprocess_exec, asyncio.Semaphore(1)

@functools.wraps(real)
async def bounded(*words, **options):
    async with one:
        await asyncio.sleep(0)
        return await real(*words, **options)

asyncio.create_subprocess_exec = bounded
from aioverseer import Process

async def main():
    ended = await asyncio.gather(*(Process("sh", "-c", f"exit {code}") for code in range(5)))
    print([status.exit_code for status in ended])

asyncio.run(main())
"""


async def test_a_wrapper_from_before_the_import_may_wait() -> None:
    """The library takes no wrapper for the original."""
    async with limit(20):
        status = await Process(sys.executable, "-c", WRAPS_BEFORE)
    assert ["[0, 1, 2, 3, 4]"] == status.stdout, status.stderr


def test_an_interrupt_in_one_waiter_wakes_the_others() -> None:
    """The application may run the loop again, and every waiter gets the exit."""

    async def wait(started: SystemChild, *, interrupts: bool) -> None:
        await started.wait()
        if interrupts:
            raise KeyboardInterrupt

    async def begin() -> tuple[SystemChild, list[asyncio.Task[None]]]:
        started = await SystemLauncher().launch(Spec(id="cat", argv=("cat",), stdin="pipe"), capture=False)
        waiting = [asyncio.create_task(wait(started, interrupts=number in (0, 2))) for number in range(4)]
        await asyncio.sleep(0)
        return started, waiting

    async def end(started: SystemChild, waiting: list[asyncio.Task[None]]) -> None:
        async with limit(20):
            await asyncio.wait(waiting)
        started.close()

    with asyncio.Runner() as runner:
        started, waiting = runner.run(begin())
        assert started.stdin is not None
        started.stdin.close()
        loop, interrupts = runner.get_loop(), 0
        ended = loop.create_task(end(started, waiting))
        while not ended.done():
            try:
                loop.run_until_complete(ended)
            except KeyboardInterrupt:
                interrupts += 1
        ended.result()
        assert 2 == interrupts
        assert [True, False, True, False] == [task.exception() is not None for task in waiting]


async def test_child_without_a_pidfd_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread has taken the last descriptors just after the spawn."""
    pids: list[int] = []

    def refused(pid: int) -> int:
        pids.append(pid)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    process = Process("sleep", "100", containment="basic")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", refused)
        with pytest.raises(SpawnError) as caught:
            await process.start()
    assert errno.EMFILE == caught.value.errno
    with pytest.raises(ProcessLookupError):
        os.kill(pids[-1], 0)
