"""Readiness of a program: each probe with a real program, the policies on a manual clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from aioverseer import (
    GaveUp,
    NotReady,
    NotReadyInTime,
    Overseer,
    Process,
    ProcessNotRunning,
    Restart,
    SpawnError,
    SpecError,
    State,
    Stop,
    ready,
)
from aioverseer._engine.health.progress import ProbeProgress
from aioverseer._system.probes import notify_socket
from aioverseer.core.options.composition import Probe
from aioverseer.core.options.containment import Survivor
from aioverseer.testing import FakeChild, ManualClock, RunningChild, ScriptedLauncher
from tests.support.programs import child, limit, opened

SLEEP = "import time\ntime.sleep(100)\n"
NOTIFY = """
import os, socket, sys, time
name = os.environ["NOTIFY_SOCKET"]
name = "\\0" + name[1:] if name[0] == "@" else name
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), name)
"""
SERVER = """
import asyncio, socket, sys
async def answer(reader, writer):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    status = b"404 Gone" if b"/gone" in head else b"200 OK"
    writer.write(b"HTTP/1.1 " + status + b"\\r\\nContent-Length: 4\\r\\n\\r\\nfine")
    await writer.drain()
    writer.close()
    print("answered", flush=True)
async def quiet(reader, writer):
    try:
        await answer(reader, writer)
    except Exception:
        writer.close()
async def main():
    server = await asyncio.start_server(quiet, "127.0.0.1", int(sys.argv[1]))
    print("listening", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def free_port() -> int:
    """Return a port on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(code: str, *args: str, **options: Any) -> AsyncGenerator[Process]:
    """Start a program until it is ready, and kill it at the end."""
    process = Process(*child(code, *args), stop=Stop(9, 2), **options)
    try:
        async with limit(20, "the start"):
            await process.start()
        yield process
    finally:
        await process.stop(kill=True)


# --- each probe, with a real program


async def test_tcp_waits_until_the_program_accepts() -> None:
    """It is not enough that the program runs or has bound the port."""
    port = free_port()
    code = f"""
        import socket, sys, time
        s = socket.socket()
        s.bind(("127.0.0.1", {port}))
        print("bound", flush=True)
        sys.stdin.readline()
        s.listen()
        time.sleep(100)
    """
    process = Process(*child(code), stdin="pipe", streaming=True, ready=ready.tcp(port))
    starting = asyncio.ensure_future(process.start())
    assert process.stdout is not None
    async with limit():
        assert "bound" == await process.stdout.get()
        assert (State.STARTING, False) == (process.state, starting.done())
        await process.write(b"\n")
        await starting
    assert State.RUNNING is process.state
    await process.stop()


async def test_tcp_accepts_names_and_finds_ipv6() -> None:
    """``localhost`` is the loopback of either family, without a resolver thread."""
    port = free_port()
    async with running(SERVER, str(port), ready=ready.tcp(port, host="localhost")) as process:
        assert State.RUNNING is process.state


async def test_connection_with_itself_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP allows that both ends are the same: after many attempts, a port connects to itself."""
    from aioverseer._system.probes import attempts
    from aioverseer._system.probes.answer import NotYet

    port = free_port()
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    met: list[bool] = []

    async def from_the_same_port(near: socket.socket, address: Any) -> None:
        near.bind(address)  # the system picks this port once in some ten thousand times
        await connect(near, address)
        met.append(near.getsockname() == near.getpeername())

    monkeypatch.setattr(loop, "sock_connect", from_the_same_port)
    with pytest.raises(NotYet, match="connection refused"):
        await attempts._connect_tcp("127.0.0.1", port)
    assert [True] == met


async def test_unix_needs_a_listening_socket(tmp_path: Path) -> None:
    """A socket file of an earlier run refuses connections. The path is relative to the program's folder."""
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(tmp_path / "s"))
    code = """
        import os, socket, sys, time
        print("up", flush=True)
        sys.stdin.readline()
        os.unlink("s")
        s = socket.socket(socket.AF_UNIX)
        s.bind("s")
        s.listen()
        time.sleep(100)
    """
    process = Process(*child(code), cwd=tmp_path, stdin="pipe", streaming=True, ready=ready.unix("s"))
    starting = asyncio.ensure_future(process.start())
    assert process.stdout is not None
    async with limit():
        await process.stdout.get()
        assert not starting.done()
        await process.write("\n")
        await starting
    await process.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reaches a folder by a descriptor")
@pytest.mark.parametrize("by", ["cwd", "path"])
async def test_socket_in_a_folder_with_a_long_path_is_found(tmp_path: Path, by: str) -> None:
    """An address holds 107 bytes. The program binds a short path in its folder, so it does not care."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    code = "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('s'); s.listen(); time.sleep(100)"
    path = "s" if by == "cwd" else folder / "s"
    async with limit(), Process(*child(code), cwd=folder, ready=ready.unix(path), ready_timeout=20) as process:
        assert State.RUNNING is process.state


async def test_full_queue_of_a_unix_listener_is_no_answer(tmp_path: Path) -> None:
    """The program does not accept. The connection is made when there is room."""
    from aioverseer._system.probes import attempts
    from aioverseer._system.probes.answer import NotYet

    address, waiting = str(tmp_path / "s"), list[socket.socket]()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(0)
        with pytest.raises(BlockingIOError):  # noqa: PT012  # the number of connections depends on the system
            while True:
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect(address)
        with pytest.raises(NotYet, match="its queue of connections is full"):
            await attempts._connect_unix(address)
        listener.accept()[0].close()
        assert await attempts._connect_unix(address) == (os.getpid() if sys.platform == "linux" else None)
    for connection in waiting:
        connection.close()


async def test_program_that_accepts_nobody_is_not_ready(tmp_path: Path) -> None:
    """Its queue is full from the start."""
    code = """
        import socket, sys
        s = socket.socket(socket.AF_UNIX)
        s.bind("s")
        s.listen(0)
        held = []
        try:
            while True:
                held.append(socket.socket(socket.AF_UNIX))
                held[-1].setblocking(False)
                held[-1].connect("s")
        except BlockingIOError:
            sys.stdin.readline()
        s.listen(20)
        sys.stdin.readline()
    """
    process = Process(*child(code), cwd=tmp_path, stdin="pipe", ready=ready.unix("s"))
    starting = asyncio.ensure_future(process.start())
    async with limit():
        while "full" not in process._runner.health_summary:
            assert not starting.done()
            await asyncio.sleep(0)
        await process.write("\n")
        assert await starting is process
    await process.stop()


@pytest.mark.parametrize("fresh", [True, False])
async def test_file_of_an_earlier_run_counts_only_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fresh: bool
) -> None:
    """The file of a crashed run would make the next run ready too early."""
    from aioverseer._system.probes.attempts import ProbeAttempts

    check, checked = ProbeAttempts._check, asyncio.Event()

    def check_and_set(attempts: ProbeAttempts, probe: Any) -> None:
        try:
            check(attempts, probe)
        finally:
            checked.set()

    monkeypatch.setattr(ProbeAttempts, "_check", check_and_set)
    (tmp_path / "up").write_text("old")
    code = "import sys\nsys.stdin.readline()\nopen('up', 'w').write('new')\n" + SLEEP
    process = Process(*child(code), cwd=tmp_path, stdin="pipe", ready=ready.file("up", fresh=fresh))
    starting = asyncio.ensure_future(process.start())
    async with limit():
        if fresh:
            await checked.wait()
            checked.clear()
            await checked.wait()  # so the first result is recorded
            assert "as it was before the start" in process._runner.health_summary
            assert not starting.done()
            await process.write("\n")
        await starting
    await process.stop()


async def test_command_runs_until_it_exits_with_0(tmp_path: Path) -> None:
    """In the folder and environment of the program."""
    # It fails at first, and makes the file that it checks.
    probe = ready.command("sh", "-c", 'test "$MINE" = 1 && { test -f up || { echo no > up; exit 1; }; }')
    async with running(SLEEP, cwd=tmp_path, extra_env={"MINE": "1"}, ready=probe):
        assert "no\n" == (tmp_path / "up").read_text()


async def test_last_output_of_a_command_is_reported() -> None:
    """It often says what is wrong."""
    probe = ready.command("sh", "-c", "echo no such table >&2; exit 3")
    process = Process(*child(SLEEP), ready=probe, ready_timeout=0.3, stop=Stop(9, 2))
    with pytest.raises(NotReadyInTime, match="command sh: exited with code 3: no such table"):
        await process.start()


async def test_command_that_hangs_ends_with_the_start() -> None:
    """It leaves nothing behind."""
    process = Process(*child(SLEEP), ready=ready.command("sleep", "1000"), ready_timeout=0.2, stop=Stop(9, 2))
    with pytest.raises(NotReadyInTime):
        await process.start()


async def test_function_gets_the_process() -> None:
    """It is called again after an exception or False."""
    answers: list[object] = [OSError("no"), False, None]
    given: list[object] = []

    async def look(process: Process) -> object:
        given.append(process)
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async with running(SLEEP, ready=ready.check(look)) as process:
        assert [process] * 3 == given
        assert [] == answers


async def test_line_is_searched_in_the_named_stream() -> None:
    """The same words in the other stream do not count."""
    code = """
        import sys, time
        print("server is up", flush=True)
        sys.stdin.readline()
        print("server is up", file=sys.stderr, flush=True)
        time.sleep(100)
    """
    process = Process(*child(code), stdin="pipe", streaming=True, ready=ready.line(r"is \w+$", stream="stderr"))
    starting = asyncio.ensure_future(process.start())
    assert process.stdout is not None
    async with limit():
        assert "server is up" == await process.stdout.get()
        assert not starting.done()
        await process.write("\n")
        await starting
    await process.stop()


async def test_lines_of_bytes_are_searched() -> None:
    """For every encoding of the program."""
    code = "import sys\nsys.stdout.buffer.write(b'\\xff up\\n')\nsys.stdout.flush()\n" + SLEEP
    async with running(code, encoding=None, ready=ready.line("up")) as process:
        assert process.stdout is None


async def test_lines_are_searched_although_nobody_reads_them() -> None:
    """A probe for a line makes the output be read."""
    code = "print('up', flush=True)\n" + SLEEP
    async with running(code, buffered=False, ready=ready.line("up")) as process:
        assert (None, None) == process._runner.streams.kept_lines()


async def test_notices_reach_the_host_through_a_shim() -> None:
    """Even with the strictest containment: the descriptor is passed on, and the socket accepts the session."""
    by_descriptor = "import os\nos.write(3, b'\\n')\n" + SLEEP
    by_notice = NOTIFY + "say('READY=1')\n" + SLEEP
    async with limit(20), Overseer(containment="strict") as overseer:
        one = overseer.add("one", *child(by_descriptor), ready=ready.fd())
        two = overseer.add("two", *child(by_notice), ready=ready.notify())
        await overseer.start_all()
        assert [State.RUNNING] * 2 == [one.state, two.state]
        assert "strict" == one.status().containment


@pytest.mark.parametrize("options", [{}, {"pty": True}, {"umask": 0o22}], ids=["plain", "on a terminal", "wrapped"])
async def test_newline_on_a_descriptor(options: dict[str, Any]) -> None:
    """Bytes before it do not count. The program's own descriptors are complete."""
    code = "import os\nos.write(4, b'not yet')\nprint('said')\nos.write(4, b'\\n')\nos.close(4)\n" + SLEEP
    async with running(code, ready=ready.fd(4), **options) as process:
        assert State.RUNNING is process.state


async def test_missing_program_with_a_ready_descriptor_is_an_error() -> None:
    """The shell in front of it does not hide the error."""
    with pytest.raises(SpawnError, match="there is no program 'no-such-program'"):
        await Process("no-such-program", ready=ready.fd()).start()


async def test_composed_probes() -> None:
    """``|`` needs one success, ``&`` needs both, in any order."""
    port = free_port()
    code = "import os\nprint('one')\nos.write(3, b'\\n')\n" + SLEEP
    probe = (ready.line("one") & ready.fd()) | ready.tcp(port)
    async with running(code, ready=probe) as process:
        assert State.RUNNING is process.state


@pytest.mark.parametrize(("path", "body", "good"), [("", "fine", True), ("gone", None, False), ("", "bad", False)])
async def test_http_checks_status_and_body(path: str, body: str | None, *, good: bool) -> None:
    """The client is an extra."""
    pytest.importorskip("httpx", reason="the extra http is not installed")
    port = free_port()
    probe = ready.http(f"http://127.0.0.1:{port}/{path}", body=body)
    if good:
        async with running(SERVER, str(port), ready=probe) as process:
            assert State.RUNNING is process.state
        return
    process = Process(
        *child(SERVER, str(port)), ready=probe, ready_timeout=None, streaming=True, merge_stderr=True, stop=Stop(9, 2)
    )
    starting = asyncio.ensure_future(process.start())
    assert process.stdout is not None
    async with limit(25):
        for said in ("listening", "answered", "answered"):  # asked again: so the first answer has been judged
            assert said == await process.stdout.get()
        assert ("status 404" if path else "'bad' is not in its body") in process._runner.health_summary
        await process.stop()
        with pytest.raises(NotReady):
            await starting


async def test_postgresql_becomes_ready() -> None:
    """Where it is installed: by its port, and by its own command."""
    initdb, postgres, is_ready = (shutil.which(name) for name in ("initdb", "postgres", "pg_isready"))
    if not (initdb and postgres and is_ready):
        pytest.skip("PostgreSQL is not installed")
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        if not shutil.which("setpriv"):
            pytest.skip("PostgreSQL does not run as root, and there is no setpriv")
        user = {"user": "nobody"}
    port = free_port()
    # Not in tmp_path, which only the user of the tests may enter.
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        data.mkdir()
        if user:
            Path(name).chmod(0o755)
            shutil.chown(data, "nobody")
        made = await Process(initdb, "-D", data, "--no-sync", "-A", "trust", **user)
        assert made.ok, made.stderr
        words: list[str | Path] = [postgres, "-D", data, "-p", str(port), "-k", "", "-F"]
        probe = ready.tcp(port) & ready.command(is_ready, "-q", "-h", "127.0.0.1", "-p", str(port))
        async with Process(*words, ready=probe, stop=Stop(2, 10), **user) as server:
            assert State.RUNNING is server.state


# --- notices to NOTIFY_SOCKET


async def test_notices_are_received_and_shown() -> None:
    """STATUS before and after READY. Other processes of the program may send for it."""
    code = (
        NOTIFY
        + """
say("STATUS=warming up")
print("said", flush=True)
sys.stdin.readline()
if os.fork() == 0:
    os.setsid()
    say("READY=1\\nSTATUS=at work")
    os._exit(0)
os.wait()
sys.stdin.readline()
say("STOPPING=1")
time.sleep(100)
"""
    )
    async with Overseer() as overseer, limit(20):
        events = overseer.events()
        web = overseer.add("web", *child(code), stdin="pipe", ready=ready.notify())
        lines = web.lines()
        starting = asyncio.ensure_future(web.start())
        await lines.get()  # by this iteration the notice was read
        assert "says: warming up" in str(web.why())
        assert "waits for READY=1 on NOTIFY_SOCKET" in str(web.why())
        await web.write("\n")
        await starting
        assert "says: at work" in str(web.why())
        await web.write("\n")
        async for event in events:
            if event.kind == "health":
                assert (State.RUNNING, "says that it is stopping") == (event.state, event.reason)
                break


def test_sender_that_ends_during_its_check_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session could still be read but its parent could not, so one notice in fifty was lost."""
    real = notify_socket._parent
    sender = subprocess.Popen(["sleep", "100"], start_new_session=True)

    def end_first(pid: int) -> int:
        sender.kill()
        sender.wait()
        return real(pid)

    monkeypatch.setattr(notify_socket, "_parent", end_first)
    listening = notify_socket.NotifySocket()
    try:
        assert listening._is_ours(sender.pid, os.geteuid())
    finally:
        listening.close()


async def test_notice_of_a_stranger_is_ignored() -> None:
    """From outside of the program's session and tree: another service with the same variable, or this test."""
    code = "import os\nprint(os.environ['NOTIFY_SOCKET'], flush=True)\n" + SLEEP
    process = Process(*child(code), streaming=True, ready=ready.notify(), ready_timeout=0.3, stop=Stop(9, 2))
    starting = asyncio.ensure_future(process.start())
    assert process.stdout is not None
    name = await process.stdout.get()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"READY=1", "\0" + name[1:] if name[0] == "@" else name)
    with pytest.raises(NotReadyInTime):
        await starting


async def test_descriptors_of_a_notice_are_closed() -> None:
    """The sender of a BARRIER waits for that, and nothing may leak in the host."""
    code = (
        NOTIFY
        + """
import array
r, w = os.pipe()
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.connect(name)
    s.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [w]))])
os.close(w)
assert os.read(r, 1) == b""
say("READY=1")
time.sleep(100)
"""
    )
    async with running(code, ready=ready.notify()) as process:
        assert State.RUNNING is process.state


# --- a program that does not become ready


async def test_end_before_ready_is_reported_at_once() -> None:
    """With its last lines, and without waiting for the timeout."""
    began = time.monotonic()
    with pytest.raises(NotReady, match="exited with code 3 before it was ready") as caught:
        await Process(*child("print('port is in use')\nraise SystemExit(3)"), ready=ready.tcp(free_port())).start()
    assert ("port is in use",) == caught.value.lines
    assert not isinstance(caught.value, TimeoutError)
    assert time.monotonic() - began < 5


async def test_ready_timeout_ends_the_program() -> None:
    """The error is also a TimeoutError and names the probe. The state is FATAL."""
    process = Process(*child("print('slow')\n" + SLEEP), ready=ready.tcp(free_port()), ready_timeout=0.3)
    with pytest.raises(NotReadyInTime, match="connection refused") as caught:
        await process.start()
    assert ("slow",) == caught.value.lines
    assert (State.FATAL, caught.value) == (process.state, process.error)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(ProcessNotRunning):
        process.signal(15)


async def test_ready_line_just_before_the_end_counts() -> None:
    """The program was ready, and then it ended."""
    process = Process(*child("print('ready')"), ready=ready.line("ready"))
    async with limit():
        await process.start()
        assert (await process.wait()).ok


async def test_ready_waits_for_a_start_by_another_task() -> None:
    """With a limit of its own, or until it has become impossible."""
    process = Process(
        *child("import sys\nsys.stdin.readline()\nprint('up')\n" + SLEEP), stdin="pipe", ready=ready.line("up")
    )
    starting = asyncio.ensure_future(process.start())
    with pytest.raises(NotReadyInTime, match="waits for a line with 'up'"):
        await process.ready(0.2)
    await process.write("\n")
    async with limit():
        assert process is await process.ready()
        await starting
        await process.stop()
        assert process is await process.ready(1)  # ready before


async def test_cancelled_start_leaves_nothing() -> None:
    """During every kind of probe."""
    probe = ready.tcp(free_port()) & ready.command("sleep", "100") & ready.notify() & ready.fd() & ready.line("x")
    process = Process(*child("print('up', flush=True)\n" + SLEEP), streaming=True, ready=probe)
    starting = asyncio.ensure_future(process.start())
    assert process.stdout is not None
    assert "up" == await process.stdout.get()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert process.state.is_final


async def test_stop_before_ready_is_a_stop() -> None:
    """The state is INTERRUPT, and all waits end."""
    process = Process(
        *child("print('up', flush=True)\n" + SLEEP), streaming=True, ready=ready.tcp(free_port()), stop=Stop(9, 2)
    )
    starting = asyncio.ensure_future(process.start())
    assert process.stdout is not None
    assert "up" == await process.stdout.get()
    status = await process.stop()
    assert State.INTERRUPT is status.state
    with pytest.raises(NotReady):
        await starting


async def test_no_probe_after_a_stop_during_the_launch() -> None:
    """The program is ended as soon as it is spawned."""
    asked: list[object] = []

    async def look() -> bool:
        asked.append(1)
        return False

    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild())
    process = Process("web", ready=ready.check(look), clock=clock, launcher=launcher)
    async with limit():
        starting = asyncio.ensure_future(process.start())
        await asyncio.sleep(0)
        assert (State.STARTING, None) == (process.state, process.pid)
        assert State.INTERRUPT is (await process.stop()).state
        with pytest.raises(NotReady):
            await starting
    assert [] == asked


def test_process_refuses_options_of_services() -> None:
    """The error says what to do."""
    for options in ({"after": "db"}, {"critical": True}):
        with pytest.raises(SpecError, match=r"is for a Service: use Overseer\.add"):
            Process("true", **cast("Any", options))


# --- services, on a manual clock


@asynccontextmanager
async def scripted(*scripts: FakeChild) -> AsyncGenerator[tuple[Overseer, ManualClock, ScriptedLauncher]]:
    """Return an overseer with a manual clock and scripted children."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *scripts)
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        yield overseer, clock, launcher


async def test_ready_timeout_needs_no_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The policy restarts the service; a stop restarts nothing."""
    looked: list[int] = []

    async def look(child: RunningChild) -> tuple[Survivor, ...]:
        looked.append(child.pid)
        return ()

    monkeypatch.setattr(RunningChild, "sweep_all", look)
    monkeypatch.setattr(RunningChild, "may_have_left", lambda _child: True)
    async with scripted() as (overseer, clock, launcher):
        web = overseer.add("web", "web", ready=ready.line("up"), ready_timeout=10, restart=Restart(max_restarts=9))
        starting = asyncio.ensure_future(web.start())
        await clock.advance(15)
        assert (2, []) == (len(launcher.children), looked)
        await web.stop()
        assert [launcher.children[1].pid] == looked
        with pytest.raises(NotReady):
            await starting


async def test_service_is_starting_until_it_is_ready() -> None:
    """Its reason names the probe and the time that is left."""
    async with scripted(FakeChild().runs(5).prints("up")) as (overseer, clock, _):
        web = overseer.add("web", "web", ready=ready.line("up"), ready_timeout=20)
        starting = asyncio.ensure_future(web.start())
        await clock.advance(4)
        assert State.STARTING is web.state
        why = web.why()
        assert ("it is ready, or is ended", 16.0) == (why.due, why.due_in)
        assert "waits for a line with 'up'" in str(why)
        await clock.advance(1)
        assert web is await starting
        assert "running" == str(web.state)


async def test_ready_timeout_is_judged_as_a_failure() -> None:
    """The run ends by its ladder, is restarted by the policy, and given up when the budget is spent."""
    async with scripted(FakeChild()) as (overseer, clock, launcher):
        web = overseer.add(
            "web", "web", ready=ready.line("up"), ready_timeout=10, restart=Restart(max_restarts=2, within=None)
        )
        events = overseer.events()
        starting = asyncio.ensure_future(web.start())
        await clock.advance(1000)
        with pytest.raises(NotReadyInTime, match="gave up"):
            await starting
        assert 3 == len(launcher.children)
        assert [[15]] * 3 == [one.signals for one in launcher.children]
        assert isinstance(web.status().error, GaveUp)
        states: list[State] = []
        while (event := events.get_nowait()) is not None:
            states.append(event.state)
        run = [State.STARTING, State.STOPPING]
        assert [*run, State.BACKOFF, *run, State.BACKOFF, *run, State.FATAL] == states


async def test_stop_after_a_ready_timeout_is_a_stop() -> None:
    """The ladder goes on, and no restart follows."""
    async with scripted(FakeChild().ignores(15)) as (overseer, clock, launcher):
        web = overseer.add("web", "web", ready=ready.line("up"), ready_timeout=10)
        starting = asyncio.ensure_future(web.start())
        await clock.advance(12)
        assert (State.STOPPING, [15]) == (web.state, launcher.children[0].signals)
        stopping = asyncio.ensure_future(web.stop())
        await clock.advance(100)
        assert State.INTERRUPT is (await stopping).state
        with pytest.raises(NotReady):
            await starting
        assert [15, 9] == launcher.children[0].signals


async def test_program_may_ask_for_more_time() -> None:
    """EXTEND_TIMEOUT_USEC, several times."""
    script = FakeChild().runs(8).notifies("EXTEND_TIMEOUT_USEC=15000000", "STATUS=replaying the log").runs(14)
    async with scripted(script.notifies("READY=1")) as (overseer, clock, _):
        db = overseer.add("db", "db", ready=ready.notify(), ready_timeout=10)
        starting = asyncio.ensure_future(db.start())
        await clock.advance(12)
        assert State.STARTING is db.state
        assert "says: replaying the log" in str(db.why())
        await clock.advance(10)
        await starting


async def test_only_ready_time_resets_the_backoff() -> None:
    """A program that starts slowly and then ends at once was not stable."""
    script = FakeChild().runs(60).prints("up").runs(1).exits(1)
    async with scripted(script) as (overseer, clock, _):
        policy = Restart(max_restarts=None, reset_after=10)
        web = overseer.add("web", "web", ready=ready.line("up"), ready_timeout=None, restart=policy)
        delays: list[float] = []
        events = overseer.events()
        starting = asyncio.ensure_future(web.start())
        await clock.advance(1000)
        await starting
        while (event := events.get_nowait()) is not None:
            if event.state is State.BACKOFF:
                delays.append(float(event.reason.split("restarts in ")[1].split(" s")[0]))
        assert len(delays) > 8
        # The delay still grows: with jitter it is drawn from [0.1, 0.1 * 2**n].
        assert max(delays[6:]) > 0.2


async def test_attempt_that_hangs_is_cancelled_and_repeated() -> None:
    """After five seconds on the clock. The probe is named."""
    calls: list[float] = []

    async with scripted(FakeChild()) as (overseer, clock, _):

        async def look() -> None:
            calls.append(clock.now())
            await asyncio.Event().wait()

        web = overseer.add("web", "web", ready=ready.check(look), ready_timeout=17)
        starting = asyncio.ensure_future(web.start())
        await clock.advance(12)
        assert [0.0, 6.0, 12.0] == calls
        assert "check look: no answer within 5 s" in str(web.why())
        await web.stop()
        with pytest.raises(NotReady):
            await starting


@pytest.mark.parametrize(("timeout", "expected"), [(2, [0.0, 3.0, 6.0, 9.0, 12.0]), (None, [0.0])])
async def test_check_has_a_timeout_of_its_own(timeout: float | None, expected: list[float]) -> None:
    """An initialisation that must not be repeated takes as long as it needs."""
    calls: list[float] = []

    async with scripted(FakeChild()) as (overseer, clock, _):

        async def look() -> None:
            calls.append(clock.now())
            await asyncio.Event().wait()

        web = overseer.add("web", "web", ready=ready.check(look, timeout=timeout), ready_timeout=17)
        starting = asyncio.ensure_future(web.start())
        await clock.advance(12)
        assert expected == calls
        await web.stop()
        with pytest.raises(NotReady):
            await starting


async def test_attempt_that_cannot_be_cancelled_is_reported() -> None:
    """It is not started twice: ready_timeout limits it, and the next attempt follows after its end."""
    calls = 0
    let_go = asyncio.Event()

    async def look() -> None:
        nonlocal calls
        calls += 1
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()

    async with opened(let_go), scripted(FakeChild()) as (overseer, clock, _):
        web = overseer.add("web", "web", ready=ready.check(look), ready_timeout=1000)
        starting = asyncio.ensure_future(web.start())
        await clock.advance(100)
        assert 1 == calls
        assert "check look: no answer within 5 s, and it goes on although it was cancelled" in str(web.why())
        let_go.set()
        await clock.advance(3)
        await starting
        assert 2 == calls


async def test_no_attempt_after_the_result_is_known() -> None:
    """After a success, and after the end."""
    calls = 0

    async def look() -> bool:
        nonlocal calls
        calls += 1
        return False

    async with scripted(FakeChild().runs(1).prints("up")) as (overseer, clock, _):
        web = overseer.add("web", "web", ready=ready.check(look) | ready.line("up"))
        starting = asyncio.ensure_future(web.start())
        await clock.advance(1)
        await starting
        assert calls > 10
        before = calls
        await clock.advance(100)
        assert before == calls
        assert clock.next_timer() is None


# --- how fast it is told

LISTEN = """
import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", int(sys.argv[1])))
time.sleep(0.15)
s.listen()
print(time.monotonic(), flush=True)
"""
LATENCY: dict[str, tuple[Callable[[int], Probe], str, float]] = {
    # median and limit in seconds: lenient, as the machine of the tests may be busy; the benchmark has the figures
    "tcp": (
        ready.tcp,
        LISTEN,
        0.05,
    ),
    "line": (lambda _port: ready.line("."), "import time\nprint(time.monotonic(), flush=True)\n", 0.02),
    "fd": (
        lambda _port: ready.fd(),
        "import os, time\nt = time.monotonic()\nos.write(3, b'\\n')\nprint(t, flush=True)\n",
        0.02,
    ),
    "notify": (
        lambda _port: ready.notify(),
        NOTIFY + "t = time.monotonic()\nsay('READY=1')\nprint(t, flush=True)\n",
        0.02,
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the clock of the child is the host's on Linux")
@pytest.mark.parametrize("kind", LATENCY)
async def test_ready_is_reported_soon(kind: str) -> None:
    """From the moment when the program is ready until ``start()`` returns."""
    make, code, most = LATENCY[kind]
    took: list[float] = []
    for _ in range(7):
        port = free_port()
        process = Process(*child(code + SLEEP, str(port)), streaming=True, ready=make(port), stop=Stop(9, 2))
        async with limit(), process:
            now = time.monotonic()
            assert process.stdout is not None
            took.append(now - float(await process.stdout.get()))
    assert statistics.median(took) < most


def test_empty_batch_is_no_line() -> None:
    """The last line that did not match stays the one that is shown."""
    progress, probe = ProbeProgress(), ready.line("up")
    progress.record_lines(probe, ["loading"])
    before = progress.describe(probe, 0.0)
    progress.record_lines(probe, [])
    assert "loading" in before
    assert before == progress.describe(probe, 0.0)
