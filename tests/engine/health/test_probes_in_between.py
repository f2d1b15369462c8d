"""Probes whose answer comes twice, late, from elsewhere, or from a part of a composition."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Alive, NotReady, Overseer, Process, Restart, SpawnError, State, Stop, ready
from aioverseer._engine.health import readiness
from aioverseer._system.probes import notify_socket
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit


@pytest.fixture(name="clock")
def clock_fixture() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


def scripted(script: FakeChild, **options: Any) -> tuple[Process, ManualClock, ScriptedLauncher]:
    """Return a Process with a scripted child, its clock and its launcher."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, script)
    return Process("prog", clock=clock, launcher=launcher, **options), clock, launcher


class Answer:
    """A function of the user whose result the test sets."""

    def __init__(self, error: str = "") -> None:
        self.calls = 0
        self.error = error

    async def __call__(self) -> None:
        """Succeed, or raise."""
        self.calls += 1
        if self.error:
            raise OSError(self.error)


async def test_alternative_is_asked_no_more_once_the_other_has_passed() -> None:
    """The rest of the composition is still pending."""
    a, b, c = Answer(), Answer("b"), Answer("c")
    probe = (ready.check(a) | ready.check(b)) & ready.check(c)
    process, clock, _ = scripted(FakeChild(), ready=probe)
    starting = asyncio.ensure_future(process.start())
    await clock.advance(1)
    asked = b.calls
    await clock.advance(10)
    assert (1, asked) == (a.calls, b.calls)
    assert c.calls > 2
    c.error = ""
    await clock.advance(10)
    await starting
    await process.stop()


async def test_program_that_says_ready_twice_becomes_ready_once() -> None:
    """As after a reload."""
    process, clock, launcher = scripted(FakeChild(), ready=ready.notify())
    starting = asyncio.ensure_future(process.start())
    await clock.settle()
    for _ in range(2):
        launcher.children[0].notify(b"READY=1")
    await starting
    await process.stop()
    launcher.children[0].notify(b"READY=1")
    assert State.INTERRUPT is process.state


async def test_descriptor_is_ready_at_a_newline() -> None:
    """Other bytes may come before it."""
    process, clock, launcher = scripted(FakeChild(), ready=ready.fd())
    starting = asyncio.ensure_future(process.start())
    await clock.settle()
    channels = launcher.children[0]._channels
    assert channels is not None
    assert channels.on_write is not None
    channels.on_write(3, b"x")
    await clock.settle()
    assert not starting.done()
    channels.on_write(3, b"\n")
    await starting
    await process.stop()


@pytest.mark.parametrize("name", ["NotifySocket", "ReadyPipe"])
async def test_channel_without_a_descriptor_is_a_failed_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The error names the option, and nothing stays open."""

    def refused() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(readiness, name, refused)
    with pytest.raises(SpawnError, match=r"cannot be started with ready=.*: Too many open files"):
        await Process("true", ready=ready.notify() & ready.fd()).start()


async def test_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """The program makes it after its start."""
    code = "import sys; sys.stdin.readline(); open(sys.argv[1], 'w').close(); sys.stdin.readline()"
    path = tmp_path / "ready"
    async with limit(20):
        process = Process(*child(code, str(path)), stdin="pipe", ready=ready.file(path))
        starting = asyncio.ensure_future(process.start())
        while process.status().reason == "" or process.pid is None:
            await asyncio.sleep(0)
        await process.write("go\n")
        await starting
        assert path.exists()
        await process.stop()


async def test_name_of_another_machine_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses and localhost need no resolver."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        async def resolve(host: str, port: int, **_: Any) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        async with limit(20), Process("sleep", "100", ready=ready.tcp(port, host="db.example")):
            assert ["db.example"] == asked


async def test_liveness_by_a_file_asks_whether_it_exists(tmp_path: Path) -> None:
    """The file may be older than the run."""
    path = tmp_path / "alive"
    path.touch()
    clock = ManualClock()
    async with Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        alive = Alive(ready.file(path), every=1, failures=1)
        service = await overseer.add("web", "web", alive=alive, restart=Restart("never")).start()
        await clock.advance(5)
        assert State.RUNNING is service.state
        path.unlink()
        await clock.advance(5)
        assert service.state.is_final
        assert "there is no such file" in service.why().reason


@pytest.mark.parametrize(
    ("join", "first", "second", "errors"),
    [
        ("and", "", "", ()),
        ("or", "", "b", ()),
        ("or", "a", "b", ("OSError: a", "OSError: b")),
        ("and", "", "b", ("b",)),
    ],
)
async def test_composed_liveness(join: str, first: str, second: str, errors: tuple[str, ...]) -> None:
    """The reason has the errors of all parts that count."""
    a, b = ready.check(Answer(first)), ready.check(Answer(second))
    clock = ManualClock()
    async with Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        alive = Alive(a & b if join == "and" else a | b, every=1, failures=1)
        service = await overseer.add("web", "web", alive=alive, restart=Restart("never")).start()
        await clock.advance(5)
        assert bool(errors) == service.state.is_final
        assert all(error in service.why().reason for error in errors)


async def test_trigger_of_the_watchdog_counts_once_and_only_when_ready() -> None:
    """A program that says so before it is ready is still starting."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild())
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        alive = Alive(ready.notify(), every=10, action="mark")
        service = overseer.add("web", "web", ready=ready.notify(), alive=alive)
        events = overseer.events()
        starting = asyncio.ensure_future(service.start())
        await clock.settle()
        running = launcher.children[0]
        running.notify(b"WATCHDOG=trigger")
        running.notify(b"READY=1")
        await starting
        for _ in range(2):
            running.notify(b"WATCHDOG=trigger")
        await clock.settle()
        seen = [event for event in iter(events.get_nowait, None) if "alive" in event.reason]
        assert 1 == len(seen)


async def test_leftover_that_holds_the_descriptor_does_not_hide_the_end() -> None:
    """The program ends before it is ready."""
    code = """
        import os, time
        if os.fork() == 0:
            os.close(1), os.close(2)
            time.sleep(100)
    """
    async with limit(20), Overseer() as overseer:
        never = Restart("never")
        service = overseer.add(
            "web", *child(code), ready=ready.fd(), leftovers="report", restart=never, stop=Stop(timeout=1)
        )
        with pytest.raises(NotReady):
            await service.start()
        assert service.pid is not None
        os.killpg(service.pid, signal.SIGKILL)


async def test_answer_by_status_needs_no_body() -> None:
    """A body is read only for a pattern, and only its first 64 KiB."""
    pytest.importorskip("httpx")
    code = """
        import http.server
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(1 << 40))
                self.end_headers()
                try:
                    self.wfile.write(b"x" * 60000 + b"fine" + b"x" * (1 << 20))
                except OSError:
                    pass
            def log_message(self, *words):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(server.server_port, flush=True)
        server.serve_forever()
    """
    async with limit(30), Process(*child(code), streaming=True) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{await server.stdout.get()}/"
        for probe in (ready.http(url, owner="any"), ready.http(url, body="fine", owner="any")):
            async with Process("sleep", "100", ready=probe) as process:
                assert State.RUNNING is process.state


async def test_stop_in_the_second_of_a_check_that_goes_on(clock: ManualClock) -> None:
    """The check was cancelled for its time limit, and has a second to end; the stop ends the wait for it."""
    ended = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await ended.wait()

    launcher = ScriptedLauncher(clock, FakeChild())
    process = Process("prog", clock=clock, launcher=launcher, ready=ready.check(stubborn))
    starting = asyncio.ensure_future(process.start())
    await clock.advance(5.5)
    async with limit(10):
        stopping = asyncio.ensure_future(process.stop())
        await clock.settle()
        ended.set()
        assert State.INTERRUPT is (await clock.run(stopping)).state
        with pytest.raises(NotReady):
            await starting


async def test_check_that_ends_late_is_followed_by_the_next(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It delays its cancellation by more than a second, and then ends cancelled: nobody misses its result."""
    calls = 0
    ended = asyncio.Event()

    async def slow_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await ended.wait()

    launcher = ScriptedLauncher(clock, FakeChild())
    process = Process("prog", clock=clock, launcher=launcher, ready=ready.check(slow_once))
    starting = asyncio.ensure_future(process.start())
    await clock.advance(7)
    ended.set()
    async with limit(10):
        await clock.run(starting)
    assert 2 == calls
    assert "" == caplog.text
    await process.stop()


async def test_many_notices_arrive_over_several_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that sends many holds nobody up."""
    monkeypatch.setattr(notify_socket, "_MAX_PER_ITERATION", 2)
    code = """
        import os, socket, time
        name = os.environ["NOTIFY_SOCKET"]
        name = "\\0" + name[1:] if name[0] == "@" else name
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            for number in range(9):
                s.sendto(f"STATUS=step {number}".encode(), name)
            s.sendto(b"READY=1", name)
        time.sleep(100)
    """
    async with limit(20), Process(*child(code), ready=ready.notify()) as process:
        assert State.RUNNING is process.state
