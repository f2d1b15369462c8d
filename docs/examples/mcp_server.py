"""A small MCP server without the SDK, for docs/how-to/mcp.md: the tools echo, pid and die."""

import json
import os
import signal
import sys
from typing import Any

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "pid", "die")]


def call(name: str, arguments: dict[str, str]) -> str:
    if name == "die":
        print("the disk is on fire", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return arguments["text"] if name == "echo" else str(os.getpid())


for line in sys.stdin:
    message: dict[str, Any] = json.loads(line)
    params: dict[str, Any] = message.get("params") or {}
    result: dict[str, Any] = {}
    match message["method"]:
        case "initialize":
            info = {"name": "small", "version": "1"}
            result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
        case "tools/list":
            result = {"tools": TOOLS}
        case "tools/call":
            result = {"content": [{"type": "text", "text": call(params["name"], params.get("arguments") or {})}]}
        case _:
            pass
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
