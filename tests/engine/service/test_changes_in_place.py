"""Options that take effect at once, also for the program that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aioverseer import Alive, LogFile, Overseer, Restart, State, Stop, ready
from aioverseer.testing import FakeChild
from tests.support.overseers import ended, scripted

UP = ready.line("up")


class Switch:
    """A check whose answer the test decides."""

    def __init__(self, *, alive: bool) -> None:
        self.alive = alive
        self.asked = 0

    async def __call__(self) -> bool:
        """Return the answer."""
        self.asked += 1
        return self.alive


def alive(switch: Switch) -> Alive:
    """A check each second, of which one may fail."""
    return Alive(ready.check(switch), every=1, failures=1)


async def test_liveness_is_checked_by_the_new_rules_at_once() -> None:
    overseer, clock, _ = scripted(*(FakeChild().prints("up") for _ in range(3)))
    first, second = Switch(alive=True), Switch(alive=True)
    async with overseer:
        service = overseer.add("web", "web", ready=UP, alive=alive(first), restart=Restart(max_restarts=9))
        await ended(service.start(), clock, 5)
        assert first.asked
        overseer.update("web", alive=alive(second))
        assert service.why().pending == ()
        asked = first.asked
        await clock.advance(5)
        assert (first.asked, bool(second.asked)) == (asked, True)
        second.alive = False
        await clock.advance(5)
        assert service.restarts
        assert "it is not alive" in str(service.history[0].reason)


async def test_liveness_checks_begin_and_end_at_once() -> None:
    overseer, clock, _ = scripted(FakeChild().prints("up"), FakeChild().prints("up"))
    switch = Switch(alive=False)
    async with overseer:
        service = overseer.add("web", "web", ready=UP)
        await ended(service.start(), clock)
        overseer.update("web", alive=Alive(ready.check(switch), every=1, failures=1, action="mark"))
        await clock.advance(3)
        assert "not alive" in service.status().reason
        overseer.update("web", alive=None)
        assert service.status().reason == "is ready"
        asked = switch.asked
        await clock.advance(5)
        assert switch.asked == asked


async def test_liveness_changes_before_the_program_is_ready() -> None:
    overseer, clock, _ = scripted(FakeChild().runs(3).prints("up"))
    switch = Switch(alive=True)
    async with overseer:
        service = overseer.add("web", "web", ready=UP)
        starting = asyncio.ensure_future(service.start())
        await clock.advance(1)
        overseer.update("web", alive=alive(switch))
        await clock.advance(5)
        await starting
        assert switch.asked


async def test_watchdog_waits_for_the_next_run() -> None:
    overseer, clock, _ = scripted(FakeChild().prints("up"))
    async with overseer:
        service = overseer.add("web", "web", ready=UP)
        await ended(service.start(), clock)
        overseer.update("web", alive=Alive(ready.notify(), every=1))
        assert service.why().pending == ("alive",)
        overseer.update("web", alive=None)
        assert service.why().pending == ()


async def test_ladder_of_a_new_check_is_that_of_the_new_rules() -> None:
    overseer, clock, launcher = scripted(FakeChild().prints("up"), FakeChild().prints("up"))
    switch = Switch(alive=False)
    async with overseer:
        service = overseer.add("web", "web", ready=UP, alive=alive(Switch(alive=True)))
        await ended(service.start(), clock)
        overseer.update("web", alive=Alive(ready.check(switch), every=1, failures=1, stop=Stop(2, 1.0)))
        await clock.advance(4)
        assert [int(number) for number in launcher.children[0].signals][:1] == [2]
        switch.alive = True
        await clock.advance(5)
        assert service.state is State.RUNNING


async def test_lines_go_to_the_new_log_at_once(tmp_path: Path) -> None:
    before, after = tmp_path / "before.log", tmp_path / "after.log"
    async with Overseer(containment="basic") as overseer:
        service = overseer.add("x", "cat", stdin="pipe", log=LogFile(before))
        await service.start()
        lines = service.lines()
        await service.write("one\n")
        await lines.get()
        overseer.update("x", log=LogFile(after))
        assert service.why().pending == ()
        await service.write("two\n")
        await lines.get()
        overseer.update("x", log=[])
        await service.write("three\n")
        await lines.get()
        await service.flush_log()
    assert before.read_text() == "one\n"
    assert after.read_text() == "two\n"


async def test_first_checks_of_a_run_without_any_wait_for_the_next_one() -> None:
    overseer, clock, _ = scripted()
    switch = Switch(alive=True)
    async with overseer:
        service = overseer.add("web", "web")
        await ended(service.start(), clock)
        overseer.update("web", alive=alive(switch))
        assert service.why().pending == ("alive",)
        await ended(service.restart(), clock)
        assert service.why().pending == ()
        await clock.advance(3)
        assert switch.asked
