"""Real programs on stdio: MCP servers under the official SDK, and language servers; each is killed in the middle."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, Process, RequestChannel, Restart, RunEnded, State, framing, ready
from aioverseer.mcp import mcp_streams
from tests.support.programs import limit

AT_ONCE = Restart(backoff=Backoff(min=0.05))
BIN = Path(sys.executable).parent
SDK_SERVER = """
import asyncio
from mcp.server import MCPServer

server = MCPServer("sdk")

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

server.run()
"""


def found(program: str) -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(program, path=f"{BIN}:/usr/local/bin:/usr/bin:{Path.home()}/.local/bin") or shutil.which(
        program
    )
    if path is None:
        pytest.skip(f"not installed: {program}")
    return path


def has_module(name: str) -> bool:
    """Return whether a Python package is installed."""
    return importlib.util.find_spec(name) is not None


@pytest.mark.skipif(not has_module("mcp_types"), reason="not installed: version 2 of the MCP SDK")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("name", "tool", "arguments", "answer"),
    [
        ("sdk", "add", {"a": 2, "b": 3}, "5"),
        ("mcp-server-time", "get_current_time", {"timezone": "UTC"}, "UTC"),
        ("mcp-server-everything", "echo", {"message": "hello"}, "hello"),
    ],
)
async def test_mcp_server_is_killed_in_the_middle_of_a_request(
    name: str, tool: str, arguments: dict[str, Any], answer: str
) -> None:
    sdk: Any = importlib.import_module("mcp")
    command = [sys.executable, "-c", SDK_SERVER] if name == "sdk" else [found(name)]
    async with Overseer() as overseer, limit(100):
        service = overseer.add(name, *command, stdin="pipe", restart=AT_ONCE)
        for run in (1, 2):
            async with mcp_streams(service) as (read, write), sdk.ClientSession(read, write) as session:
                await session.initialize()
                assert tool in [each.name for each in (await session.list_tools()).tools]
                assert answer in str((await session.call_tool(tool, arguments)).content)
                if run == 2:
                    continue
                service.signal(signal.SIGSTOP)  # it is in the middle of the request
                call = asyncio.create_task(session.call_tool(tool, arguments))
                await asyncio.sleep(0)
                service.signal(signal.SIGKILL)
                with pytest.raises(sdk.MCPError, match="SIGKILL"):
                    await call
        assert (State.INTERRUPT, 0) == (service.state, service.status().exit_code)
        assert 2 == len(service.history)


DOCUMENT = {"uri": "file:///a.py", "languageId": "python", "version": 1, "text": "def answer():\n    return 42\n"}
SYMBOLS = {"method": "textDocument/documentSymbol", "params": {"textDocument": {"uri": DOCUMENT["uri"]}}}
FRAMES = framing.content_length()


def encode(message: dict[str, Any]) -> bytes:
    """Return the frame of a message."""
    return FRAMES.encode(json.dumps({"jsonrpc": "2.0", **message}).encode())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["pylsp", "pyright"])
async def test_language_server_answers_200_requests_with_a_kill_in_the_middle(name: str) -> None:
    if name == "pyright" and not has_module("pyright"):
        pytest.skip("not installed: pyright")
    command = [sys.executable, "-m", "pyright.langserver", "--stdio"] if name == "pyright" else [found("pylsp")]
    initialised: dict[int, asyncio.Future[None]] = {}

    async def initialise(run: Process) -> None:
        if run.number not in initialised:
            initialised[run.number] = asyncio.get_running_loop().create_future()
            params: dict[str, Any] = {"processId": None, "rootUri": None, "capabilities": {}}
            await run.write(encode({"id": f"run {run.number}", "method": "initialize", "params": params}))
        await asyncio.shield(initialised[run.number])
        await run.write(encode({"method": "initialized", "params": {}}))
        await run.write(encode({"method": "textDocument/didOpen", "params": {"textDocument": DOCUMENT}}))

    async def read(channel: RequestChannel) -> None:
        async for message in channel:
            word, _, number = str(message.get("id", "")).partition(" ")
            if word == "run":
                initialised[int(number)].set_result(None)

    async with Overseer() as overseer, limit(160):
        service = overseer.add(
            name,
            *command,
            stdin="pipe",
            framing={"stdout": FRAMES},
            ready=ready.check(initialise),
            ready_timeout=60,
            restart=AT_ONCE,
        )
        keys = itertools.count()
        async with RequestChannel(
            service,
            send=encode,
            parse=json.loads,
            key_of=lambda message: None if "method" in message else message["id"],
        ) as channel:
            reader = asyncio.create_task(read(channel))
            await service.start()

            async def symbols() -> str:
                key = next(keys)
                answer = await channel.ask(key, {"id": key, **SYMBOLS}, timeout=60)
                return str(answer["result"][0]["name"])

            lost = 0
            for number in range(200):
                if number == 100:
                    service.signal(signal.SIGSTOP)
                asked = asyncio.create_task(symbols())
                if number == 100:
                    await asyncio.sleep(0)
                    service.signal(signal.SIGKILL)
                try:
                    assert "answer" == await asked
                except RunEnded:
                    lost += 1
            assert (1, [1, 2]) == (lost, list(initialised))
            reader.cancel()
