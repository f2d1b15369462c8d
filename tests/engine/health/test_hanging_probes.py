"""A probe that hangs is named, with its time and with the answer before. The match of a line is kept."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from aioverseer import NotReadyInTime, Overseer, Process, Restart, State, ThreadedOverseer, ready
from aioverseer.core.options.composition import Probe
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

SLEEP = ("sleep", "100")


async def reason_of(probe: Probe, *argv: str, timeout: float = 0.5) -> str:
    """Return the error of a start that takes too long."""
    with pytest.raises(NotReadyInTime) as caught:
        await Process(*(argv or SLEEP), id="web", ready=probe, ready_timeout=timeout).start()
    return str(caught.value)


@contextmanager
def full(family: int, address: Any) -> Generator[Any]:
    """Listen with a full queue, so that a further connection neither succeeds nor fails; yield the address."""
    with socket.socket(family) as server:
        server.bind(address)
        server.listen(0)
        held: list[socket.socket] = []
        try:
            for _ in range(3):
                one = socket.socket(family)
                one.setblocking(False)  # it takes no keyword
                one.connect_ex(server.getsockname())
                held.append(one)
            yield server.getsockname()
        finally:
            for one in held:
                one.close()


@asynccontextmanager
async def answering(first: bytes) -> AsyncGenerator[int]:
    """Accept connections, send something and nothing more; yield the port."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        await over.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            over.set()


async def test_a_connection_that_is_not_accepted() -> None:
    """The first attempt hangs."""
    async with limit(20):
        with full(socket.AF_INET, ("127.0.0.1", 0)) as (_, port):
            said = await reason_of(ready.tcp(port, owner="any"))
    assert re.search(r"tcp 127\.0\.0\.1:\d+: attempt 1 has been waiting for 0\.\d s for a connection\)", said), said


@pytest.mark.parametrize(
    ("sent", "awaited"),
    [
        (b"", "an answer, after it was connected"),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", "an answer, after it was connected"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno", "the rest of the body"),
    ],
    ids=["nothing", "half of a header", "half of a body"],
)
async def test_an_http_server_that_does_not_finish_its_answer(sent: bytes, awaited: str) -> None:
    """The message says how far it came."""
    async with limit(20), answering(sent) as port:
        said = await reason_of(ready.http(f"http://127.0.0.1:{port}/", body="up", owner="any"), timeout=2)
    assert re.search(rf"attempt 1 has been waiting for \d\.\d s for {awaited}\)", said), said


async def test_a_command_that_does_not_end() -> None:
    """The probe is one, not the program."""
    async with limit(20):
        said = await reason_of(ready.command("sleep", "100"))
    assert re.search(r"command sleep: attempt 1 has been waiting for 0\.\d s for the end of the command\)", said), said


async def test_a_function_that_does_not_return_and_its_answer_before() -> None:
    """Both are named, in the error and by ``why()``."""
    clock = ManualClock()
    calls = 0

    async def look() -> bool:
        nonlocal calls
        calls += 1
        if calls == 3:
            await asyncio.Event().wait()
        raise ConnectionError(f"refused {calls}")

    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        web = overseer.add("web", "web", ready=ready.check(look), ready_timeout=4, restart=Restart("never"))
        start = asyncio.ensure_future(web.start())
        while calls < 3:
            await clock.advance(0.001)
        await clock.advance(2)
        before = "the one before: ConnectionError: refused 2"
        expected = f"attempt 3 has been waiting for 2.0 s for the function to return; {before}"
        assert expected in str(web.why())
        assert expected in web.status().reason
        await clock.advance(10)
        with pytest.raises(NotReadyInTime, match=r"attempt 3 has been waiting for 4\.0 s for the function to return"):
            await start


async def test_an_attempt_that_was_cancelled_is_the_one_before() -> None:
    """Each attempt has five seconds."""
    clock = ManualClock()

    async def look() -> None:
        await asyncio.Event().wait()

    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        web = overseer.add("web", "web", ready=ready.check(look), ready_timeout=None)
        start = asyncio.ensure_future(web.start())
        await clock.advance(8)
        said = str(web.why())
        pattern = r"attempt 2 has been waiting for \d\.\d s .*; the one before: no answer within 5 s"
        assert re.search(pattern, said), said
        start.cancel()


async def test_a_short_attempt_is_not_mentioned() -> None:
    """The last answer says more."""
    clock = ManualClock()

    async def look() -> None:
        raise ConnectionError("refused")

    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        web = overseer.add("web", "web", ready=ready.check(look), ready_timeout=4, restart=Restart("never"))
        start = asyncio.ensure_future(web.start())
        await clock.advance(10)
        with pytest.raises(NotReadyInTime) as caught:
            await start
    assert "look: ConnectionError: refused)" in str(caught.value)
    assert "attempt" not in str(caught.value)


async def test_a_line_that_does_not_come() -> None:
    """The message says whether any line came, and which."""
    async with limit(20):
        assert "a line with 'up': no line has come yet)" in await reason_of(ready.line("up"))
        said = await reason_of(ready.line("up"), "sh", "-c", "echo starting; echo nearly; echo; exec sleep 100")
        assert "a line with 'up': none of 3 lines matches, the last one is 'nearly')" in said
        said = await reason_of(ready.line("up", stream="stdout"), "sh", "-c", "echo up >&2; exec sleep 100")
        assert "a line with 'up' on stdout: no line has come yet)" in said


async def test_a_descriptor_that_is_closed_in_silence() -> None:
    """No newline can come any more."""
    async with limit(20):
        close_all = 'for f in /dev/fd/*; do eval "exec ${f##*/}>&-" 2>/dev/null; done; sleep 9'
        said = await reason_of(ready.fd(3), "bash", "-c", close_all)
    assert "a newline on descriptor 3: the program has closed it without a newline" in said


async def test_a_composed_probe_names_each_part() -> None:
    """Parts that are fulfilled are left out."""
    probe = ready.line("one") & ready.line("two") & ready.command("sleep", "100")
    async with limit(20):
        said = await reason_of(probe, "sh", "-c", "echo one; exec sleep 100")
    assert "a line with 'two': its one line is 'one'; command sleep: attempt 1 has been waiting" in said
    assert "a line with 'one': " not in said


# --- the match of a line


async def test_a_process_keeps_the_match_of_its_line() -> None:
    """Also after its end; before the line there is none."""
    process = Process(
        "sh",
        "-c",
        "echo hello; echo on 127.0.0.1:8123; read x",
        stdin="pipe",
        ready=ready.line(r":(?P<port>\d+)"),
    )
    before = process.ready_match
    assert before is None
    async with limit(20), process:
        match = process.ready_match
        assert match is not None
        assert ("8123", "on 127.0.0.1:8123") == (match["port"], match.string)
    assert match is process.ready_match


@pytest.mark.parametrize("encoding", ["utf-8", None])
async def test_bytes_are_matched_as_text(encoding: str | None) -> None:
    """The match is one of a str."""
    async with (
        limit(20),
        Process(
            "sh", "-c", "echo port 7; read x", stdin="pipe", encoding=encoding, ready=ready.line(r"port (\d)")
        ) as it,
    ):
        assert it.ready_match is not None
        assert "7" == it.ready_match[1]


async def test_other_probes_have_no_match() -> None:
    """A program without a probe has none either."""
    async with limit(20):
        async with Process(*SLEEP, ready=ready.command("true")) as process:
            assert process.ready_match is None
        async with Process(*SLEEP) as process:
            assert process.ready_match is None


async def test_the_first_probe_in_order_counts() -> None:
    """The order of the lines does not matter. Of alternatives, it is the one that has come."""
    script = ("sh", "-c", "echo b; echo a; read x")
    async with limit(20):
        async with Process(*script, stdin="pipe", ready=ready.line("(a)") & ready.line("(b)")) as process:
            assert process.ready_match is not None
            assert "a" == process.ready_match[1]
        async with Process(*script, stdin="pipe", ready=ready.line("(c)") | ready.line("(b)")) as process:
            assert process.ready_match is not None
            assert "b" == process.ready_match[1]


async def test_a_service_has_the_match_of_its_current_run() -> None:
    """A restart forgets that of the last run, and finds its own."""
    clock = ManualClock()
    scripts = [FakeChild().prints(f"port {n}").runs(10).exits(1) for n in (1, 2)]
    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, *scripts, FakeChild())) as overseer:
        web = overseer.add("web", "web", ready=ready.line(r"port (\d)"), ready_timeout=None)
        before = web.ready_match
        assert before is None
        await web.start()
        matches = [web.ready_match]
        await clock.advance(11)
        matches.append(web.ready_match)
        assert ["1", "2"] == [match[1] for match in matches if match is not None]
        await clock.advance(11)
        assert (State.STARTING, None) == (web.state, web.ready_match)


def test_it_is_the_same_for_threads() -> None:
    """The port that a program has chosen."""
    with ThreadedOverseer() as overseer:
        web = overseer.add("web", "sh", "-c", "echo port 99; exec sleep 100", ready=ready.line(r"port (\d+)"))
        web.start()
        assert web.ready_match is not None
        assert "99" == web.ready_match[1]
