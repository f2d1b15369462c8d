"""mcp_streams: the official SDK's client over a Process and over a Service."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from aioverseer import (
    Backoff,
    Overseer,
    OverseerError,
    Process,
    Restart,
    RunEnded,
    SpawnError,
    SpecError,
    State,
    Stop,
    ThreadedOverseer,
    framing,
)
from aioverseer.mcp import mcp_streams
from tests.support.mcp_server import mcp_server
from tests.support.programs import child, limit

sdk: Any = pytest.importorskip("mcp", reason="the extra mcp is not installed")
codec: Any = importlib.import_module("aioverseer.mcp.codec")
ERROR: Any = getattr(sdk, "MCPError", None) or sdk.McpError  # version 2, version 1

TOOL_CALL = '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "%s", "arguments": %s}}'


class Told:
    """The message_handler of a session: it keeps exceptions and notices."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.notices: list[Any] = []
        self.came = asyncio.Event()

    async def __call__(self, message: Any) -> None:
        """Keep a message."""
        (self.errors if isinstance(message, Exception) else self.notices).append(message)
        self.came.set()

    async def next(self) -> None:
        """Wait for one more message."""
        await self.came.wait()
        self.came.clear()


def server(**options: Any) -> Process:
    """Return the small server as a lone Process."""
    return Process(*mcp_server(), id="small", stdin="pipe", streaming="stdout", **options)


@asynccontextmanager
async def session_of(server: Any, told: Any = None, **options: Any) -> AsyncGenerator[Any]:
    """Open an initialised session."""
    async with (
        limit(20, "the session"),
        mcp_streams(server, **options) as (read, write),
        sdk.ClientSession(read, write, message_handler=told) as session,
    ):
        await session.initialize()
        await session.list_tools()  # or the session asks for them after the first call of each tool
        yield session


async def call(session: Any, name: str, **arguments: Any) -> str:
    """Call a tool and return its text."""
    result = await session.call_tool(name, arguments)
    return "".join(part.text for part in result.content)


async def test_session_with_a_process() -> None:
    process = server()
    async with session_of(process) as session:
        assert "hello" == await call(session, "echo", text="hello")
        assert process.state is State.RUNNING
    assert (State.INTERRUPT, 0) == (process.state, process.status().exit_code)


async def test_session_with_a_service_starts_it_and_ends_it() -> None:
    async with Overseer() as overseer:
        service = overseer.add("small", *mcp_server(), stdin="pipe")
        for text in ("first", "second"):
            async with session_of(service) as session:
                assert text == await call(session, "echo", text=text)
            assert (State.INTERRUPT, 0) == (service.state, service.status().exit_code)
        assert 2 == len(service.history)


@pytest.mark.parametrize("buffered", [False, True], ids=["streaming", "buffered"])
async def test_request_gets_the_reason_when_the_server_dies(buffered: bool) -> None:
    """The last lines are those of standard error, without messages."""
    told = Told()
    async with session_of(server(buffered=buffered), told) as session:
        with pytest.raises(ERROR, match=r"(?s)small.*SIGKILL.*out of luck") as caught:
            await call(session, "die")
        assert -32000 == caught.value.error.code
        await told.next()
    (error,) = told.errors
    assert isinstance(error, RunEnded)
    assert error.lines == ("out of luck",)


@pytest.mark.skipif(not hasattr(sdk, "Client"), reason="version 1 of the SDK")
async def test_client_whose_server_cannot_start_raises_the_reason() -> None:
    """It tries two handshakes, and raises the error of the second one."""
    process = Process(*child("import sys; sys.exit('no configuration')"), id="small", stdin="pipe", streaming="stdout")
    with pytest.raises(ExceptionGroup) as caught:
        async with limit(20), sdk.Client(mcp_streams(process)):
            pytest.fail("the handshake has succeeded")
    assert caught.group_contains(ERROR, match=r"exited with code 1\nlast lines:\n  no configuration$")


async def test_next_session_takes_the_run_that_the_policy_has_started() -> None:
    async with Overseer() as overseer:
        service = overseer.add("small", *mcp_server(), stdin="pipe", restart=Restart(backoff=Backoff(min=0.01)))
        async with session_of(service) as session:
            first = await call(session, "pid")
            with pytest.raises(ERROR, match=r"(?s)SIGKILL.*out of luck"):
                await call(session, "die")
            with pytest.raises(ERROR):
                await call(session, "echo", text="too late")
        async with session_of(service) as session:
            assert first != await call(session, "pid")
            assert 1 == service.status().restarts


async def test_each_run_of_a_service_takes_a_session() -> None:
    async with Overseer() as overseer:
        service = overseer.add("small", *mcp_server(), stdin="pipe", restart=Restart(backoff=Backoff(min=0.01)))
        runs = service.runs()
        await service.start()
        numbers: list[int] = []
        async with limit(20):
            async for run in runs:
                async with session_of(run) as session:
                    numbers.append(run.number)
                    if run.number == 3:
                        break
                    with pytest.raises(ERROR, match="SIGKILL"):
                        await call(session, "die")
        assert [1, 2, 3] == numbers
        assert (State.FINISHED, 0) == ((await service.wait()).state, service.status().exit_code)


async def test_run_that_ignores_the_end_of_its_input_is_ended_by_a_signal_and_judged() -> None:
    async with Overseer() as overseer:
        service = overseer.add("small", *mcp_server(), stdin="pipe", restart=Restart("never"))
        runs = service.runs()
        await service.start()
        run = await runs.get()
        async with session_of(run, grace=0.1) as session:
            await call(session, "ignore_end")
        assert "SIGTERM" in run.status().reason


async def test_server_that_ignores_the_end_of_its_input_gets_its_ladder() -> None:
    process = server(stop=Stop(timeout=1))
    async with session_of(process, grace=0.1) as session:
        await call(session, "ignore_end")
    assert State.INTERRUPT is process.state


@pytest.mark.parametrize("policy", ["always", "on-failure"])
async def test_end_of_a_session_is_a_stop_for_policy_and_critical_services(policy: Any) -> None:
    """The server may end as it likes at the end of its input: no restart follows, and nobody else ends."""
    async with Overseer() as overseer:
        command = ("sh", "-c", '"$@"; exit 7', "sh", *mcp_server())
        service = overseer.add("small", *command, stdin="pipe", critical=True, restart=Restart(policy))
        async with session_of(service) as session:
            await call(session, "echo", text="hello")
        assert ("a stop was asked for; exited with code 7", 1) == (service.status().reason, len(service.history))


async def test_ladder_with_the_end_of_the_input_is_taken_as_it_is() -> None:
    stop = Stop(steps=[Stop.close_stdin(0.1), (signal.SIGINT, 9)])
    process = server(stop=stop)
    async with session_of(process, grace=3600) as session:
        await call(session, "ignore_end")
    assert (signal.SIGINT,) == process.signals_sent


async def test_next_session_waits_for_the_end_of_the_earlier_one() -> None:
    """It takes a run of its own, and not the one that is being ended."""
    async with Overseer() as overseer:
        service = overseer.add("small", "sh", "-c", '"$@"; sleep 0.3', "sh", *mcp_server(), stdin="pipe")
        numbers: list[int] = []

        async def talk() -> None:
            async with session_of(service) as session:
                await call(session, "echo", text="hello")
                assert service.process is not None
                numbers.append(service.process.number)

        first = asyncio.create_task(talk())
        async with limit(20):
            await service.wait_for(State.STOPPING)
            await asyncio.gather(first, talk())
        assert [1, 2] == numbers


async def test_session_may_begin_in_the_moment_in_which_the_earlier_one_ends() -> None:
    async with Overseer() as overseer:
        service = overseer.add("small", *mcp_server(), stdin="pipe")

        async def talk() -> str:
            async with session_of(service) as session:
                return await call(session, "echo", text="hello")

        first = asyncio.create_task(talk())
        async with limit(20):
            await service.wait_for(State.RUNNING)
            await service.wait()
            assert "hello" == await talk()
            await first


async def test_second_session_with_one_run_is_refused() -> None:
    async with Overseer() as overseer:
        service = overseer.add("small", *mcp_server(), stdin="pipe")
        async with session_of(service) as session:
            run = service.process
            assert run is not None
            for same in (service, run):
                with pytest.raises(OverseerError, match="has a session already"):
                    async with mcp_streams(same):
                        raise AssertionError("both would read one pipe")
            assert "hello" == await call(session, "echo", text="hello")


async def test_text_beyond_the_encoding_of_the_service_passes() -> None:
    """The protocol is UTF-8, whatever the service says."""
    async with session_of(server(encoding="ascii", errors="surrogateescape")) as session:
        assert "7" == await call(session, "length", text="€€€€€€€")


async def test_answer_that_was_written_before_the_end_arrives() -> None:
    async with session_of(server()) as session:
        assert "last words" == await call(session, "last_words")


async def test_last_message_without_a_newline_arrives() -> None:
    async with session_of(server()) as session:
        assert "" == await call(session, "unended")


async def test_half_a_message_at_the_end_is_reported_and_the_request_fails() -> None:
    told = Told()
    async with session_of(server(), told) as session:
        with pytest.raises(ERROR, match="code 3"):
            await call(session, "half")
        while len(told.errors) < 2:
            await told.next()
    assert [ValueError, RunEnded] == [ValueError if isinstance(e, ValueError) else type(e) for e in told.errors]


async def test_garbage_goes_to_the_message_handler() -> None:
    told = Told()
    async with session_of(server(), told) as session:
        assert "after the garbage" == await call(session, "garbage")
        while len(told.errors) < 6:
            await told.next()
    assert all(isinstance(error, ValueError) for error in told.errors[:6])


async def test_message_of_some_megabytes_passes_both_ways() -> None:
    text = "x€" * 2_000_000
    async with session_of(server()) as session:
        assert text == await call(session, "echo", text=text)


async def test_much_standard_error_holds_no_answer_up() -> None:
    async with Overseer() as overseer:
        service = overseer.add("small", *mcp_server(), stdin="pipe")
        async with session_of(service) as session:
            assert "written" == await call(session, "stderr", megabytes=100)


async def test_slow_session_slows_the_server() -> None:
    """Nothing is read ahead of a session that takes nothing, but for one queue."""
    process = server(queue_size=10)
    async with limit(20), mcp_streams(process) as (read, write):
        await write.send(codec.decode(TOOL_CALL % ("notices", '{"count": 2000}')))
        while not process.stdout.blocked:
            await asyncio.sleep(0)
        assert process.stdout.qsize() < 10 + 64, "the queue and a chunk of the pipe"
        seen = 0
        async for message in read:
            seen += 1
            if codec.answered_id(message) == 1:
                break
        assert 2001 == seen


async def test_server_that_does_not_read_holds_up_the_session_alone() -> None:
    """A send waits while the pipe is full, and a cancelled one tears nothing."""
    process = server()
    async with limit(20), mcp_streams(process) as (read, write):
        process.signal(signal.SIGSTOP)
        big = TOOL_CALL % ("echo", json.dumps({"text": "x" * 1_000_000}))
        await write.send(codec.decode(big))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await write.send(codec.decode(big))
        process.signal(signal.SIGCONT)
        await write.send(codec.decode(TOOL_CALL % ("echo", '{"text": "small"}')))
        texts = [json.loads(codec.encode(await read.receive()))["result"]["content"][0]["text"] for _ in range(2)]
        assert ["x" * 1_000_000, "small"] == texts


async def test_server_that_closes_its_input_ends_the_session() -> None:
    async with session_of(server(), grace=0.1) as session:
        assert "closed" == await call(session, "close_stdin")
        with pytest.raises(ERROR):
            await call(session, "echo", text="unread")


async def test_server_that_closes_its_output_ends_the_session() -> None:
    async with session_of(server(), grace=0.1) as session:
        with pytest.raises(ERROR, match="has closed its standard output"):
            await call(session, "close_stdout")


async def test_descendant_with_the_pipe_does_not_hide_the_end() -> None:
    async with session_of(server()) as session:
        with pytest.raises(ERROR, match="code 3"):
            await call(session, "leave_child")


async def test_cancelled_session_leaves_nothing() -> None:
    process = server()
    told = Told()

    async def talk() -> None:
        async with session_of(process, told) as session:
            await call(session, "slow")

    task = asyncio.create_task(talk())
    while not told.notices:
        await told.next()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process.state.is_final


async def test_scope_of_anyio_that_is_cancelled_leaves_nothing() -> None:
    process = server()
    told = Told()
    async with limit(20), anyio.create_task_group() as group:

        async def talk() -> None:
            async with session_of(process, told) as session:
                await call(session, "slow")

        group.start_soon(talk)
        while not told.notices:
            await told.next()
        group.cancel_scope.cancel()
    assert process.state.is_final


async def test_blocks_may_end_in_any_order_and_in_another_task() -> None:
    first, second = server(), server()
    blocks = mcp_streams(first), mcp_streams(second)
    async with limit(20):
        for block in blocks:
            await asyncio.create_task(block.__aenter__())
        for block in blocks:
            await asyncio.create_task(block.__aexit__(None, None, None))
    assert [State.INTERRUPT] * 2 == [first.state, second.state]


async def test_program_that_cannot_be_started_raises_its_error() -> None:
    with pytest.raises(SpawnError):
        async with mcp_streams(Process("/nowhere/server", stdin="pipe", streaming="stdout")):
            raise AssertionError("there is no such program")


@pytest.mark.parametrize("options", [{"streaming": "stdout"}, {"stdin": "pipe"}])
async def test_missing_pipe_is_refused_with_the_option(options: Any) -> None:
    with pytest.raises(SpecError, match=r'give it (stdin="pipe"|streaming="stdout")'):
        mcp_streams(Process("x", **options))


async def test_cancelled_end_of_a_block_ends_the_server_first() -> None:
    process = Process("cat", stdin="pipe", streaming="stdout")
    block = mcp_streams(process)
    async with limit(20):
        await block.__aenter__()
        leaving = asyncio.create_task(block.__aexit__(None, None, None))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    assert (State.INTERRUPT, 0) == (process.state, process.status().exit_code)


def test_server_of_a_threaded_overseer_is_refused_with_what_to_use() -> None:
    with ThreadedOverseer() as overseer:
        service: Any = overseer.add("small", "small", stdin="pipe")
        with pytest.raises(SpecError, match=r"not ThreadedService; .* use an Overseer within asyncio.run\(\)"):
            mcp_streams(service)


async def test_output_that_is_not_read_is_refused() -> None:
    async with Overseer() as overseer:
        given: list[Any] = [{"stdout": "null"}, {"output": "null"}]
        for options in given:
            service = overseer.add("small", "cat", stdin="pipe", **options)
            with pytest.raises(SpecError, match="leave out stdout= and output="):
                mcp_streams(service)
            overseer.remove("small")


async def test_other_framing_is_refused() -> None:
    with pytest.raises(SpecError, match="writes lines"):
        mcp_streams(server(framing=framing.chunks()))
    for fitting in (framing.lines(), {"stderr": framing.chunks()}):
        mcp_streams(server(framing=fitting))


async def test_missing_sdk_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SpecError, match=r"pip install 'aioverseer\[mcp\]'"):
        mcp_streams(server())
