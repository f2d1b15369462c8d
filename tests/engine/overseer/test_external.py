"""External services: not ours, and waited for."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from aioverseer import After, Alive, Overseer, Restart, Spec, SpecError, State, ThreadedOverseer, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit


class Remote:
    """A service of somebody else, whose answers the test sets."""

    def __init__(self) -> None:
        self.is_up = False
        self.asked = 0

    async def __call__(self) -> bool:
        """Answer a probe."""
        self.asked += 1
        return self.is_up


async def test_dependents_wait_until_it_answers() -> None:
    clock, remote = ManualClock(), Remote()
    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        db = overseer.add_external("db", ready=ready.check(remote))
        web = overseer.add("web", "web", after="db")
        starting = asyncio.create_task(overseer.start_all())
        await clock.advance(300)
        assert (State.STARTING, State.STARTING, None) == (db.state, web.state, db.pid)
        assert "waits for 'db'" in str(web.why())
        assert ["readiness"] == [one.kind for one in db.why().awaits]
        assert "it returned False" in db.status().reason
        remote.is_up = True
        await clock.advance(10)
        await starting
        assert (State.RUNNING, "is ready") == (db.state, db.status().reason)
        assert ["external"] == db.status().to_json()["argv"][:1]
        asked = remote.asked
        await clock.advance(1000)
        assert asked == remote.asked


async def test_it_is_asked_again_and_comes_back() -> None:
    """With ``on_restart`` its dependents restart with it, as with a service of ours."""
    clock, remote = ManualClock(), Remote()
    remote.is_up = True
    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        alive = Alive(ready.check(remote), every=10, failures=2)
        db = overseer.add_external("db", ready=ready.check(remote), alive=alive)
        web = overseer.add("web", "web", after=After("db", on_restart="restart"))
        events = overseer.events()
        await overseer.start_all()
        remote.is_up = False
        for _ in range(20):
            await clock.advance(10)
        assert State.RUNNING is not db.state
        told = [event.reason for event in iter(events.get_nowait, None) if event.id == "db"]
        assert any("is not alive: 2 checks in a row have failed" in reason for reason in told)
        remote.is_up = True
        await clock.advance(10)
        assert (State.RUNNING, State.RUNNING) == (db.state, web.state)
        assert web.restarts >= 1


async def test_server_of_somebody_else_on_this_host_is_no_stranger() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        async with limit(), Overseer() as overseer:
            probe = ready.tcp(port) & (ready.tcp(port) | ready.tcp(1))
            db = await overseer.add_external("db", ready=probe, alive=Alive(ready.tcp(port), every=0.01)).start()
            web = overseer.add("web", "true", after="db", restart=Restart("never"))
            assert (await overseer.supervise_all())["web"].ok
            assert (State.RUNNING, State.FINISHED) == (db.state, web.state)
            assert State.INTERRUPT is (await db.stop()).state
            await db.start()
            await db.restart()
            overseer.update("db", ready=ready.tcp(port))
            await db.restart()
            report = await overseer.stop_all()
            assert report.ok


async def test_overseer_is_left_at_once() -> None:
    async with limit():
        async with Overseer() as overseer:
            db = overseer.add_external("db", ready=ready.check(Remote()))
            starting = asyncio.create_task(db.start())
            await db.wait_for(State.STARTING, 5)
        assert State.INTERRUPT is db.state
        await asyncio.wait({starting})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs a probe: pass for example ready=ready.tcp"),
        ({"ready": ready.line("up")}, "asks a program"),
        ({"ready": ready.notify()}, "asks a program"),
        ({"ready": ready.tcp(1), "stop": None}, "stop=None is for a service of ours"),
        ({"ready": ready.tcp(1), "ready_timeout": 5}, "ready(timeout) of it waits for a limited time"),
    ],
)
def test_other_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        Overseer().add_external("db", **options)
    assert words in str(caught.value)


def test_without_an_event_loop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadedOverseer() as overseer:
        db = overseer.add_external("db", ready=ready.tcp(server.getsockname()[1])).start()
        assert State.RUNNING is db.state


async def test_update_is_checked_as_add_external_is() -> None:
    overseer = Overseer()
    overseer.add_external("db", ready=ready.tcp(5432))
    with pytest.raises(SpecError, match=r"restart=.* is for a service of ours: an external one takes after, alive"):
        overseer.update("db", restart=Restart("never"))
    with pytest.raises(SpecError, match="an external service needs a probe"):
        overseer.update("db", ready=None)
    with pytest.raises(SpecError, match="'db' is an external service, which has no command"):
        overseer.update("db", "postgres")
    overseer.update("db", ready=ready.tcp(5433), group="outside")
    assert "external 'tcp 127.0.0.1:5433'" in repr(overseer["db"])


async def test_plans_leave_it_alone() -> None:
    clock, remote = ManualClock(), Remote()
    remote.is_up = True
    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        db = await clock.run(overseer.add_external("db", ready=ready.check(remote)).start())
        web = Spec.of("web", ["web"], after="db")
        await clock.run(overseer.plan([web]).apply())
        assert (State.RUNNING, State.RUNNING) == (db.state, overseer["web"].state)
        await clock.run(overseer.plan([]).apply())
        assert (State.RUNNING, ["db"]) == (db.state, overseer.list_all())
        with pytest.raises(SpecError, match="service 'db' is a task, a resource or an external service"):
            overseer.plan([web, Spec.of("db", ["postgres"])])


async def test_command_is_asked_in_the_environment_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    probe = ready.command("sh", "-c", 'test -e "$0" || { echo "$NAME$NOTIFY_SOCKET" > "$0"; exit 1; }', asked)
    monkeypatch.setenv("NAME", "shop")
    async with limit(), Overseer() as overseer:
        db = overseer.add_external("db", ready=probe, alive=Alive(probe, every=0.01, failures=1))
        await db.start()
        assert ("shop\n", State.RUNNING, None) == (asked.read_text(), db.state, db.pid)
        asked.unlink()
        await db.wait_for(State.STARTING)
        await db.wait_for(State.RUNNING)
