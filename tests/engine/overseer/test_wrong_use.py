"""An Overseer that is used in the wrong way: the error says what to write. And blocks of one service."""

from __future__ import annotations

import random
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from aioverseer import (
    Overseer,
    OverseerError,
    Process,
    Restart,
    SpecError,
    State,
    Status,
    Stop,
    ThreadedOverseer,
    ready,
)
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit


def first_step(work: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine to its first pause, without an event loop of asyncio, as trio would."""
    try:
        work.send(None)
    finally:
        work.close()


def test_another_async_library_is_named() -> None:
    for work in (Overseer().__aenter__(), Process("true").start(), Process("true").wait(), Process("true").ready()):
        with pytest.raises(OverseerError, match=r"no event loop of asyncio runs here: .* trio, .* ThreadedOverseer"):
            first_step(work)


def test_plain_block_names_the_threaded_overseer() -> None:
    for made in (Overseer(), Process("true")):
        block: Any = made
        for kind in (OverseerError, TypeError):
            with pytest.raises(kind, match=r"needs `async with`: .*ThreadedOverseer"), block:
                pass


async def test_async_block_of_a_threaded_overseer_names_the_other_one() -> None:
    block: Any = ThreadedOverseer()
    for kind in (OverseerError, TypeError):
        with pytest.raises(kind, match=r"needs `with`: in async code write `async with Overseer\(\)`"):
            async with block:
                pass


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"name": ""}, "name='' is no name"),
        ({"shutdown_timeout": "5s"}, "shutdown_timeout='5s' is no time: pass seconds, 0 or more, or None .*; write 5"),
        ({"shutdown_timeout": -1}, "shutdown_timeout=-1 is too low: pass seconds, 0 or more"),
        ({"handle_signals": [15]}, r"handle_signals=\[15\] is neither: pass True for SIGINT and SIGTERM, or False"),
        ({"raise_fd_limit": 4096}, "raise_fd_limit=4096 is neither: pass True for the hard limit"),
        ({"clock": time.monotonic}, "is no clock: pass an aioverseer.abc.Clock"),
        ({"rng": 5}, r"rng=5 gives no random numbers: pass for example random.Random\(1\)"),
        ({"rng": random.random}, "gives no random numbers"),
    ],
)
def test_wrong_option_says_what_to_write(options: dict[str, Any], hint: str) -> None:
    for make in (Overseer, ThreadedOverseer):
        if make is ThreadedOverseer and "handle_signals" in options:
            continue
        with pytest.raises(SpecError, match=hint) as caught:
            make(**options)
        assert caught.value.option == next(iter(options))


async def test_block_of_a_service_starts_and_stops_it() -> None:
    async with limit(20), Overseer() as overseer:
        async with overseer.add(
            "svc", *child("print('up'); import time; time.sleep(60)"), ready=ready.line("up")
        ) as svc:
            assert svc.state.is_live
        assert svc.status().reason.startswith("its block has ended")
        with pytest.raises(ZeroDivisionError):
            async with svc:
                raise ZeroDivisionError
        assert State.INTERRUPT is svc.state


def test_block_of_a_threaded_service_starts_and_stops_it() -> None:
    with ThreadedOverseer() as overseer, overseer.add("svc", *child("import time; time.sleep(60)")) as svc:
        assert svc.state.is_live
    assert State.INTERRUPT is svc.state


async def test_plain_function_as_a_task_names_the_way() -> None:
    def plain() -> int:
        return 5

    async with limit(20), Overseer() as overseer:
        work: Any = plain
        status = await overseer.supervise(overseer.add_task("x", work, restart=Restart("never")).id)
        assert "pass functools.partial(asyncio.to_thread, function)" in str(status.error)


async def test_plain_function_may_be_a_check() -> None:
    answers = iter([False, True])
    async with limit(20), Overseer() as overseer:
        probe = ready.check(lambda: next(answers))  # type: ignore[arg-type]  # works as meant
        await overseer.add("svc", *child("import time; time.sleep(60)"), ready=probe).start()
        assert next(answers, None) is None


async def test_next_run_has_the_updated_command() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().runs(5).exits(1))
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        svc = await overseer.add("svc", "old", "1", restart=Restart("always")).start()
        assert svc is overseer.update("svc", "new", "2", cwd="/tmp")
        assert ("old", "1") == launcher.children[-1].spec.argv
        await svc.restart()
        spec = launcher.children[-1].spec
        assert (("new", "2"), "/tmp") == (spec.argv, spec.cwd)
        overseer.update("svc", argv=["newer"])
        assert ("newer",) == svc.spec.argv


async def test_wrong_command_changes_nothing() -> None:
    overseer = Overseer()
    svc = overseer.add("svc", "old", nice=1)
    wrongs: list[dict[str, Any]] = [{"argv": []}, {"argv": ["new 1"]}, {"argv": "new"}, {"argv": ["new", 1]}]
    for wrong in wrongs:
        with pytest.raises(SpecError, match="argv"):
            overseer.update("svc", nice=2, **wrong)
    with pytest.raises(SpecError, match="pass the command once"):
        overseer.update("svc", "new", argv=["newer"])
    assert (("old",), 1) == (svc.spec.argv, svc.spec.nice)


async def test_task_has_no_command() -> None:
    async def work() -> None: ...

    overseer = Overseer()
    overseer.add_task("x", work)
    with pytest.raises(SpecError, match="'x' is a task or resource, which has no command"):
        overseer.update("x", "new")


def test_threaded_overseer_updates_the_command() -> None:
    with ThreadedOverseer() as overseer:
        svc = overseer.add("svc", *child("import time; time.sleep(60)"), stop=Stop(timeout=5)).start()
        assert svc is overseer.update("svc", *child("raise SystemExit(7)"), restart=Restart("never"))
        svc.restart()
        status: Status = svc.wait()
        assert 7 == status.exit_code


def test_threaded_overseer_refuses_what_the_other_does() -> None:
    overseer = ThreadedOverseer()
    spec = overseer.add("svc", "old").spec
    with pytest.raises(SpecError, match="pass a Spec alone"):
        overseer.add(spec, "new")  # type: ignore[call-overload]  # wrong on purpose
    with pytest.raises(SpecError, match="id=5 is no name"):
        overseer.add(5, "new")  # type: ignore[call-overload]  # wrong on purpose
