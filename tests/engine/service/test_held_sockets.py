"""Sockets that the overseer holds for services: over restarts and giving up, until the end of the service."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aioverseer import (
    Backoff,
    NotReady,
    Overseer,
    Restart,
    Roll,
    Service,
    SpawnError,
    SpecError,
    State,
    ThreadedOverseer,
    listen,
    ready,
)
from aioverseer.testing import FakeChild, ManualClock, Ports, ScriptedLauncher
from tests.support.programs import child, limit

SERVER = child(
    """
    import os, socket, sys
    if b"ready" in b"".join(word.encode() for word in sys.argv[1:]):
        print("up", flush=True)
    held = socket.socket(fileno=3)
    while True:
        connection, _ = held.accept()
        asked = connection.recv(100)
        connection.sendall(str(os.getpid()).encode())
        connection.close()
        if asked == b"die":
            os._exit(3)
    """
)
AT_ONCE = Restart("always", backoff=Backoff(min=0.001, max=0.01), max_restarts=None)


@pytest.fixture(name="port")
def port_fixture() -> Iterator[int]:
    """A free port."""
    ports = Ports()
    taken = ports.reserve()
    yield taken
    ports.release(taken)


async def ask(address: int | str, word: bytes = b"x") -> int:
    """Return the pid that answers."""
    async with limit(20, "an answer"):
        if isinstance(address, str):
            reader, writer = await asyncio.open_unix_connection(address)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", address)
        writer.write(word)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return int(answer)


def listens(port: int) -> bool:
    """Whether a connection would be taken."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


async def test_connections_wait_over_crash_and_restart(port: int) -> None:
    """None is refused, and each is answered by the run that follows."""
    async with Overseer() as overseer:
        web = overseer.add("web", *SERVER, listen={"http": listen.tcp(port)}, restart=AT_ONCE)
        await overseer.start_all()
        first = await ask(port)
        assert web.status().pid == first == await ask(port, b"die")
        second = await ask(port)
        restarting = asyncio.ensure_future(web.restart())
        await web.wait_for(State.STARTING, 20)  # the old run has ended
        third = await ask(port)
        await restarting
        assert 3 == len({first, second, third})
        assert web.status().pid == third
    assert not listens(port)


async def test_stop_closes_and_start_opens_again(port: int, tmp_path: Path) -> None:
    path = tmp_path / "admin"
    async with Overseer() as overseer:
        web = overseer.add("web", *SERVER, listen={"http": listen.tcp(port), "admin": listen.unix(path)})
        assert not listens(port)
        await web.start()
        await web.stop()
        assert (False, False) == (listens(port), path.exists())
        await web.start()
        assert (True, True) == (listens(port), path.exists())
        await web.stop()
        overseer.remove("web")


async def test_finished_service_closes(port: int) -> None:
    async with Overseer() as overseer:
        web = overseer.add("web", "true", listen={"http": listen.tcp(port)})
        assert (await overseer.supervise("web")).ok
        assert not listens(port)
        assert web.state is State.FINISHED


@pytest.mark.parametrize("end", ["stop", "remove", "leave"])
async def test_socket_is_held_after_giving_up(port: int, end: str) -> None:
    """Connections wait for the next start, until the service is stopped, removed or left."""
    async with Overseer() as overseer:
        web = overseer.add("web", "false", listen={"http": listen.tcp(port)}, restart=Restart(max_restarts=0))
        await overseer.supervise("web")
        assert (State.FATAL, True) == (web.state, listens(port))
        overseer.update("web", argv=SERVER)
        waiting = asyncio.ensure_future(ask(port))
        await web.start()
        assert web.status().pid == await waiting
        overseer.update("web", argv=["false"], restart=Restart(max_restarts=0))
        await web.restart()
        assert State.FATAL is (await web.wait()).state
        if end == "stop":
            await web.stop()
            assert State.FATAL is web.state
        elif end == "remove":
            overseer.remove("web")
        else:
            assert listens(port)
        if end != "leave":
            assert not listens(port)
    assert not listens(port)


async def test_changed_address_is_a_new_socket_with_the_next_run(port: int, tmp_path: Path) -> None:
    path, other = tmp_path / "a", str(tmp_path / "b")
    async with Overseer() as overseer:
        web = overseer.add("web", *SERVER, listen={"http": listen.unix(path), "kept": listen.tcp(port)})
        await web.start()
        kept = _inode(port)
        overseer.update("web", listen={"http": listen.unix(other), "kept": listen.tcp(port)})
        assert web.status().pid == await ask(str(path))
        await web.restart()
        assert web.status().pid == await ask(other)
        assert (kept, False) == (_inode(port), path.exists())
        overseer.update("web", listen={})
        await web.restart()
        assert (False, False) == (listens(port), os.path.exists(other))


def _inode(port: int) -> str:
    lines = Path("/proc/net/tcp").read_text().splitlines()
    return next(line.split()[9] for line in lines if f":{port:04X} " in line and " 0A " in line)


async def test_services_that_name_one_socket_share_it(port: int) -> None:
    async with Overseer() as overseer:
        one, two = (overseer.add(id, *SERVER, listen={"http": listen.tcp(port)}) for id in ("one", "two"))
        await overseer.start_all()
        await one.stop()
        assert two.status().pid == await ask(port)
        await two.stop()
        assert not listens(port)


async def test_instances_share_one_socket(port: int) -> None:
    async with Overseer() as overseer:
        web = overseer.add_instances("web", *SERVER, instances=3, listen={"http": listen.tcp(port)})
        await overseer.start_all()
        assert await ask(port) in {service.status().pid for service in web}
        await web.scale(1)
        assert web[0].status().pid == await ask(port)
        await web.stop()
        assert not listens(port)


async def test_descriptor_is_named_in_the_command_instead_of_variables(port: int, tmp_path: Path) -> None:
    code = "import os, socket, sys; s = [socket.socket(fileno=int(a)).getsockname() for a in sys.argv[1:]]; print(s, "
    code += '"LISTEN_FDS" in os.environ, "LISTEN_PID" in os.environ)'
    async with Overseer() as overseer:
        sockets = {"admin": listen.unix(tmp_path / "s"), "http": listen.tcp(port)}
        words = [sys.executable, "-c", code, "{fd.http}", "{fd.admin}"]
        web = overseer.add("web", *words, listen=sockets, buffered=True)
        await overseer.supervise("web")
        assert [f"[('127.0.0.1', {port}), '{tmp_path}/s'] False False"] == web.status().stdout
        with pytest.raises(SpecError, match=r"\{fd\.htp\} in '\{fd\.htp\}' has no value"):
            overseer.add("other", "serve", "{fd.htp}", listen=sockets)


async def test_relative_path_is_in_the_folder_of_the_program(tmp_path: Path) -> None:
    async with Overseer() as overseer:
        overseer.add("web", *SERVER, cwd=tmp_path, listen={"http": listen.unix("s")})
        await overseer.start_all()
        await ask(str(tmp_path / "s"))


async def test_address_in_use_is_judged_as_a_failed_start(port: int) -> None:
    """It may be free later, so the policy tries again."""
    with socket.create_server(("127.0.0.1", port)) as other:
        async with Overseer() as overseer:
            web = overseer.add("web", *SERVER, listen={"http": listen.tcp(port)}, restart=AT_ONCE)
            starting = asyncio.ensure_future(web.start())
            await web.wait_for(State.BACKOFF, 20)
            assert "another program listens there" in str(web.status().error)
            other.close()
            await starting
            assert web.status().pid == await ask(port)


async def test_second_socket_in_use_closes_the_first(port: int, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.create_server(("127.0.0.1", port)):
        async with Overseer() as overseer:
            sockets = {"a": listen.unix(path), "b": listen.tcp(port)}
            overseer.add("web", *SERVER, listen=sockets, restart=Restart("never"))
            with pytest.raises(NotReady) as caught:
                await overseer.start_all()
            cause = caught.value.__cause__
            assert isinstance(cause, SpawnError)
            assert (errno.EADDRINUSE, False) == (cause.errno, path.exists())


@pytest.mark.parametrize(
    "probe",
    [ready.line("up"), ready.fd(5), ready.check(lambda: asyncio.sleep(0))],
    ids=str,
)
async def test_probes_go_with_sockets(port: int, tmp_path: Path, probe: Any) -> None:
    async with Overseer() as overseer:
        words = SERVER
        if probe == ready.fd(5):
            words = ("sh", "-c", 'echo >&5; exec "$0" "$@"', *SERVER)
        sockets = {"http": listen.tcp(port), "admin": listen.unix(tmp_path / "s")}
        web = overseer.add("web", *words, "ready", listen=sockets, ready=probe)
        await overseer.start_all()
        assert web.status().pid == await ask(port)


async def test_http_probe_takes_the_program_for_the_owner_of_a_held_socket(port: int) -> None:
    """The socket listened before the start, and the overseer holds it too: it is no stranger's."""
    pytest.importorskip("httpx")
    server = child(
        """
        import http.server, socket
        class Server(http.server.HTTPServer):
            def server_bind(self): pass
            def server_activate(self): pass
        server = Server(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler, bind_and_activate=False)
        server.socket = socket.socket(fileno=3)
        http.server.BaseHTTPRequestHandler.do_GET = lambda self: (self.send_response(200), self.end_headers())
        server.serve_forever()
        """
    )
    async with Overseer() as overseer:
        probe = ready.http(f"http://127.0.0.1:{port}/")
        web = overseer.add("web", *server, listen={"http": listen.tcp(port)}, ready=probe, stderr="null")
        await overseer.start_all()
        await web.restart()
        assert web.state is State.RUNNING


async def test_cancelled_start_closes(port: int) -> None:
    async with Overseer() as overseer:
        web = overseer.add("web", *SERVER, listen={"http": listen.tcp(port)}, ready=ready.line("never"))
        starting = asyncio.ensure_future(web.start())
        await web.wait_for(State.STARTING, 20)
        while not listens(port):
            await asyncio.sleep(0)
        await ask(port)  # the program runs, and is not ready
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert not listens(port)


def test_without_an_event_loop(port: int) -> None:
    with ThreadedOverseer() as overseer:
        web = overseer.add("web", *SERVER, listen={"http": listen.tcp(port)})
        overseer.start_all()
        with socket.create_connection(("127.0.0.1", port), 20) as asking:
            asking.sendall(b"x")
            assert str(web.status().pid).encode() == asking.recv(100)
    assert not listens(port)


async def test_scripted_children_bind_nothing(port: int) -> None:
    clock = ManualClock()
    async with Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        web: Service = overseer.add("web", "serve", listen={"http": listen.tcp(port)})
        await web.start()
        assert (State.RUNNING, False) == (web.state, listens(port))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # raised from 3.15 on
async def test_fork_of_the_host_closes_its_copies(port: int) -> None:
    """A worker of multiprocessing may outlive the host. Connections would wait in its copy for nobody."""
    async with Overseer() as overseer:
        overseer.add("web", *SERVER, listen={"http": listen.tcp(port)})
        await overseer.start_all()
        pid = os.fork()
        if pid == 0:
            os._exit(f"socket:[{_inode(port)}]" in _targets())
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert await ask(port)


def _targets() -> list[str]:
    found: list[str] = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


if sys.platform != "linux":
    pytest.skip("the tables of sockets are those of Linux", allow_module_level=True)


async def test_roll_to_another_address_keeps_the_old_one_until_the_exchange(port: int, tmp_path: Path) -> None:
    """Connections wait there after the end of the old run, as the roll may be taken back."""
    slowly = Restart("always", backoff=Backoff(min=60, max=60, jitter=False))
    async with Overseer(containment="basic") as overseer:
        web = overseer.add_instances(
            "web",
            *SERVER,
            "ready",
            instances=1,
            listen={"http": listen.tcp(port)},
            ready=ready.line("up"),
            restart=slowly,
        )
        await web.start()
        events = overseer.events()
        other = {"http": listen.unix(tmp_path / "s")}
        overseer.update("web", "sleep", "100", listen=other, ready=None, roll=Roll(min_ready=60))
        rolling = asyncio.create_task(web.roll())
        async with limit(20):
            while "runs as pid" not in (await anext(events)).reason:
                pass
        assert (tmp_path / "s").exists()
        with contextlib.suppress(ConnectionError):
            await ask(port, b"die")
        await web[0].wait_for(State.BACKOFF, 20)
        assert listens(port)
        rolling.cancel()
        await asyncio.wait({rolling})
