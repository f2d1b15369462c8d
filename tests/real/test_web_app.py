"""The example application in the docs: its lifespan holds the overseer, uvicorn serves it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Overseer, ready
from aioverseer.testing import Ports
from tests.support.programs import limit

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="not installed: redis-server")


async def get(port: int, path: str) -> Any:
    """Return the JSON of a page."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert b" 200 " in head.splitlines()[0]
    return json.loads(body)


async def test_redis_lives_as_long_as_the_application() -> None:
    """Redis runs before the first request, comes back when killed, and ends with the application."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    ports = Ports()
    web, redis = ports.reserve(), ports.reserve()
    words = ["-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", str(web), "web_app:app"]
    async with limit(60), Overseer() as overseer:
        more = {"REDIS_PORT": str(redis), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        app = overseer.add("app", sys.executable, *words, extra_env=more, ready=ready.tcp(web))
        await app.start()
        assert [1, 2] == [(await get(web, "/"))["visits"] for _ in range(2)]
        status = (await get(web, "/services"))["redis"]
        assert "running" == status["state"]

        os.kill(status["PID"], signal.SIGKILL)
        # Each request is a chance to look: the answer shows the state at that moment.
        while not (status["restarts"] and status["state"] == "running"):
            status = (await get(web, "/services"))["redis"]
        assert {"visits": 1} == await get(web, "/")

        assert (await app.stop()).exit_code in (0, None)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", redis)
    ports.release()
