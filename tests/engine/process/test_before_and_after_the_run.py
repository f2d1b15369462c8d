"""Process: calls before its start and after its end, and a child that fails in an unusual way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioverseer import Alive, Exit, NotReady, Overseer, Process, SpawnError, State, StopFailed, ready
from aioverseer.testing import FakeChild, ManualClock, RunningChild, ScriptedLauncher
from tests.support.programs import limit


def scripted(*scripts: FakeChild, **options: Any) -> tuple[Process, ManualClock, ScriptedLauncher]:
    """Return a Process with scripted children, its clock and its launcher."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *scripts)
    return Process("prog", clock=clock, launcher=launcher, **options), clock, launcher


async def test_times_are_those_of_the_status() -> None:
    """None before they are known."""
    process = Process("true")
    assert (None, None) == (process.started_at, process.stopped_at)
    await process.start()
    assert None is not process.started_at
    status = await process
    assert (status.started_at, status.stopped_at) == (process.started_at, process.stopped_at)


async def test_block_with_a_program_that_does_not_end_raises() -> None:
    """The error names the program."""
    process, clock, launcher = scripted(FakeChild().ignores(signal.SIGTERM).ignores(signal.SIGKILL))

    async def use() -> None:
        async with process:
            pass

    with pytest.raises(StopFailed, match="prog"):
        await clock.run(use())
    launcher.children[0].end(Exit(signal=signal.SIGKILL))
    await clock.settle()
    assert State.INTERRUPT is process.state


async def test_leaving_without_a_start_does_nothing() -> None:
    """An exit stack may be left before the start. The program can be started afterwards."""
    process, clock, launcher = scripted(FakeChild())
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_exit(process)
    assert (State.INITIAL, []) == (process.state, launcher.children)

    async def fail() -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_exit(process)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await fail()

    async def use() -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_exit(process)
            await process.start()

    await clock.run(use())
    assert State.INTERRUPT is process.state


@pytest.mark.parametrize(("argv", "error"), [(("false",), NotReady), (("/no/such/program",), SpawnError)])
async def test_wait_for_readiness_ends_with_the_program(argv: tuple[str, ...], error: type[Exception]) -> None:
    """Nothing is started by the wait itself."""
    async with limit(20):
        process = Process(*argv, ready=ready.line("never"))
        waiting = asyncio.ensure_future(process.ready())
        with contextlib.suppress(error):
            await process.start()
        with pytest.raises(error):
            await waiting


async def test_cancelled_second_start_leaves_the_first_one() -> None:
    """The program goes on and becomes ready."""
    process, clock, launcher = scripted(FakeChild(), ready=ready.line("up"))
    first = asyncio.ensure_future(process.start())
    await clock.settle()
    second = asyncio.ensure_future(process.start())
    await clock.settle()
    second.cancel()
    await asyncio.wait({second})
    launcher.children[0].print("up\n")
    assert State.RUNNING is (await first).state
    await process.stop()


async def test_bug_of_a_child_ends_the_run() -> None:
    """An error that no child may raise kills the program, and is the error of the Status."""

    class Broken(ScriptedLauncher):
        async def launch(self, *args: Any, **options: Any) -> RunningChild:
            child = await super().launch(*args, **options)

            async def wait() -> Exit:
                await asyncio.sleep(0)
                if not child.has_ended:
                    raise ZeroDivisionError("a bug")
                return Exit(signal=signal.SIGKILL)

            child.wait = wait  # type: ignore[method-assign]  # the bug
            return child

    launcher = Broken(ManualClock(), FakeChild())
    process = Process("prog", clock=ManualClock(), launcher=launcher, ready=ready.line("never"))
    async with limit(20):
        status = await process
    assert State.FATAL is status.state
    assert "a bug" in str(status.error)
    assert [signal.SIGKILL] == launcher.children[0].signals


async def test_notice_of_a_lone_process_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It has no events."""

    async def fails() -> None:
        raise OSError("no answer")

    alive = Alive(ready.check(fails), every=1, failures=1, action="mark")
    process, clock, _ = scripted(FakeChild(), alive=alive)
    with caplog.at_level(logging.INFO, "aioverseer"):
        await process.start()
        await clock.advance(2)
        await process.stop()
    assert "no answer" in caplog.text


async def test_input_from_an_iterable_without_a_close() -> None:
    """It is no generator, so there is nothing to close at the end."""

    class Words:
        def __init__(self) -> None:
            self.left = ["one\n", "two\n"]

        def __aiter__(self) -> AsyncIterator[str]:
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    assert ["one", "two"] == (await Process("cat", stdin=Words())).stdout


@pytest.mark.parametrize("stdin", ["pipe", "inherit"])
async def test_close_of_the_input_before_the_start_does_nothing(stdin: Any) -> None:
    """There is no pipe yet, or none of ours."""
    process = Process("true", stdin=stdin)
    process.close_stdin()
    assert (await process).ok


async def test_input_of_a_service_before_and_in_a_run() -> None:
    """The end of the input follows all pending writes."""
    async with limit(20), Overseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe", buffered=True)
        service.close_stdin()
        await service.start()
        await service.write("one\n")
        await service.write_eof()
        assert ["one"] == (await service).stdout
