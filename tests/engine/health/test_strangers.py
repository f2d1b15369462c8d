"""Probes that a stranger answers: a program that had the port before, or another program of this host."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import pwd
import signal
import socket
import subprocess
import textwrap
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Alive, GaveUp, NotReady, Overseer, Process, Restart, Spec, State, ready
from aioverseer._system.containment import procfs
from aioverseer._system.probes import listeners
from aioverseer._system.probes.answer import NotYet
from aioverseer._system.probes.listeners import ListenerCheck
from aioverseer.core.machine.listeners import Holder, Kinship
from aioverseer.core.options.composition import Probe
from aioverseer.core.options.probes import Unix
from aioverseer.testing import FakeChild, ManualClock, Ports, ScriptedLauncher
from tests.support.programs import child, limit

LINUX = pytest.mark.skipif(not procfs.HAS_PROC, reason="this system does not tell who listens")
LISTEN = """
import socket, sys, time
family, host, port, *options = sys.argv[1:]
s = socket.socket(getattr(socket, family))
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if "reuse" in options:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
if family == "AF_INET6":
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int("only" in options))
if "wait" in options:
    print("up", flush=True)
    sys.stdin.readline()
s.bind(host if family == "AF_UNIX" else (host, int(port)))
s.listen()
print("listening", flush=True)
if "close" in options:
    sys.stdin.readline()
    s.close()
    print("closed", flush=True)
    sys.stdin.readline()
while True:
    near = s.accept()[0]
    try:
        near.recv(1000)
        near.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
    except OSError:
        pass
    near.close()
"""
ONCE = Restart("never")
IDLE = child("print('up')\nimport time\ntime.sleep(1000)")


def listen(host: str, port: int | str, *options: str, family: str = "AF_INET") -> tuple[str, ...]:
    """Return the command line of a program that listens."""
    return child(LISTEN, family, host, str(port), *options)


@pytest.fixture
def port() -> Generator[int]:
    """A port that nobody uses."""
    ports = Ports()
    yield ports.reserve()
    ports.release()


@contextlib.contextmanager
def stranger(host: str, port: int | str, *options: str, family: str = "AF_INET") -> Generator[int]:
    """Run a program that no overseer knows, and that listens; yield its pid."""
    command = listen(host, port, *options, family=family)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            assert b"listening\n" == program.stdout.readline()
            yield program.pid
        finally:
            program.kill()


async def refused(probe: Probe, *argv: str, **options: Any) -> str:
    """Start a service that must fail, long before its time is over; return the message."""
    async with Overseer() as overseer:
        service = overseer.add("web", *(argv or ("sleep", "1000")), ready=probe, restart=ONCE, **options)
        async with limit(20, "the failed start"):
            with pytest.raises(NotReady) as caught:
                await service.start()
        assert State.FATAL is service.state
        assert None is service.pid
        assert "held by" in service.status().reason
        return str(caught.value)


async def accepted(probe: Probe, *argv: str, **options: Any) -> None:
    """Start a service that must become ready."""
    async with Overseer() as overseer:
        async with limit(20, "the start"):
            service = await overseer.add("web", *argv, ready=probe, restart=ONCE, ready_timeout=15, **options).start()
        assert State.RUNNING is service.state


# --- a program that was there before


@LINUX
@pytest.mark.parametrize(
    ("family", "bound", "asked"),
    [
        ("AF_INET", "127.0.0.1", "127.0.0.1"),
        ("AF_INET", "0.0.0.0", "127.0.0.1"),
        ("AF_INET", "127.0.0.1", "localhost"),
        ("AF_INET", "127.0.0.1", "0.0.0.0"),
        ("AF_INET", "127.0.0.1", "::ffff:127.0.0.1"),
        ("AF_INET6", "::", "127.0.0.1"),
        ("AF_INET6", "::ffff:127.0.0.1", "127.0.0.1"),
        ("AF_INET6", "::1", "::1"),
        ("AF_INET6", "::", "localhost"),
    ],
)
async def test_stranger_fails_the_start_at_once(port: int, family: str, bound: str, asked: str) -> None:
    """The program is not even started, and the error names the stranger and the way out."""
    with stranger(bound, port, family=family) as pid:
        message = await refused(ready.tcp(port, asked))
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    assert f"port {port} is held by pid {pid} ({name})" in message
    assert 'owner="any"' in message


@LINUX
async def test_stranger_answers_no_http_probe(port: int) -> None:
    """Its answer does not matter."""
    pytest.importorskip("httpx", reason="the extra http is not installed")
    with stranger("127.0.0.1", port) as pid:
        for host in ("127.0.0.1", "localhost"):
            assert f"held by pid {pid} " in await refused(ready.http(f"http://{host}:{port}/health"))
        await accepted(ready.http(f"http://127.0.0.1:{port}/", owner="any"), "sleep", "1000")


@LINUX
async def test_stranger_in_a_folder_with_a_long_path_is_found(tmp_path: Path) -> None:
    """An address holds 107 bytes, so it has bound a short path in its folder."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with subprocess.Popen(child(LISTEN, "AF_UNIX", "s", "0"), stdout=subprocess.PIPE, cwd=folder) as program:
        try:
            assert program.stdout is not None
            program.stdout.readline()
            assert f"is held by pid {program.pid} " in await refused(ready.unix("s"), cwd=folder)
        finally:
            program.kill()


@LINUX
@pytest.mark.parametrize("path", ["s", "@abstract"])
async def test_stranger_answers_no_unix_probe(tmp_path: Path, path: str) -> None:
    """Of a path in the folder of the program, and of an abstract name."""
    path = f"@{tmp_path.name}-{os.getpid()}" if path.startswith("@") else path
    address = path if path.startswith("@") else str(tmp_path / path)
    code = LISTEN.replace("s.bind(host", "s.bind(host.replace('@', chr(0))")
    with subprocess.Popen(child(code, "AF_UNIX", address, "0"), stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            program.stdout.readline()
            message = await refused(ready.unix(path), cwd=tmp_path)
            assert f"socket {path} is held by pid {program.pid} " in message
            await accepted(ready.unix(path, owner="any"), "sleep", "1000", cwd=tmp_path)
        finally:
            program.kill()


async def test_any_owner_is_accepted_on_request(port: int) -> None:
    """A proxy answers for the program."""
    with stranger("127.0.0.1", port):
        await accepted(ready.tcp(port, owner="any"), "sleep", "1000")


@LINUX
async def test_other_probes_may_still_succeed(port: int) -> None:
    """The error comes at once only where the whole probe cannot be fulfilled."""
    with stranger("127.0.0.1", port):
        await accepted(ready.tcp(port) | ready.line("up"), *IDLE)
        assert "held by" in await refused(ready.tcp(port) & ready.line("up"))


@LINUX
async def test_restart_policy_judges_the_failure(port: int) -> None:
    """A stranger may go away. The reason is in the error after the last attempt, and in its causes."""
    async with Overseer() as overseer:
        policy = Restart(max_restarts=1, within=None)
        with stranger("127.0.0.1", port) as pid:
            web = overseer.add("web", *listen("127.0.0.1", port), ready=ready.tcp(port), restart=policy)
            async with limit(20):
                with pytest.raises(NotReady, match=f"held by pid {pid}") as caught:
                    await web.start()
            assert isinstance(caught.value.__cause__, GaveUp)
            assert isinstance(caught.value.__cause__.__cause__, NotReady)
        async with limit(20):
            await web.start()


@LINUX
async def test_lone_process_fails_too(port: int) -> None:
    """With the same error, and without a program."""
    with stranger("127.0.0.1", port) as pid:
        process = Process("sleep", "1000", ready=ready.tcp(port))
        with pytest.raises(NotReady, match=f"held by pid {pid}"):
            await process.start()
        assert (State.FATAL, None) == (process.state, process.pid)


@LINUX
async def test_this_process_is_a_stranger_too(port: int) -> None:
    """A socket that the application itself has open, and does not pass on."""
    with socket.create_server(("127.0.0.1", port)):
        assert f"held by pid {os.getpid()} " in await refused(ready.tcp(port))


@LINUX
async def test_user_is_named_where_the_holder_cannot_be_seen(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors of other users cannot be read."""
    monkeypatch.setattr(listeners, "_sockets_of", lambda _pid, _inodes: set())
    with stranger("127.0.0.1", port):
        message = await refused(ready.tcp(port))
    user = pwd.getpwuid(os.getuid()).pw_name
    assert f"port {port} is held by a process of user {user} that cannot be seen from here" in message


async def test_stranger_is_found_by_a_look_where_the_system_does_not_tell(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection before the start shows that somebody listens."""
    monkeypatch.setattr(listeners, "_listeners", lambda _ports: None)
    with stranger("127.0.0.1", port):
        assert f"port {port} is held by" in await refused(ready.tcp(port))
        await accepted(ready.tcp(port, owner="any"), "sleep", "1000")
    await accepted(ready.tcp(port), *listen("127.0.0.1", port))


# --- another program of this host


@LINUX
async def test_another_service_does_not_fulfil_the_probe(port: int) -> None:
    """It takes the port after both were started."""
    async with Overseer() as overseer, limit(30):
        late = overseer.add("late", *IDLE, ready=ready.tcp(port), restart=ONCE)
        quick = overseer.add("quick", *listen("127.0.0.1", port, "wait"), stdin="pipe", restart=ONCE)
        lines = late.lines()
        starting = asyncio.ensure_future(late.start())
        await lines.get()
        await quick.start()
        await quick.write(b"\n")
        with pytest.raises(NotReady, match=f"held by pid {quick.pid} .*, another program of this host"):
            await starting
        assert State.RUNNING is quick.state


@LINUX
async def test_child_of_another_service_does_not_fulfil_the_probe(port: int) -> None:
    """A wrapper holds nothing itself."""
    async with Overseer() as overseer, limit(30):
        late = overseer.add("late", *IDLE, ready=ready.tcp(port), restart=ONCE)
        lines = late.lines()
        starting = asyncio.ensure_future(late.start())
        await lines.get()
        words = ("sh", "-c", '"$@"; true', "sh", *listen("127.0.0.1", port))
        await overseer.add("wrapped", *words, ready=ready.tcp(port), restart=ONCE).start()
        with pytest.raises(NotReady, match="another program of this host"):
            await starting


@LINUX
async def test_stranger_does_not_keep_a_program_alive(port: int) -> None:
    """The program has closed its port, and another service has it now."""
    async with Overseer() as overseer, limit(30):
        alive = Alive(ready.tcp(port), every=0.05, failures=1)
        web = overseer.add(
            "web", *listen("127.0.0.1", port, "close"), ready=ready.tcp(port), alive=alive, stdin="pipe", restart=ONCE
        )
        await web.start()
        other = overseer.add("other", *listen("127.0.0.1", port, "wait"), stdin="pipe", restart=ONCE)
        await other.start()
        lines = web.lines()
        await web.write(b"\n")
        while str((await lines.get()).text) != "closed":
            pass
        await other.write(b"\n")
        status = await web.wait()
        assert State.FATAL is status.state
        assert "not alive" in status.reason


# --- no strangers


@LINUX
async def test_port_that_can_be_shared_waits_for_the_program(port: int) -> None:
    """A stranger with SO_REUSEPORT leaves room: the program's own socket counts."""
    with stranger("127.0.0.1", port, "reuse") as pid:
        process = Process(
            *listen("127.0.0.1", port, "reuse", "wait"), ready=ready.tcp(port), stdin="pipe", streaming=True
        )
        starting = asyncio.ensure_future(process.start())
        assert process.stdout is not None
        async with limit(20):
            await process.stdout.get()
            while f"held by pid {pid}" not in process._runner.health_summary:
                await asyncio.sleep(0)
            assert not starting.done()
            await process.write(b"\n")
            await starting
        await process.stop()


@LINUX
async def test_other_family_is_no_obstacle(port: int) -> None:
    """A stranger that listens for IPv6 alone."""
    if not socket.has_ipv6:
        pytest.skip("this system has no IPv6")
    with stranger("::", port, "only", family="AF_INET6"):
        await accepted(ready.tcp(port), *listen("127.0.0.1", port))


@LINUX
async def test_remote_host_is_not_checked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket of this machine on the same port says nothing about another machine."""
    monkeypatch.setattr(listeners, "_is_local", lambda _address: False)
    with stranger("0.0.0.0", port):
        await accepted(ready.tcp(port, "127.0.0.2"), *IDLE)


async def test_name_of_a_host_is_not_checked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver would be needed to know whether it is another machine."""

    async def resolve(_host: str, port: int, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with stranger("127.0.0.1", port):
        await accepted(ready.tcp(port, "db.test"), *IDLE)


async def test_passed_socket_is_the_programs(port: int) -> None:
    """A server that is given its socket as standard input, as inetd does."""
    with socket.create_server(("127.0.0.1", port)) as held:
        await accepted(ready.tcp(port), "sleep", "1000", stdin=held)


async def test_passed_unix_socket_is_the_programs(tmp_path: Path) -> None:
    """The host has made it."""
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(tmp_path / "s"))
        held.listen()
        await accepted(ready.unix(tmp_path / "s"), "sleep", "1000", stdin=held)


async def test_stranger_has_the_next_socket_after_a_passed_one(tmp_path: Path) -> None:
    """Each socket is checked before the start."""
    theirs = str(tmp_path / "theirs")
    with socket.socket(socket.AF_UNIX) as held, stranger(theirs, 0, family="AF_UNIX"):
        held.bind(str(tmp_path / "s"))
        held.listen()
        message = await refused(ready.unix(tmp_path / "s") & ready.unix(theirs), stdin=held)
        assert f"socket {theirs} is held by" in message


@LINUX
async def test_kept_leftover_of_an_earlier_run_fulfils_the_probe(port: int) -> None:
    """A daemon that the service has left on purpose. For another service it is a stranger."""
    code = """
        import os, sys, time
        if sys.argv.pop() == "second":
            time.sleep(1000)
        heard, told = os.pipe()
        if os.fork():
            os.read(heard, 1)
            sys.exit(0)
        os.setsid()
        os.dup2(told, 1)
    """
    first = child(textwrap.dedent(code) + LISTEN, "AF_INET", "127.0.0.1", str(port), "first")
    probe = ready.tcp(port)
    async with Overseer() as overseer, limit(30):
        web = overseer.add("web", *first, leftovers="keep", restart=ONCE)
        await web.start()
        assert (await web.wait()).ok
        pids = [pid for pid in procfs.pids() if b"import os, sys, time" in procfs.read(f"/proc/{pid}/cmdline")]
        try:
            other = overseer.add("other", "sleep", "1000", ready=probe, restart=ONCE)
            with pytest.raises(NotReady, match=f"held by pid {pids[0]} "):
                await other.start()
            overseer.remove("web")
            second = overseer.add("web", *first[:-1], "second", leftovers="keep", ready=probe, restart=ONCE)
            await second.start()
            assert State.RUNNING is second.state
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)


@LINUX
async def test_child_of_the_program_fulfils_the_probe(port: int) -> None:
    """The program is a wrapper."""
    await accepted(ready.tcp(port), "sh", "-c", '"$@"; true', "sh", *listen("127.0.0.1", port))


async def test_restarts_are_not_held_up_by_the_run_before(port: int) -> None:
    """Its connections are in TIME_WAIT, and its socket is gone."""
    async with Overseer() as overseer, limit(30):
        web = await overseer.add("web", *listen("127.0.0.1", port), ready=ready.tcp(port)).start()
        for _ in range(3):
            await web.restart()
            assert State.RUNNING is web.state


async def test_task_of_the_host_holds_its_port_itself(port: int) -> None:
    """The process that listens is this one."""

    async def serve() -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
        async with server:
            await server.serve_forever()

    async with Overseer() as overseer, limit(20):
        web = await overseer.add_task("web", serve, ready=ready.tcp(port), restart=ONCE).start()
        assert State.RUNNING is web.state
        if procfs.HAS_PROC:
            other = overseer.add("other", "sleep", "1000", ready=ready.tcp(port), restart=ONCE)
            with pytest.raises(NotReady, match=f"held by pid {os.getpid()}"):
                await other.start()


async def test_scripted_child_may_be_answered_by_the_host(port: int) -> None:
    """The test is the program."""
    clock = ManualClock()
    with socket.create_server(("127.0.0.1", port)):
        async with Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
            web = await overseer.add("web", "web", ready=ready.tcp(port)).start()
            assert State.RUNNING is web.state


# --- cost


@LINUX
async def test_program_without_such_a_probe_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No table is read."""

    def read(_path: str) -> bytes:
        raise AssertionError("a table was read")

    monkeypatch.setattr(listeners, "_beginning", read)
    await accepted(ready.line("up"), *IDLE)


@LINUX
async def test_start_reads_the_tables_twice_and_no_other_process(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once before the start and once at the answer. The descriptors of the program alone are read."""
    read: list[str] = []
    looked: list[int] = []
    beginning, sockets = listeners._beginning, listeners._sockets_of

    def record_table(path: str) -> bytes:
        read.append(path)
        return beginning(path)

    def record_look(pid: int, inodes: set[int]) -> set[int]:
        looked.append(pid)
        return sockets(pid, inodes)

    monkeypatch.setattr(listeners, "_beginning", record_table)
    monkeypatch.setattr(listeners, "_sockets_of", record_look)
    async with Overseer() as overseer, limit(20):
        web = await overseer.add("web", *listen("127.0.0.1", port), ready=ready.tcp(port)).start()
        assert (4, [web.pid]) == (len(read), looked)


# --- a look at the system by itself


def web(**options: Any) -> Spec:
    """A program with such options."""
    return Spec.of("web", ["true"], **options)


async def found_by(probe: Probe, spec: Spec) -> list[str]:
    """Return who holds the sockets of a probe before the start."""
    return list((await ListenerCheck(spec, [probe], is_hosted=False).prepare()).values())


async def test_nobody_is_asked_where_leftovers_are_kept_and_the_system_does_not_tell(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener may be a kept leftover of an earlier run."""
    monkeypatch.setattr(listeners, "_listeners", lambda _ports: None)
    with socket.create_server(("127.0.0.1", port)):
        assert [] == await found_by(ready.tcp(port), web(leftovers="report"))
        assert [f"port {port} is held by a process that cannot be seen from here"] == await found_by(
            ready.tcp(port), web()
        )


@pytest.mark.parametrize("folder", ["missing", "missing" * 20])
async def test_socket_in_a_missing_folder_is_held_by_nobody(tmp_path: Path, folder: str) -> None:
    """A long path is opened folder by folder."""
    assert [] == await found_by(ready.unix(tmp_path / folder / "s"), web())


async def test_socket_of_a_leftover_that_is_ending_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the start it blocks nothing, and after it the probe is not answered yet."""
    ending = Holder(pid=4321, name="web", kinship=Kinship.ENDING)
    monkeypatch.setattr(listeners, "holder", lambda *_given, **_options: ending)
    probe = ready.unix(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(tmp_path / "s"))
        held.listen()
        assert [] == await found_by(probe, web())
        assert isinstance(probe, Unix)
        with pytest.raises(NotYet, match=r"is held by pid 4321 \(web\)"):
            await ListenerCheck(web(), [probe], is_hosted=False).check_peer(probe, 4321)


async def test_listener_with_a_full_queue_is_a_stranger_all_the_same(tmp_path: Path) -> None:
    """It accepts nothing at present, and nobody can tell whose it is."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as held, contextlib.ExitStack() as waiting:
        held.bind(path)
        held.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                near = waiting.enter_context(socket.socket(socket.AF_UNIX))
                near.setblocking(False)
                near.connect(path)
        assert [f"socket {path} is held by a process that cannot be seen from here"] == await found_by(
            ready.unix(path), web()
        )


async def test_streams_without_a_unix_socket_pass_none(port: int, tmp_path: Path) -> None:
    """A TCP socket has no path, and a file that was closed meanwhile has no descriptor."""
    with socket.socket(socket.AF_UNIX) as held, socket.create_server(("127.0.0.1", port)) as other:
        held.bind(str(tmp_path / "s"))
        held.listen()
        with (tmp_path / "file").open("w+") as closed:
            specs = [web(stdin=other), web(stdin=closed)]
        for spec in specs:
            assert [f"socket {tmp_path}/s is held by pid {os.getpid()}"] == [
                why.partition(" (")[0] for why in await found_by(ready.unix(tmp_path / "s"), spec)
            ]


def test_system_without_tables_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox can hide the tables, or let no process read them."""
    with monkeypatch.context() as patch:
        patch.setattr(procfs, "HAS_PROC", False)
        assert listeners._listeners({80}) is None
    for table in (tmp_path / "missing", tmp_path):  # a folder can be opened, and not be read
        monkeypatch.setattr(listeners, "_TABLES", (str(table), str(table)))
        assert listeners._listeners({80}) is None


@LINUX
def test_ended_process_holds_no_socket() -> None:
    """It has no descendants either."""
    with subprocess.Popen(["true"]) as program:
        pass
    assert set() == listeners._held_in_tree(program.pid, {1})


@pytest.mark.parametrize(("address", "local"), [("0.0.0.0", True), ("192.0.2.1", False), ("2001:db8::1", False)])
def test_address_is_local_if_this_machine_can_bind_it(address: str, local: bool) -> None:
    """The others are of the documentation (RFC 5737 and RFC 3849), and no machine has them."""
    assert local is listeners._is_local(ipaddress.ip_address(address))


def test_unknown_user_is_shown_by_number() -> None:
    """As that of a container without its user in /etc/passwd."""
    assert "4294900001" == listeners._user(4_294_900_001)
