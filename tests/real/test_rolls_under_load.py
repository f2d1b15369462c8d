"""Rolls of real web servers on a held socket, under load: no request fails, and no connection is refused."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Overseer, Roll, Stop, listen, ready
from aioverseer.testing import Ports
from tests.support.http_load import load
from tests.support.programs import limit

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
INSTANCES, ROLLS, CLIENTS, REQUESTS = (4, 20, 40, 50_000) if LONG else (1, 1, 8, 200)
EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
APP = """
def app(environ, start):
    start("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""

GUNICORN = [
    *("-m", "gunicorn", "app:app", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "5"),
    *("--graceful-timeout", "10", "--log-level", "warning", "--no-control-socket"),
]


def made(server: str, folder: Path) -> tuple[list[str], Any]:
    """The command of a server, and its probe."""
    pytest.importorskip(server)
    if server == "uvicorn":
        return [sys.executable, str(EXAMPLES / "held_uvicorn.py")], ready.line("ready")
    (folder / "app.py").write_text(APP)
    return [sys.executable, *GUNICORN, "--chdir", str(folder)], ready.notify()


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"] if LONG else ["gunicorn"])
@pytest.mark.timeout(1200 if LONG else 60)
async def test_no_request_fails_in_rolls(server: str, tmp_path: Path) -> None:
    """On kept-alive and on fresh connections."""
    command, probe = made(server, tmp_path)
    ports = Ports()
    port = ports.reserve()
    async with limit(1200 if LONG else 60), Overseer() as overseer:
        web = overseer.add_instances(
            *("web", *command),
            instances=INSTANCES,
            listen={"http": listen.tcp(port)},
            ready=probe,
            stop=Stop(timeout=20),
            roll=Roll(surge=1),
        )
        await web.start()
        first = {service.pid for service in web}
        async with load(port, clients=CLIENTS) as seen:
            for _ in range(ROLLS):
                await seen.until(REQUESTS // ROLLS // 2)
                report = await web.roll()
                assert report.replaced == tuple(service.id for service in web)
            await seen.until(max(1, REQUESTS - seen.done))
        assert first.isdisjoint(service.pid for service in web)
        assert (seen.failed, seen.refused) == ([], 0)
        assert seen.done >= REQUESTS
    ports.release()


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"] if LONG else ["uvicorn"])
@pytest.mark.timeout(1200 if LONG else 60)
async def test_a_kill_between_rolls_fails_only_the_requests_of_that_instance(server: str, tmp_path: Path) -> None:
    """As many as it had open: one for each client at most."""
    command, probe = made(server, tmp_path)
    ports = Ports()
    port = ports.reserve()
    kills = 5 if LONG else 1
    async with limit(1200 if LONG else 60), Overseer() as overseer:
        web = overseer.add_instances(
            *("web", *command),
            instances=INSTANCES,
            listen={"http": listen.tcp(port)},
            ready=probe,
            stop=Stop(timeout=20),
        )
        await web.start()
        async with load(port, clients=CLIENTS) as seen:
            for number in range(kills):
                await seen.until(REQUESTS // 20)
                before = len(seen.failed)
                victim = web[number % len(web)]
                assert victim.pid is not None
                restarted = victim.restarts
                os.killpg(victim.pid, signal.SIGKILL)
                await victim.wait_for(lambda status, least=restarted: status.restarts > least)  # type: ignore[misc]  # mypy infers no default of a lambda
                await web.ready()
                await seen.until(REQUESTS // 20)
                assert len(seen.failed) - before <= CLIENTS
                before = len(seen.failed)
                await web.roll()
                assert len(seen.failed) == before
        assert seen.refused == 0
    ports.release()
