"""Services that the first connection starts."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, Restart, Service, SpecError, State, ThreadedOverseer, listen
from aioverseer.core.machine.start_rate import StartRate
from aioverseer.testing import FakeChild, ManualClock, Ports, ScriptedLauncher
from tests.support.programs import child, limit

ONCE = child(
    """
    import os, socket
    connection, _ = socket.socket(fileno=3).accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()
    """
)
"""Answers one connection and ends."""


@pytest.fixture(name="port")
def port_fixture() -> Iterator[int]:
    """A free port."""
    ports = Ports()
    port = ports.reserve()
    yield port
    ports.release(port)


async def ask(port: int) -> int:
    """Return the pid that answers."""
    async with limit(20, "an answer"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return int(answer)


def listens(port: int) -> bool:
    """Whether a connection would be taken."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


async def test_each_connection_starts_a_run(port: int) -> None:
    async with Overseer() as overseer:
        web = overseer.add("web", *ONCE, listen={"http": listen.tcp(port)}, on_demand=True)
        await overseer.start_all()
        assert (State.WAITING, None) == (web.state, web.status().pid)
        assert "waits for a connection" in str(web.why())
        assert ["connection"] == [each.kind for each in web.why().awaits]
        pids = [await ask(port) for _ in range(3)]
        assert 3 == len(set(pids))
        await web.wait_for(State.WAITING, 20)
        assert "waits for a connection" in str(web.why())
        assert pids == [status.pid for status in web.history]
        await web.stop()
        assert (State.INTERRUPT, False) == (web.state, listens(port))


async def test_connections_wait_while_the_program_lives(port: int) -> None:
    """The overseer never accepts, and watches no socket that the program has."""
    async with Overseer() as overseer:
        code = "import signal, socket; signal.pause()"
        web = overseer.add("web", *child(code), listen={"http": listen.tcp(port)}, on_demand=True)
        await web.start()
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            await web.wait_for(State.RUNNING, 20)
            assert not _is_watched(web)
            assert not web.history


def _is_watched(web: Service) -> bool:
    """Whether the event loop watches a socket of a service. It does not do so after this."""
    return any(map(asyncio.get_running_loop().remove_reader, web._runner.open_sockets()))


def _wakeups() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


async def test_spent_budget_ends_the_watch_and_keeps_the_socket(port: int) -> None:
    async with Overseer() as overseer:
        restart = Restart(max_restarts=1, backoff=Backoff(min=0.001, max=0.001))
        web = overseer.add("web", "false", listen={"http": listen.tcp(port)}, on_demand=True, restart=restart)
        await web.start()
        with socket.create_connection(("127.0.0.1", port)):
            status = await web.wait()
        assert (State.FATAL, 2, True) == (status.state, len(web.history), listens(port))
        assert not _is_watched(web)
        await web.stop()
        assert not listens(port)


async def test_program_that_takes_no_connection_is_not_started_in_a_busy_loop(port: int) -> None:
    clock = ManualClock()
    async with Overseer(clock=clock, containment="basic") as overseer:
        web = overseer.add("web", "true", listen={"http": listen.tcp(port)}, on_demand=True)
        await web.start()
        with socket.create_connection(("127.0.0.1", port)):
            async with limit(20):
                await web.wait_for(lambda status: status.state is State.WAITING and len(web.history) == 20)
            assert not _is_watched(web)
            await clock.advance(1.9)
            assert State.WAITING is web.state
            await clock.advance(0.2)
            async with limit(20):
                await web.wait_for(lambda status: status.state is State.WAITING and len(web.history) == 40)


def test_rate_of_starts() -> None:
    """Twenty in two seconds, and the next one when the first of them is two seconds old."""
    rate = StartRate()
    for number in range(20):
        now = 10 + number * 0.01
        assert now == rate.next_at(now)
        rate.record(now)
    assert 12.0 == rate.next_at(10.5)
    assert 12.5 == rate.next_at(12.5)
    rate.record(12.5)
    assert 12.5 == rate.next_at(12.5)


async def test_dependent_waits_until_it_is_armed(port: int) -> None:
    async with Overseer() as overseer:
        overseer.add("client", "sleep", "100", after="web")
        web = overseer.add("web", *ONCE, listen={"http": listen.tcp(port)}, on_demand=True, after="db")
        overseer.add("db", "sleep", "100")
        await overseer.start_all()
        assert (State.RUNNING, State.WAITING) == (overseer["client"].state, web.state)


async def test_socket_in_use_goes_through_the_budget(port: int) -> None:
    restart = Restart(max_restarts=2, backoff=Backoff(min=0.001, max=0.001))
    with socket.create_server(("127.0.0.1", port)):
        async with Overseer() as overseer:
            web = overseer.add("web", *ONCE, listen={"http": listen.tcp(port)}, on_demand=True, restart=restart)
            status = await overseer.supervise("web")
            assert (State.FATAL, 3) == (status.state, len(web.history))
            assert "another program listens there" in str(status.error)


async def test_trigger_starts_it_now(port: int) -> None:
    async with Overseer() as overseer:
        web = overseer.add("web", "sleep", "100", listen={"http": listen.tcp(port)}, on_demand=True)
        await web.start()
        await web.trigger()
        assert "running" == str(web.state)


async def test_update_while_it_waits(port: int, tmp_path: Any) -> None:
    """Other sockets are watched at once. Without ``on_demand`` the program starts, and goes on as any other."""
    path = tmp_path / "s"
    async with Overseer() as overseer:
        web = overseer.add("web", *ONCE, listen={"http": listen.unix(path)}, on_demand=True)
        await web.start()
        overseer.update("web", listen={"http": listen.tcp(port)})
        assert not path.exists()
        assert await ask(port)
        await web.wait_for(State.WAITING, 20)
        overseer.update("web", argv=["sleep", "100"], on_demand=False)
        await web.wait_for(State.RUNNING, 20)
        await web.stop()
        await web.start()
        assert "running" == str(web.state)
        overseer.update("web", argv=ONCE, on_demand=True)
        await web.restart()
        assert await ask(port)
        await web.wait_for(State.WAITING, 20)


async def test_cancelled_or_left_in_the_middle(port: int) -> None:
    for _ in range(2):
        async with Overseer() as overseer:
            overseer.add("web", *ONCE, listen={"http": listen.tcp(port)}, on_demand=True)
            await overseer.start_all()
            asking = asyncio.ensure_future(ask(port))
            await asyncio.sleep(0)
        assert not listens(port)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


def test_without_an_event_loop(port: int) -> None:
    with ThreadedOverseer() as overseer:
        web = overseer.add("web", *ONCE, listen={"http": listen.tcp(port)}, on_demand=True)
        overseer.start_all()
        assert State.WAITING is web.state
        with socket.create_connection(("127.0.0.1", port), 20) as asking:
            assert asking.recv(100)


async def test_scripted_children_are_triggered_by_hand(port: int) -> None:
    clock = ManualClock()
    async with Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild().runs(3).exits(0))) as overseer:
        web: Service = overseer.add("web", "serve", listen={"http": listen.tcp(port)}, on_demand=True)
        await overseer.start_all()
        assert (State.WAITING, False) == (web.state, listens(port))
        await web.trigger()
        assert "running" == str(web.state)
        await clock.advance(4)
        assert State.WAITING is web.state


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "there is no socket: pass listen="),
        ({"listen": {"http": listen.tcp(8000)}, "critical": True}, "cannot go with critical=True"),
    ],
)
def test_what_makes_no_sense_is_refused(options: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Overseer().add("web", "serve", on_demand=True, **options)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names")
async def test_a_thousand_held_services_cost_their_sockets_alone() -> None:
    """No other descriptor, no CPU, no wake-up."""
    count = 1000
    async with Overseer(raise_fd_limit=True) as overseer:
        for number in range(count):
            name = f"@aioverseer-test-{os.getpid()}-{number}"
            overseer.add(f"s{number}", "true", listen={"s": listen.unix(name)}, on_demand=True)
        before = _descriptors()
        await overseer.start_all()
        assert count == _descriptors() - before
        await _settled(lambda: all(overseer[id].state is State.WAITING for id in overseer))
        cpu, wakeups = time.process_time(), _wakeups()
        await asyncio.sleep(0.5)
        assert time.process_time() - cpu < 0.02
        assert _wakeups() - wakeups <= 3


async def _settled(condition: Callable[[], bool]) -> None:
    assert condition()
    await asyncio.sleep(0.05)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
