"""McpConnection: two tasks between the pipes of a run and the streams of a session."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from aioverseer import (
    CloseStdin,
    ContinuedBytes,
    ContinuedLine,
    OverseerError,
    Process,
    ProcessNotRunning,
    RunEnded,
    Service,
    State,
    Stop,
    StopFailed,
)
from aioverseer.mcp.codec import answered_id, decode, encode, request_id

__all__ = ["McpConnection", "McpStreams"]

McpStreams: TypeAlias = tuple[MemoryObjectReceiveStream[Any], MemoryObjectSendStream[Any]]
"""The reading side and the writing side, for ``ClientSession``."""

_FLUSH_TIMEOUT = 0.5
"""Seconds for messages that the session handed over just before it ended, as in the SDK's own ``stdio_client``."""
_END_TIMEOUT = 0.5
"""Seconds from the end of the output to the end of the program. A program that lives on ends the session as well."""
_FOLLOW_UP_TIMEOUT = 0.2
"""Seconds for a request that follows at once on a failed one."""
_CONNECTION_CLOSED = -32000
"""The SDK's own code of requests that a closed connection leaves without an answer."""
_LAST_LINES = 10


class McpConnection(AbstractAsyncContextManager[McpStreams]):
    """Two tasks between the pipes of a run and the streams of a session.

    No cancel scope stays open between enter and exit, so another task may leave the block, and two blocks may end in
    any order.
    """

    def __init__(self, server: Service | Process, *, grace: float) -> None:
        self._server = server
        self._grace = grace
        self._pending: set[Any] = set()
        self._asked = asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None
        self._patience: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> McpStreams:
        """Start the server if needed. When this is cancelled, nothing is open yet, and the server is in order.

        Raises:
            OverseerError: If the run has a session already.
        """
        self._run = await self._start()
        # No await from here on: a cancellation would leave a task behind.
        if self._run.stdout in _sessions:
            raise OverseerError(
                f"{self._run.spec.id!r} has a session already, and an answer could go to the wrong one: share the "
                "ClientSession, or add a service for each session"
            )
        _sessions[self._run.stdout] = self
        self._to_session, self._read = anyio.create_memory_object_stream[Any](0)
        self._write, self._from_session = anyio.create_memory_object_stream[Any](0)
        name = self._run.spec.id
        self._reader = asyncio.create_task(self._pass_answers(), name=f"aioverseer mcp read {name}")
        self._writer = asyncio.create_task(self._pass_requests(), name=f"aioverseer mcp write {name}")
        return self._read, self._write

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run. A cancellation waits until that is done: each step of it is bounded."""
        self._leaving = leaving = asyncio.create_task(self._leave(), name=f"aioverseer mcp leave {self._run.spec.id}")
        cancelled: asyncio.CancelledError | None = None
        # anyio repeats its cancellations in each iteration of the event loop, and the scope holds them back.
        # Cancellations of asyncio come once, and this loop waits on.
        with anyio.CancelScope(shield=True):
            while not leaving.done():
                try:
                    await asyncio.wait({leaving})
                except asyncio.CancelledError as caught:
                    cancelled = caught
        await leaving
        if cancelled is not None:
            raise cancelled

    async def _start(self) -> Process:
        server = self._server
        if isinstance(server, Process):
            await (server.start() if server.state is State.INITIAL else server.ready())
            return server
        await self._leave_of_earlier(server)
        if server.state in (State.STARTING, State.RUNNING, State.BACKOFF):
            await server.ready()
        elif server.state is State.WAITING:
            await server.trigger()
        else:  # it is down, or is being stopped
            await server.start()
        while (run := server.process) is None:  # it has ended again in this iteration of the loop
            await server.wait_for(State.RUNNING)
        return run

    async def _leave_of_earlier(self, server: Service) -> None:
        """Wait until no session is ending the run: the next one takes the next run. Safe to cancel."""
        while (
            (run := server.process) is not None
            and (earlier := _sessions.get(run.stdout)) is not None
            and (leaving := earlier._leaving) is not None  # noqa: SLF001  # of the same class
            and not leaving.done()
        ):
            await asyncio.wait({leaving})

    async def _pass_answers(self) -> None:
        """Pass on the output. After the session, read on: a server that is blocked in a write cannot end itself."""
        parts: list[Any] = []
        with self._to_session:
            try:
                async for item in self._run.stdout:
                    parts.append(item)
                    if not isinstance(item, ContinuedLine | ContinuedBytes):
                        await self._pass_on(parts)
                if parts:
                    await self._pass_on(parts)
                await self._report_end()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the session has gone
        async for _ in self._run.stdout:
            pass

    async def _pass_on(self, parts: list[Any]) -> None:
        message = decode(parts[0][:0].join(parts))
        parts.clear()
        self._pending.discard(answered_id(message))
        await self._to_session.send(message)

    async def _report_end(self) -> None:
        """Answer each pending request with the reason of the end, and tell the session."""
        ended = asyncio.ensure_future(self._run.wait())
        await asyncio.wait({ended}, timeout=_END_TIMEOUT)
        ended.cancel()
        error = self._error()
        was_asked = bool(self._pending)
        await self._fail_pending(error)
        await self._to_session.send(error)
        if not was_asked:
            return
        # The SDK's Client tries a second handshake after a failed one, and raises the error of the second.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FOLLOW_UP_TIMEOUT):
                while True:
                    await self._asked.wait()
                    await self._fail_pending(error)

    async def _fail_pending(self, error: RunEnded) -> None:
        """Answer each pending request with an error."""
        self._asked.clear()
        while self._pending:
            request = self._pending.pop()
            failure = {"code": _CONNECTION_CLOSED, "message": str(error)}
            text = json.dumps({"jsonrpc": "2.0", "id": request, "error": failure})
            await self._to_session.send(decode(text))

    def _error(self) -> RunEnded:
        status, server = self._run.status(), self._server
        if isinstance(server, Service):
            lines = [line.text for line in server.tail(100) if line.stream == "stderr" and line.run == self._run.number]
        else:
            # They are of both streams: messages are left out.
            lines = [line for line in status.last_lines if isinstance(decode(line), Exception)]
        what = status.reason if status.state.is_final else "has closed its standard output"
        return RunEnded(
            f"the session with {status.id!r} is over: the server {what}",
            id=status.id,
            status=status,
            lines=lines[-_LAST_LINES:],
        )

    async def _pass_requests(self) -> None:
        """Write what the session sends. A server that does not read any more ends the session, after its last words."""
        is_read = True
        with self._from_session:
            async for message in self._from_session:
                if (request := request_id(message)) is not None:
                    self._pending.add(request)
                    self._asked.set()
                if not is_read:
                    continue  # the end of the session answers it
                try:
                    await self._run.write(encode(message).encode())
                except (ProcessNotRunning, OSError):
                    is_read = False
                    self._patience = asyncio.get_running_loop().call_later(self._grace, self._reader.cancel)

    async def _leave(self) -> None:
        run = self._run
        # The reader drains from now on. A server that is blocked in a write reads its input only after that.
        self._read.close()
        self._write.close()
        await asyncio.wait({self._writer}, timeout=_FLUSH_TIMEOUT)
        self._writer.cancel()
        try:
            if not run.state.is_final:
                await self._end_run()
        finally:
            if self._patience is not None:
                self._patience.cancel()
            self._reader.cancel()
            await asyncio.wait({self._reader, self._writer})
            # Last: the next session waits for the end of this one.
            _sessions.pop(run.stdout, None)

    async def _end_run(self) -> None:
        """Stop the server by its ladder, with the end of its input first.

        To close the input alone would leave the end to the policy: a restart, or the end of all for a critical service.
        """
        ladder = self._server.spec.stop
        if not any(isinstance(step, CloseStdin) for step in ladder.steps):
            ladder = Stop(steps=[Stop.close_stdin(self._grace), *ladder.steps], scope=ladder.scope)
        try:
            await self._server.stop(ladder=ladder)
        except StopFailed:
            raise
        except OverseerError:  # the service of this run alone stops it
            await self._end_run_of_service()

    async def _end_run_of_service(self) -> None:
        """End a run by signals. The policy of its service judges the end."""
        self._run.close_stdin()
        ended = asyncio.ensure_future(self._run.wait())
        try:
            await asyncio.wait({ended}, timeout=self._grace)
            for number in (signal.SIGTERM, signal.SIGKILL):
                if not ended.done():
                    with contextlib.suppress(ProcessNotRunning):  # its last output is being read
                        self._run.signal(number)
                    await asyncio.wait({ended}, timeout=self._grace)
        finally:
            ended.cancel()


_sessions: WeakKeyDictionary[Any, McpConnection] = WeakKeyDictionary()
"""The session of each run, by the queue of its output: all handles of a run have the same one."""
