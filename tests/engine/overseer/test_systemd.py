"""The host under systemd, which a socket plays: what is sent, and what programs do not inherit."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Overseer, Restart, Spec, SpecError, State, ThreadedOverseer, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit


class Systemd:
    """The receiving end: a datagram socket in the environment of this process."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.setblocking(False)

    def received(self) -> list[str]:
        """Return all assignments since the last call."""
        found: list[str] = []
        while True:
            try:
                found += self._socket.recv(65536).decode().split("\n")
            except BlockingIOError:
                return found

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@pytest.fixture(name="systemd", params=["file", "abstract"])
def systemd_fixture(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Systemd]:
    """A systemd that has started this process."""
    address = str(tmp_path / "notify") if request.param == "file" else f"@aioverseer-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    found = Systemd(address)
    yield found
    found.close()


def scripted(clock: ManualClock, **scripts: FakeChild) -> Any:
    """The options of an overseer with scripted children."""
    return {"clock": clock, "launcher": ScriptedLauncher(clock, by_id=scripts), "notify_systemd": True}


async def test_life_of_a_host(systemd: Systemd) -> None:
    clock = ManualClock()
    async with Overseer(**scripted(clock, web=FakeChild().runs(3).notifies("READY=1"))) as overseer:
        overseer.add("db", "db")
        overseer.add("spare", "spare")
        overseer.add("web", "web", after="db", ready=ready.notify(), ready_timeout=20)
        assert [] == systemd.received()
        starting = asyncio.ensure_future(asyncio.gather(overseer.start("db"), overseer.start("web")))
        await clock.advance(1)
        first = systemd.received()
        assert "READY=1" not in first
        assert "STATUS=1 of 2 ready; web is starting: is being started" in first
        extended = [int(line.partition("=")[2]) for line in first if line.startswith("EXTEND_TIMEOUT_USEC=")]
        assert max(extended) >= 20_000_000
        await clock.advance(3)
        await starting
        await asyncio.sleep(0)
        assert ["READY=1", "STATUS=2 of 2 ready"] == systemd.received()
        await overseer.stop("web")
        await asyncio.sleep(0)
        assert ["STATUS=1 of 1 ready"] == systemd.received()[-1:]
    last = systemd.received()
    assert ["STOPPING=1", "STATUS=stopping all services"] == last[:2]
    assert last[2].startswith("EXTEND_TIMEOUT_USEC=")
    assert 3 == len(last)


async def test_a_service_that_gives_up_or_finishes(systemd: Systemd) -> None:
    """A success is ready. A failure is not, until the service is removed."""
    clock = ManualClock()
    scripts = {"job": FakeChild().runs(1).exits(0), "bad": FakeChild().runs(1).exits(3)}
    async with Overseer(**scripted(clock, **scripts)) as overseer:
        for id in scripts:
            overseer.add(id, id, restart=Restart("never"), ready=ready.line("never"))
        ends = asyncio.ensure_future(overseer.supervise_all())
        await clock.advance(2)
        await ends
        received = systemd.received()
        assert "READY=1" not in received
        assert received[-1].startswith("STATUS=1 of 2 ready; bad is finished: exited with code 3")
        overseer.remove("bad")
        await asyncio.sleep(0)
        assert ["READY=1", "STATUS=1 of 1 ready"] == systemd.received()


async def test_a_plan_is_a_reload(systemd: Systemd) -> None:
    clock = ManualClock()
    async with Overseer(**scripted(clock)) as overseer:
        await overseer.plan([Spec.of("web", ["web"])]).apply()
        await asyncio.sleep(0)
        received = systemd.received()
        assert ["READY=1", "STATUS=1 of 1 ready"] == received[-2:]
        assert 1 == received.count("READY=1")  # a start, and no reload
        await overseer.plan([Spec.of("web", ["web"]), Spec.of("more", ["more"])]).apply()
        await asyncio.sleep(0)
        received = systemd.received()
        assert "RELOADING=1" == received[0]
        assert received[1].startswith("MONOTONIC_USEC=")
        assert "READY=1" in received[2:]


async def test_watchdog_is_fed_at_half_of_its_time(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    clock = ManualClock()
    async with Overseer(**scripted(clock)):
        assert ["WATCHDOG=1"] == systemd.received()
        await clock.advance(4.9)
        assert [] == systemd.received()
        await clock.advance(10.2)
        assert ["WATCHDOG=1"] * 3 == systemd.received()
    await clock.advance(20)
    assert "WATCHDOG=1" not in systemd.received()


@pytest.mark.parametrize(
    "variables",
    [{"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}],
)
async def test_watchdog_of_another_process(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with Overseer(notify_systemd=True):
        assert [] == systemd.received()


async def test_programs_do_not_inherit_the_variables(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are back in the environment of the host afterwards."""
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    address = os.environ["NOTIFY_SOCKET"]
    for _ in range(2):
        async with limit(20), Overseer(notify_systemd=True) as overseer:
            overseer.add("env", "env", buffered=True)
            lines = (await overseer.supervise("env")).stdout or []
            assert not [line for line in lines if line.startswith(("NOTIFY_SOCKET=", "WATCHDOG_"))]
            assert "NOTIFY_SOCKET" not in os.environ
        assert (address, "10000000") == (os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"])
        assert "READY=1" in systemd.received()


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/no/such/socket"])
async def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    clock = ManualClock()
    async with Overseer(**scripted(clock)) as overseer:
        overseer.add("web", "web")
        await overseer.start_all()
        assert State.RUNNING is overseer["web"].state
    assert address == os.environ["NOTIFY_SOCKET"]


def test_without_an_event_loop(systemd: Systemd) -> None:
    with ThreadedOverseer(notify_systemd=True) as overseer:
        overseer.add("sleep", "sleep", "100")
        overseer.start_all()
        overseer.status("sleep")  # after the iteration of the start
        assert "READY=1" in systemd.received()
    assert "STOPPING=1" in systemd.received()


def test_other_values_are_refused() -> None:
    with pytest.raises(SpecError, match="notify_systemd='yes' is neither"):
        Overseer(notify_systemd="yes")  # type: ignore[arg-type]  # wrong on purpose
