"""The official MCP SDK over supervised servers: the streams of its ``ClientSession``. Needs the extra ``mcp``."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from aioverseer import Process, Service, SpecError, framing

if TYPE_CHECKING:
    from aioverseer.mcp.connection import McpStreams

__all__ = ["mcp_streams"]


def mcp_streams(server: Service | Process, *, grace: float = 2.0) -> AbstractAsyncContextManager[McpStreams]:
    """Return the streams of one session with an MCP server on stdio, for the ``ClientSession`` of the official SDK.

    ``async with mcp_streams(server) as (read, write), ClientSession(read, write) as session:``. The start of the block
    starts a program that is down, and waits until the program is ready; in its backoff, a service is waited for.

    A session is one run. When the run ends, each request without an answer gets an error with the reason, the
    ``message_handler`` of the session gets ``RunEnded``, and the reading side ends. The next block takes the next run.
    Lines that are no messages go to the ``message_handler`` as exceptions.

    The end of the block stops the server: its standard input is closed, and the ladder of ``stop=`` follows. A service
    then stays down until it is started, for example by the next block, which waits for the end of this one. A run from
    ``service.runs()`` is ended by SIGTERM and SIGKILL instead, and the policy of its service judges the end.

    A run takes one session at a time, as the answers of two could be mixed up: the start of a second block raises
    ``OverseerError``.

    Args:
        server: The server, with ``stdin="pipe"``. A Process of your own also needs ``streaming="stdout"``.
        grace: Seconds for the server to end by itself after its standard input was closed. A ladder that has the step
            ``Stop.close_stdin`` is taken as it is.

    Raises:
        SpecError: If the SDK is not installed, the server has no pipes to talk through, or belongs to a
            ThreadedOverseer.
    """
    if importlib.util.find_spec("mcp") is None:
        raise SpecError("mcp_streams() needs the MCP SDK: pip install 'aioverseer[mcp]'", option="mcp", value=None)
    given: Any = server
    if not isinstance(given, Service | Process):
        raise SpecError(
            f"mcp_streams() takes a Service or a Process, not {type(given).__name__}; with a ThreadedOverseer there is "
            "no session, as the SDK is asynchronous: use an Overseer within asyncio.run()",
            option="server",
            value=given,
        )
    spec = server.spec
    if spec.stdin != "pipe":
        raise SpecError(f'{spec.id!r} has no pipe for requests: give it stdin="pipe"', option="stdin", value=spec.stdin)
    if isinstance(server, Process) and server.stdout is None:
        raise SpecError(
            f'{spec.id!r} has no pipe for answers: give it streaming="stdout"', option="streaming", value=spec.streaming
        )
    if (spec.output if spec.stdout is None else spec.stdout) != "read":
        raise SpecError(
            f"{spec.id!r} has no pipe for answers: leave out stdout= and output=", option="stdout", value=spec.stdout
        )
    given = spec.framing
    stream: object = given.get("stdout") if hasattr(given, "get") else given
    if stream not in (None, framing.lines()):
        raise SpecError(
            f"{spec.id!r} is an MCP server, which writes lines: leave out the framing of its output",
            option="framing",
            value=given,
        )
    from aioverseer.mcp.connection import McpConnection  # noqa: PLC0415  # the SDK is an extra

    return McpConnection(server, grace=grace)
