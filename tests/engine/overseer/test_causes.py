"""Causes of errors: each leads to the error of the system, or of the task, that began the trouble."""

# ruff: noqa: PT012  # the block of an overseer is what raises

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from aioverseer import (
    Backoff,
    CriticalServiceEnded,
    GaveUp,
    NotReady,
    Overseer,
    Process,
    ProcessFailed,
    Restart,
    SpawnError,
)
from tests.support.programs import limit

ONCE = Restart(max_restarts=1, backoff=Backoff(min=0.001, max=0.001))


@pytest.fixture
def forbidden(tmp_path: Path) -> str:
    """Path of a file that may not be executed."""
    path = tmp_path / "forbidden"
    path.write_text("#!/bin/sh\n")
    return str(path)


def chain(error: BaseException | None) -> Generator[BaseException]:
    """Yield an error and its causes, each once."""
    seen: set[int] = set()
    while error is not None:
        assert id(error) not in seen, "an error is its own cause"
        seen.add(id(error))
        yield error
        error = error.__cause__


def kinds(error: BaseException | None) -> list[type[BaseException]]:
    return [type(each) for each in chain(error)]


async def test_giving_up_has_the_failed_spawn_as_its_cause(forbidden: str) -> None:
    async with limit(20), Overseer() as overseer:
        overseer.add("app", forbidden, restart=ONCE)
        status = await overseer.supervise("app")
        assert kinds(status.error) == [GaveUp, SpawnError, PermissionError]
        with pytest.raises(ProcessFailed) as failed:
            status.check()
        assert kinds(failed.value) == [ProcessFailed, GaveUp, SpawnError, PermissionError]
        with pytest.raises(NotReady) as late:
            await overseer["app"].ready()
        assert kinds(late.value) == [NotReady, GaveUp, SpawnError, PermissionError]


async def test_giving_up_has_the_error_of_a_task_as_its_cause() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    async with limit(20), Overseer() as overseer:
        overseer.add_task("task", work, restart=ONCE)
        status = await overseer.supervise("task")
        assert kinds(status.error) == [GaveUp, ZeroDivisionError]


async def test_a_group_that_gives_up_has_the_error_of_its_member_as_cause(forbidden: str) -> None:
    given: list[GaveUp] = []
    async with limit(20), Overseer() as overseer:
        overseer.group("g", "one_for_all", restart=ONCE, on_give_up=given.append)
        overseer.add("app", forbidden, group="g")
        status = await overseer.supervise("app")
        await asyncio.sleep(0)
        assert kinds(given[0]) == [GaveUp, SpawnError, PermissionError]
        assert kinds(status.error) == [GaveUp, SpawnError, PermissionError]


async def test_a_dependent_has_the_error_of_its_dependency_as_cause(forbidden: str) -> None:
    async with limit(20), Overseer() as overseer:
        overseer.add("db", forbidden, restart=ONCE)
        overseer.add("web", "sleep", "60", after="db")
        await overseer.supervise_all()
        assert kinds(overseer.status("web").error) == [NotReady, GaveUp, SpawnError, PermissionError]


async def test_a_critical_end_has_the_error_of_the_service_as_cause(forbidden: str) -> None:
    with pytest.raises(CriticalServiceEnded) as caught:
        async with limit(20), Overseer() as overseer:
            overseer.add("db", forbidden, restart=Restart("never"), critical=True)
            await overseer.supervise("db")
            await asyncio.Event().wait()
    assert kinds(caught.value) == [CriticalServiceEnded, SpawnError, PermissionError]


async def test_a_critical_end_is_never_its_own_cause(forbidden: str) -> None:
    """An inner block raises the same error as the block of the overseer."""
    overseer = Overseer()
    with pytest.raises(CriticalServiceEnded) as caught:
        async with limit(20), overseer:
            with overseer.body():
                overseer.add("db", forbidden, restart=Restart("never"), critical=True)
                await overseer.supervise("db")
                await asyncio.Event().wait()
    assert kinds(caught.value) == [CriticalServiceEnded, SpawnError, PermissionError]


async def test_an_error_of_the_block_is_the_cause_of_a_critical_end(forbidden: str) -> None:
    with pytest.raises(CriticalServiceEnded) as caught:
        async with limit(20), Overseer() as overseer:
            overseer.add("db", forbidden, restart=Restart("never"), critical=True)
            try:
                await overseer.supervise("db")
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise KeyError("lost") from None
    assert kinds(caught.value) == [CriticalServiceEnded, KeyError]


async def test_a_failed_process_has_the_failed_spawn_as_its_cause(forbidden: str) -> None:
    status = await Process(forbidden)
    with pytest.raises(ProcessFailed) as caught:
        status.check()
    assert kinds(caught.value) == [ProcessFailed, SpawnError, PermissionError]
