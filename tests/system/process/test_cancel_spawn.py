"""A start that is cancelled in any iteration of the event loop, in any way, leaves no child, descriptor or task."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import select
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

from aioverseer import Process, Spec, State, Stop
from aioverseer._system.process import launcher, spawn_asyncio
from aioverseer._system.process.child import SystemChild
from aioverseer._system.process.launcher import SystemLauncher
from tests.support.programs import child, limit

ITERATIONS = range(16)
ROOT = str(pathlib.Path(__file__).parents[3])
FAMILY = ("sh", "-c", "sleep 100 & exec sleep 100")
"""A leader and another member of its group."""
STOP = Stop(timeout=5)


def children() -> list[int]:
    """The children of this process, zombies too, whichever thread has started them."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{thread}/children") as file:
            found += map(int, file.read().split())
    return found


async def iterate(count: int) -> None:
    """Wait for so many iterations of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


# --- calls to cancel: each returns a function that stops the program, for a call that ended before its cancellation


async def by_launch() -> Callable[[], Awaitable[object]]:
    """The launcher itself."""
    spec = Spec(id="family", argv=FAMILY, stdin="pipe")
    return ending(await SystemLauncher().launch(spec, capture=True))


async def by_start() -> Callable[[], Awaitable[object]]:
    """Process.start()."""
    process = Process(*FAMILY, stop=STOP, stdin="pipe")
    try:
        await process.start()
    finally:
        assert not process.state.is_live or process.state is State.RUNNING
    return lambda: process.stop(kill=True)


async def by_await() -> Callable[[], Awaitable[object]]:
    """The run of a Process."""
    process = Process(*FAMILY, stop=STOP)
    try:
        await process
    finally:
        assert process.state in (State.INITIAL, State.INTERRUPT, State.FATAL)
    raise AssertionError("it sleeps for longer than that")


def ending(real: SystemChild) -> Callable[[], Awaitable[object]]:
    """Ends a bare child."""

    async def end() -> None:
        real.signal(signal.SIGKILL)
        await real.wait()
        real.sweep()
        real.close()

    return end


Call = Callable[[], Coroutine[Any, Any, Callable[[], Awaitable[object]]]]
CALLS: list[Call] = [by_launch, by_start, by_await]


# --- ways to cancel: each makes the call, cancels it after so many iterations, and stops the program


async def native(call: Call, count: int) -> None:
    """task.cancel()."""
    task = asyncio.create_task(call())
    await iterate(count)
    task.cancel()
    await over(task)


async def native_again_and_again(call: Call, count: int) -> None:
    """task.cancel() in every iteration from then on."""
    task = asyncio.create_task(call())
    await iterate(count)
    for _ in range(100):
        task.cancel()
        await asyncio.sleep(0)
    await over(task)


async def scope(call: Call, count: int) -> None:
    """The cancel scope of anyio."""
    ready: asyncio.Future[anyio.CancelScope] = asyncio.get_running_loop().create_future()

    async def inside() -> Callable[[], Awaitable[object]] | None:
        with anyio.CancelScope() as own:
            ready.set_result(own)
            return await call()
        return None

    task = asyncio.create_task(inside())
    cancel = await ready
    await iterate(count)
    cancel.cancel()
    await over(task)


async def move_on(call: Call, count: int) -> None:
    """The timeout of anyio: over at once for iteration 0, else moved to the present time."""
    ready: asyncio.Future[anyio.CancelScope] = asyncio.get_running_loop().create_future()

    async def inside() -> Callable[[], Awaitable[object]] | None:
        with anyio.move_on_after(10 if count else 0) as own:
            ready.set_result(own)
            return await call()
        return None

    task = asyncio.create_task(inside())
    timeout = await ready
    await iterate(count)
    timeout.deadline = anyio.current_time()
    await over(task)


async def timeout(call: Call, count: int) -> None:
    """The timeout of asyncio, moved to the present time."""
    ready: asyncio.Future[asyncio.Timeout] = asyncio.get_running_loop().create_future()

    async def inside() -> Callable[[], Awaitable[object]] | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10) as own:
                ready.set_result(own)
                return await call()
        return None

    task = asyncio.create_task(inside())
    own = await ready
    await iterate(count)
    with contextlib.suppress(RuntimeError):  # it has ended
        own.reschedule(asyncio.get_running_loop().time())
    await over(task)


async def wait_for(call: Call, count: int) -> None:
    """asyncio.wait_for, whose own task or future is cancelled."""

    async def inside() -> Callable[[], Awaitable[object]]:
        return await asyncio.wait_for(call(), 10)

    task = asyncio.create_task(inside())
    await iterate(count)
    task.cancel()
    await over(task)


async def over(task: asyncio.Task[Any]) -> None:
    """Wait for the end of a cancelled call: its program is gone by then, or it was handed over."""
    await asyncio.wait([task], timeout=10)
    assert task.done()
    if task.cancelled() or task.result() is None:
        assert [] == children()
    else:
        await task.result()()


@pytest.mark.parametrize(
    "how", [native, native_again_and_again, scope, move_on, timeout, wait_for], ids=lambda how: how.__name__
)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_a_cancellation_in_any_iteration_leaves_nothing(
    call: Call, how: Callable[[Call, int], Coroutine[Any, Any, None]]
) -> None:
    """The child, if there was one, is killed with its group and reaped before the cancellation goes on."""
    for count in ITERATIONS:
        await how(call, count)
        assert [] == children()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_a_time_limit_leaves_nothing(call: Call) -> None:
    """The limit of wait_for ends at once or a moment later."""
    for seconds in (0, 0.0001, 0.0005, 0.001, 0.002):
        await over(asyncio.create_task(quietly(asyncio.wait_for(call(), seconds))))
        assert [] == children()


async def quietly(call: Coroutine[Any, Any, Callable[[], Awaitable[object]]]) -> Callable[[], Awaitable[object]] | None:
    """None when the time is over."""
    try:
        return await call
    except TimeoutError:
        return None


async def test_a_slow_iteration_before_the_cancellation_leaves_no_grandchild(tmp_path: pathlib.Path) -> None:
    """While the loop is busy the program has time to start others, and they are killed with it."""
    path = tmp_path / "up"
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    met = 0
    try:
        for count in ITERATIONS:
            process = Process("sh", "-c", 'sleep 100 & echo >"$0"; wait', str(path))
            task = asyncio.create_task(process.start())
            await iterate(count)
            # Blocks the loop until the grandchild is there; in the first iterations there is no child yet.
            if select.select([fifo], [], [], 0.05 if count < 4 else 1)[0]:
                met += os.read(fifo, 100) != b""
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                await process.stop(kill=True)
            assert [] == children()
    finally:
        os.close(fifo)
    assert met >= 10


async def test_a_spawn_that_never_ends_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has time to end by itself, is then cancelled once, and is then left alone: the caller waits for a second."""
    monkeypatch.setattr(spawn_asyncio, "_SPAWN_GRACE", 0.05)
    released = asyncio.Event()
    begun = cancels = 0

    async def hang(*_words: str, **_options: Any) -> None:
        nonlocal begun, cancels
        begun += 1
        try:
            await released.wait()
        except asyncio.CancelledError:
            cancels += 1
            await released.wait()
        raise FileNotFoundError(2, "it was not there after all")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", hang)
    for count in range(6):
        begun = cancels = 0
        released.clear()
        task = asyncio.create_task(SystemLauncher().launch(Spec(id="slow", argv=("slow",)), capture=True))
        await iterate(count)
        task.cancel()
        async with limit(5, "the cancelled launch"):
            await asyncio.wait([task])
        assert task.cancelled()
        assert cancels == begun == (count > 0)
        released.set()
        await iterate(3)


async def test_a_cancelled_spawn_lets_the_next_one_begin() -> None:
    """A queued launch that is cancelled is not started, and the others are not lost."""
    one = SystemLauncher()
    spec = Spec(id="family", argv=FAMILY)
    for victim in range(5):
        tasks = [asyncio.create_task(one.launch(spec, capture=True)) for _ in range(5)]
        await iterate(3)
        tasks[victim].cancel()
        async with limit(10, "the others"):
            await asyncio.wait(tasks)
        for number, task in enumerate(tasks):
            assert number == victim or not task.cancelled()
            if not task.cancelled():
                await ending(task.result())()
        assert [] == children()


async def test_a_cancelled_start_ends_the_wait_of_another_task() -> None:
    """The first task has started the program, so the program is killed, and the second task gets the Status at once."""
    for count in ITERATIONS:
        process = Process(*FAMILY)
        first = asyncio.create_task(process.start())
        await asyncio.sleep(0)
        second = asyncio.create_task(process.wait())
        await iterate(count)
        first.cancel()
        await asyncio.wait([first])
        if not first.cancelled():
            await process.stop(kill=True)
        async with limit(5, "the second"):
            assert State.INTERRUPT is (await second).state


@pytest.mark.parametrize("call", [by_launch, by_start, by_await], ids=lambda call: call.__name__)
async def test_all_tasks_cancelled_in_the_same_iteration_end(call: Call) -> None:
    """asyncio.run does this at its end. Tasks of the library are cancelled too, some before their first step.

    During the spawn only asyncio knows the process id, and it kills the leader alone. The library kills the group.
    """
    before = asyncio.all_tasks()
    for count in ITERATIONS:
        task = asyncio.create_task(call())
        await iterate(count)
        begun = asyncio.all_tasks() - before
        for one in begun:
            one.cancel()
        async with limit(3, f"the end of all tasks cancelled in iteration {count}"):
            await asyncio.wait({task, *begun})
        if not task.cancelled() and task.exception() is None:
            await task.result()()
        assert [] == children()


async def test_all_tasks_cancelled_after_a_slow_iteration_leave_no_grandchild(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only asyncio knows the process id, and it kills the leader alone. The marker of the run finds the rest."""
    monkeypatch.setattr(launcher, "_SPAWNERS", (spawn_asyncio.AsyncioSpawner(),))
    path = tmp_path / "up"
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    spec = Spec(id="family", argv=("sh", "-c", 'sleep 100 & echo $! >"$0"; wait', str(path)))
    found = 0
    try:
        for count in ITERATIONS:
            before = asyncio.all_tasks()
            task = asyncio.create_task(SystemLauncher().launch(spec, capture=True))
            await iterate(count)
            # Blocks the loop until the grandchild is there. In the first iterations there is no child yet.
            grandchild = 0
            if select.select([fifo], [], [], 0.05 if count < 4 else 1)[0]:
                grandchild = int(os.read(fifo, 100))
            begun = asyncio.all_tasks() - before
            for one in begun:
                one.cancel()
            async with limit(5, f"the end of all tasks cancelled in iteration {count}"):
                await asyncio.wait({task, *begun})
            if not task.cancelled():
                await ending(task.result())()
            elif grandchild:
                found += 1
                await gone(grandchild)
            assert [] == children()
    finally:
        os.close(fifo)
    assert found


async def gone(pid: int) -> None:
    """Wait for the end of a process that has been killed."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            assert select.select([pidfd], [], [], 1)[0], "it has not been killed"
        finally:
            os.close(pidfd)


HOST = """
import asyncio, os, sys, time
from aioverseer import Process, Stop

async def main(count):
    process = Process("sh", "-c", "exec sleep 100", stop=Stop(timeout=60), stdin="x" * 200_000)
    call = getattr(process, sys.argv[1])
    asyncio.ensure_future(call())
    for _ in range(count):
        await asyncio.sleep(0)

for count in range(24):
    began = time.monotonic()
    asyncio.run(main(count))
    took = time.monotonic() - began
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        left = file.read()
    if took > 3 or left:
        print("iteration", count, "took", took, "left", left)
"""


@pytest.mark.parametrize("verb", ["start", "wait", "__aenter__"])
async def test_a_host_that_ends_in_any_iteration_ends_soon_and_leaves_no_child(verb: str) -> None:
    """It returns from asyncio.run within three seconds, during a spawn or later, and writes nothing."""
    argv = (sys.executable, *(word for word in child(HOST, verb)[1:] if word not in ("-I", "-S")))
    async with limit(25, "the host"):
        status = await Process(*argv, extra_env={"PYTHONPATH": ROOT, "PYTHONWARNINGS": "error,ignore::ResourceWarning"})
    assert (True, [], []) == (status.ok, status.stdout, status.stderr)
