"""A block that a critical service ends, whose overseer was entered elsewhere."""

from __future__ import annotations

import asyncio

import pytest

from aioverseer import CriticalServiceEnded, Overseer, Restart, ThreadedOverseer
from tests.support.programs import child, limit

NEVER = Restart("never")
ENDS = child("import sys\nprint('no space left')\nsys.stdin.readline()\nraise SystemExit(4)")
"""Ends when it is told to."""


class Elsewhere:
    """Enters and leaves an overseer in tasks of their own, as fixtures do."""

    def __init__(self) -> None:
        self.overseer = Overseer()
        self.told = False

    async def __aenter__(self) -> Overseer:
        await asyncio.create_task(self.overseer.__aenter__())
        return self.overseer

    async def __aexit__(self, *exc: object) -> None:
        try:
            await asyncio.create_task(self.overseer.__aexit__(None, None, None))
        except CriticalServiceEnded:
            self.told = True


async def test_the_block_is_cancelled_and_the_error_comes_out() -> None:
    """Although another task has entered the overseer; the task goes on afterwards."""
    elsewhere = Elsewhere()
    async with limit(20), elsewhere as overseer:
        db = await overseer.add("db", *ENDS, stdin="pipe", critical=True, restart=NEVER).start()
        with pytest.raises(CriticalServiceEnded, match="'db' is finished: exit") as caught, overseer.body():  # noqa: PT012
            await db.write("\n")
            await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        assert (("no space left",), 0) == (caught.value.lines, task.cancelling())
    assert elsewhere.told


async def test_a_block_that_begins_after_the_end_is_cancelled_too() -> None:
    """At its first await."""
    elsewhere = Elsewhere()
    async with limit(20), elsewhere as overseer:
        db = await overseer.add("db", *ENDS, stdin="pipe", critical=True, restart=NEVER).start()
        await db.write("\n")
        await db.wait()
        with pytest.raises(CriticalServiceEnded), overseer.body():
            await asyncio.Event().wait()


async def test_an_error_of_the_block_is_the_cause() -> None:
    """It failed because the service is gone, mostly."""
    elsewhere = Elsewhere()
    async with limit(20), elsewhere as overseer:
        db = await overseer.add("db", *ENDS, stdin="pipe", critical=True, restart=NEVER).start()
        with pytest.raises(CriticalServiceEnded) as caught, overseer.body():  # noqa: PT012
            await db.write("\n")
            try:
                await asyncio.Event().wait()
            finally:
                raise ConnectionError("no answer")
        assert isinstance(caught.value.__cause__, ConnectionError)


async def test_a_cancellation_by_somebody_else_passes() -> None:
    """A time limit around the block stays one; without an end there is nothing to tell."""
    async with limit(20), Elsewhere() as overseer:
        await overseer.add("db", *ENDS, stdin="pipe", critical=True, restart=NEVER).start()
        with pytest.raises(TimeoutError):  # noqa: PT012
            async with asyncio.timeout(0):
                with overseer.body():
                    await asyncio.Event().wait()
        with overseer.body():
            await asyncio.sleep(0)
        assert not overseer._assembly.blocks.running


async def test_a_task_learns_of_an_overseer_in_another_thread() -> None:
    """And is cancelled at once."""
    with pytest.raises(CriticalServiceEnded), ThreadedOverseer() as overseer:  # noqa: PT012
        db = overseer.add("db", *ENDS, stdin="pipe", critical=True, restart=NEVER).start()
        with pytest.raises(CriticalServiceEnded):  # noqa: PT012
            async with limit(20):
                with overseer.body():
                    db.write("\n")
                    await asyncio.Event().wait()


def test_plain_code_gets_the_error_at_the_end_of_the_block() -> None:
    """Nothing can interrupt it."""
    with pytest.raises(CriticalServiceEnded), ThreadedOverseer() as overseer:  # noqa: PT012
        db = overseer.add("db", *ENDS, stdin="pipe", critical=True, restart=NEVER).start()
        reached = False
        with pytest.raises(CriticalServiceEnded), overseer.body():  # noqa: PT012
            db.write("\n")
            db.wait()
            reached = True
        assert reached


async def test_interrupt_in_a_block_goes_on_after_the_end_of_a_critical_service() -> None:
    """Ctrl-C is for the whole program. The overseer still raises the error of the service."""

    class InterruptError(BaseException):
        pass

    elsewhere = Elsewhere()
    async with limit(20), elsewhere as overseer:
        db = await overseer.add("db", *ENDS, stdin="pipe", critical=True, restart=NEVER).start()
        await db.write("\n")
        await db.wait()
        with pytest.raises(InterruptError), overseer.body():
            raise InterruptError
    assert elsewhere.told
