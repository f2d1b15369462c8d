"""Real programs whose main process changes: nginx and redis in the background, and gunicorn's upgrade under load."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aioverseer import Backoff, Overseer, PidFile, Restart, Service, State, ready
from tests.support.programs import limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs pidfds")

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
LEVELS = ["basic", "guarded", "strict", "pidns"] if LONG else ["basic", "pidns"]
SOON = Restart(backoff=Backoff(min=0.01, max=0.01))
APP = """
def app(environ, start):
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def nginx(overseer: Overseer, folder: Path, port: int) -> Service:
    folders = " ".join(f"{name}_temp_path {folder}/{name};" for name in "client_body proxy fastcgi uwsgi scgi".split())
    config = folder / "nginx.conf"
    config.write_text(
        f"pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}} http {{ access_log off; {folders} "
        f"server {{ listen 127.0.0.1:{port}; }} }}"
    )
    words = ["nginx", "-c", config, "-e", folder / "error.log"]
    return overseer.add(
        "nginx", *map(str, words), main_pid=PidFile(folder / "nginx.pid"), ready=ready.tcp(port), restart=SOON
    )


def redis(overseer: Overseer, folder: Path, port: int) -> Service:
    words = ["redis-server", "--port", port, "--daemonize", "yes", "--pidfile", folder / "redis.pid", "--dir", folder]
    return overseer.add(
        "redis",
        *map(str, words),
        *("--save", "", "--logfile", "redis.log"),
        main_pid=PidFile(folder / "redis.pid"),
        ready=ready.tcp(port),
        restart=SOON,
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("make", "program"), [(nginx, "nginx"), (redis, "redis-server")])
async def test_daemon_is_killed_restarted_and_stopped(
    make: Callable[[Overseer, Path, int], Service], program: str, level: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"not installed: {program}")
    async with limit(30), Overseer(containment=level) as overseer:  # type: ignore[arg-type]  # a level
        service = make(overseer, tmp_path, unused_tcp_port)
        await service.start()
        pid = service.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await service.wait_for(lambda status: status.restarts == 1 and status.state is State.RUNNING)
        assert "was killed by SIGKILL" in service.history[0].reason
        await service.restart()
        assert service.status().pid not in (None, pid)
        status = await service.stop()
        assert 0 == status.exit_code
        assert [] == list(tmp_path.glob("*.pid"))


@pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="not installed: gunicorn")
async def test_gunicorn_is_upgraded_without_a_failed_request(tmp_path: Path, unused_tcp_port: int) -> None:
    (tmp_path / "app.py").write_text(APP)
    answers: list[bytes] = []

    async def ask() -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answers.append(await reader.read())
            finally:
                writer.close()
            await writer.wait_closed()

    words = ["-m", "gunicorn", "-k", "gthread", "-b", f"127.0.0.1:{unused_tcp_port}", "--pid", "web.pid", "app:app"]
    async with limit(40), Overseer(containment="basic") as overseer:
        web = overseer.add(
            "web",
            sys.executable,
            *words,
            cwd=tmp_path,
            main_pid=PidFile("web.pid"),
            ready=ready.tcp(unused_tcp_port),
            restart=Restart("never"),
        )
        lines = web.lines()

        async def booted() -> None:
            while "Booting worker" not in (await lines.get()).text:
                pass

        await web.start()
        await booted()
        clients = [asyncio.create_task(ask()) for _ in range(4)]
        for _ in range(3 if LONG else 1):
            old = web.status().pid
            web.signal(signal.SIGUSR2, scope="leader")
            await booted()
            count = len(answers)
            web.signal(signal.SIGTERM, scope="leader")
            await web.wait_for(lambda status, old=old: status.pid != old)  # type: ignore[misc]  # mypy infers no default of a lambda
            assert (State.RUNNING, 0) == (web.state, web.status().restarts)
            assert len(answers) > count
        for client in clients:
            client.cancel()
        await asyncio.wait(clients)
        assert [True] * len(clients) == [client.cancelled() for client in clients]
        status = await web.stop()
        assert 0 == status.exit_code
    assert [True] * len(answers) == [answer.startswith(b"HTTP/1.1 200") for answer in answers]
