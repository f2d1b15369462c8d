"""Real servers on held sockets: restarts under load lose no connection and no request."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Overseer, Service, listen, ready
from aioverseer.testing import Ports
from tests.support.programs import limit

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
CLIENTS, RESTARTS = (40, 20) if LONG else (8, 1)
APPLICATION = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
SERVERS: dict[str, tuple[list[str], Any]] = {
    "asyncio": ([str(EXAMPLES / "held_server.py")], ready.line("ready")),
    "uvicorn": ([str(EXAMPLES / "held_uvicorn.py")], ready.line("ready")),
    "gunicorn": (["-m", "gunicorn", "-k", "gthread", "--threads", "8", "app:app"], ready.line("Booting worker")),
}


@pytest.fixture(name="port")
def port_fixture() -> Iterator[int]:
    """A free port."""
    ports = Ports()
    port = ports.reserve()
    yield port
    ports.release(port)


@pytest.mark.parametrize("server", SERVERS)
async def test_restarts_under_load_lose_nothing(server: str, port: int, tmp_path: Path) -> None:
    """Half of the clients keep their connections alive. None is refused, and each request is answered."""
    if server != "asyncio" and find_spec(server) is None:
        pytest.skip(f"{server} is not installed")
    words, probe = SERVERS[server]
    (tmp_path / "app.py").write_text(APPLICATION)
    counted: Counter[str] = Counter()
    over = asyncio.Event()
    async with limit(300 if LONG else 60, "the load"), Overseer() as overseer:
        home = {"HOME": str(tmp_path)}  # gunicorn has a socket there
        held = {"http": listen.tcp(port)}
        web = overseer.add("web", sys.executable, *words, cwd=tmp_path, listen=held, ready=probe, extra_env=home)
        await overseer.start_all()
        clients = [asyncio.ensure_future(load(port, counted, over, keeps=bool(n % 2))) for n in range(CLIENTS)]
        for _ in range(RESTARTS):
            await answered(web, counted)
            await web.restart()
        await answered(web, counted)
        over.set()
        await asyncio.gather(*clients)
    assert set(counted) == {"answered"}


async def answered(web: Service, counted: Counter[str]) -> None:
    """Wait until the present run has answered some requests."""
    wanted = counted["answered"] + 2 * CLIENTS
    while counted["answered"] < wanted:
        assert web.state.is_live
        await asyncio.sleep(0.01)


async def load(port: int, counted: Counter[str], over: asyncio.Event, *, keeps: bool) -> None:
    """Send requests until the test is over, and count what becomes of them."""
    while not over.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            counted["refused"] += 1
            return
        try:
            while True:
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % (b"" if keeps else b"Connection: close\r\n"))
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
                counted["answered" if b" 200 " in head else "failed"] += 1
                if not keeps or b"connection: close" in head or over.is_set():
                    break
        except (OSError, EOFError):
            counted["lost"] += 1
        finally:
            writer.close()
