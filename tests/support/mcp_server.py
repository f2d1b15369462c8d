"""A small MCP server on stdio without the SDK, which starts at once and does what a test needs."""

from __future__ import annotations

from tests.support.programs import child

__all__ = ["mcp_server"]

_CODE = """
import json, os, signal, sys, time

def put(text):
    sys.stdout.write(text)
    sys.stdout.flush()

def answer(id, result):
    put(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}) + "\\n")

def say(id, text):
    answer(id, {"content": [{"type": "text", "text": text}]})

def call(id, name, arguments):
    if name == "echo":
        say(id, arguments["text"])
    elif name == "length":
        say(id, str(len(arguments["text"])))
    elif name == "pid":
        say(id, str(os.getpid()))
    elif name == "die":
        print("out of luck", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "last_words":
        say(id, "last words")
        os._exit(3)
    elif name == "half":
        put('{"jsonrpc": "2.0", "id": %d, "res' % id)
        os._exit(3)
    elif name == "unended":
        put(json.dumps({"jsonrpc": "2.0", "id": id, "result": {"content": []}}))
        os._exit(3)
    elif name == "garbage":
        put("no message\\n\\n{}\\n[1, 2]\\n\\x00\\n")
        sys.stdout.buffer.write(bytes(range(128, 256)) + b"\\n")
        say(id, "after the garbage")
    elif name == "stderr":
        for _ in range(arguments["megabytes"]):
            sys.stderr.write(("x" * 1023 + "\\n") * 1024)
        say(id, "written")
    elif name == "notices":
        for n in range(arguments["count"]):
            notice = {"level": "info", "data": "x" * 1000}
            put(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": notice}) + "\\n")
        say(id, "told")
    elif name == "slow":
        put(json.dumps({"jsonrpc": "2.0", "method": "notifications/message",
                        "params": {"level": "info", "data": "begun"}}) + "\\n")
    elif name == "close_stdin":
        os.close(0)
        say(id, "closed")
        while True:
            signal.pause()
    elif name == "close_stdout":
        os.close(1)
        while True:
            signal.pause()
    elif name == "ignore_end":
        say(id, "ignored")
        sys.stdin.read()
        signal.pause()
    elif name == "leave_child":
        if os.fork() == 0:
            while True:
                signal.pause()
        os._exit(3)

for line in sys.stdin:
    message = json.loads(line)
    id, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if method == "initialize":
        answer(id, {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "small", "version": "1"},
        })
    elif method == "tools/list":
        names = ("echo length pid die last_words half unended garbage stderr notices slow close_stdin close_stdout "
                 "ignore_end leave_child").split()
        answer(id, {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]})
    elif method == "tools/call":
        call(id, params["name"], params.get("arguments") or {})
    elif id is not None:
        answer(id, {})
"""


def mcp_server() -> tuple[str, ...]:
    """Return the command line of the server. Its tools are the branches of its function ``call``."""
    return child(_CODE)
