"""Real servers under supervision: redis, PostgreSQL, nginx, nats-server, node and an application that needs them."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from aioverseer import After, Backoff, NotReady, Overseer, Process, ProcessFailed, Restart, Spec, State, Stop, ready
from aioverseer.testing import Ports
from tests.support.programs import limit

POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"))
NOBODY = "nobody" if os.getuid() == 0 else None
"""PostgreSQL does not run as root."""
AT_ONCE = Restart("always", backoff=Backoff(min=0.01, max=0.1), max_restarts=20)


def needs(*programs: str | Path) -> pytest.MarkDecorator:
    """Return a mark that skips a test where a program is not installed."""
    missing = [str(program) for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@dataclass
class Servers:
    """Specs of servers, all in one temporary folder, each on a free port."""

    folder: Path
    port: Callable[[], int]

    def redis(self) -> Spec:
        """Return a redis that saves nothing."""
        port = self.port()
        words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        return Spec.of("redis", words, ready=ready.tcp(port), restart=AT_ONCE)

    async def postgres(self) -> Spec:
        """Return a PostgreSQL with a new cluster."""
        data, port = self.folder / "data", self.port()
        data.mkdir()
        if NOBODY is not None:
            shutil.chown(data, NOBODY)
        create = [str(POSTGRES / "initdb"), "-D", str(data), "-U", "me", "--auth=trust", "--no-sync"]
        (await Process(*create, user=NOBODY, cwd="/")).check()
        words = [str(POSTGRES / "postgres"), "-D", str(data), "-p", str(port), "-k", str(data), "-h", "127.0.0.1", "-F"]
        return Spec.of(
            "postgres",
            words,
            user=NOBODY,
            cwd="/",
            ready=ready.line("ready to accept connections"),
            # SIGINT is the fast shutdown: it ends all sessions. SIGTERM would wait for clients to leave.
            stop=Stop(signal=signal.SIGINT, timeout=20),
            restart=AT_ONCE,
        )

    def nginx(self) -> Spec:
        """Return an nginx with two workers and a fixed answer."""
        port = self.port()
        folder = self.folder / "nginx"
        folder.mkdir()
        folder.chmod(0o755)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"""
            daemon off; pid {folder}/pid; error_log stderr; worker_processes 2;
            events {{}}
            http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port}; return 200 "hello\\n"; }} }}
            """
        )
        words = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
        # SIGQUIT is the graceful shutdown: nginx serves open requests, then ends.
        return Spec.of("nginx", words, ready=ready.tcp(port), stop=Stop(signal=signal.SIGQUIT), restart=AT_ONCE)


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Use a folder that other users may enter: PostgreSQL does not run as root. Folders of pytest are private."""
    ports = Ports()
    with tempfile.TemporaryDirectory(prefix="servers-") as folder:
        os.chmod(folder, 0o755)
        yield Servers(Path(folder), ports.reserve)
    ports.release()


@pytest_asyncio.fixture
async def overseer() -> AsyncIterator[Overseer]:
    """Leave the search for leftovers to conftest.py."""
    async with Overseer() as entered:
        yield entered


APP = """
import socket, sys, time
for port in sys.argv[1:]:
    socket.create_connection(("127.0.0.1", int(port)), 5).close()
print("has seen all of them", flush=True)
time.sleep(1000)
"""


@needs("redis-server", "nginx", POSTGRES / "postgres")
async def test_application_and_its_servers(servers: Servers, overseer: Overseer) -> None:
    """They start in order; a killed server comes back with its dependents; they stop in reverse order."""
    specs = [servers.redis(), await servers.postgres(), servers.nginx()]
    ports = [str(getattr(spec.ready, "port", None) or spec.argv[spec.argv.index("-p") + 1]) for spec in specs]
    for spec in specs:
        overseer.add(spec)
    needs_all = [After("redis", on_restart="restart"), After("postgres"), After("nginx")]
    app = overseer.add("app", sys.executable, "-S", "-c", APP, *ports, after=needs_all, ready=ready.line("has seen"))
    async with limit(60, "the start"):
        await overseer.start_all()
    pids = {id: overseer[id].pid for id in overseer}
    assert all(pid is not None for pid in pids.values())

    async with limit(30, "the restart of redis and of what needs it"):
        overseer.signal("redis", signal.SIGKILL)
        await app.wait_for(lambda status: status.pid != pids["app"] and status.state is State.RUNNING)
    assert overseer["redis"].state is State.RUNNING
    assert [id for id in sorted(pids) if overseer[id].pid != pids[id]] == ["app", "redis"]

    async with limit(30, "the restart of PostgreSQL"):
        overseer["postgres"].signal(signal.SIGKILL, scope="leader")
        await overseer["postgres"].wait_for(lambda s: s.pid != pids["postgres"] and s.state is State.RUNNING)

    events = overseer.events()
    async with limit(60, "the stop"):
        report = await overseer.stop_all()
    assert (report.ok, report.escalated) == (True, [])
    ended = [event.id for event in iter(events.get_nowait, None) if event.state.is_final]
    assert ("app", {"redis", "postgres", "nginx"}) == (ended[0], set(ended[1:]))
    assert (signal.SIGINT,) == tuple(report.outcomes["postgres"].signals)
    last = [str(line.text) for line in overseer["postgres"].tail(30)]
    assert any("received fast shutdown request" in line for line in last)
    assert "database system is shut down" in last[-1]
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", int(port))


@needs("redis-server", "nginx", POSTGRES / "postgres")
@pytest.mark.parametrize("kind", ["redis", "nginx", "postgres", "http.server"])
@pytest.mark.parametrize("where", ["of this host", "unknown"])
async def test_second_server_on_a_port_names_the_first(
    servers: Servers, overseer: Overseer, kind: str, where: str
) -> None:
    """Instead of being ready by the answer of the first one, and failing some seconds later."""
    port = servers.port()
    servers.port = lambda: port
    match kind:
        case "redis":
            spec = servers.redis()
        case "nginx":
            spec = servers.nginx()
        case "postgres":
            spec = (await servers.postgres()).updated(ready=ready.tcp(port))
        case _:
            words = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
            spec = Spec.of("http", words, ready=ready.http(f"http://127.0.0.1:{port}/"))
    other = await Process.from_spec(spec).start() if where == "unknown" else await overseer.add(spec).start()
    second = overseer.add(dataclasses.replace(spec, id="second", restart=Restart("never")))
    async with limit(20, "the failed start"):
        with pytest.raises(NotReady, match=rf"port {port} is held by pid {other.pid} \("):
            await second.start()
    assert State.FATAL is second.state
    async with limit(30, "the start after the end of the first"):
        await other.stop()
        await second.start()


@needs("redis-server", POSTGRES / "postgres", POSTGRES / "psql")
async def test_killed_database_restarts_its_pool_and_its_users(servers: Servers, overseer: Overseer) -> None:
    """A rest_for_one group restarts the members added after the database, in order, tasks and resources too."""
    calls: list[str] = []
    database = await servers.postgres()
    port = database.argv[database.argv.index("-p") + 1]

    @asynccontextmanager
    async def pool() -> AsyncGenerator[str]:
        words = [str(POSTGRES / "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "me", "-Atc", "select 1", "postgres"]
        (await Process(*words)).check()  # fails unless the database answers
        calls.append("open")
        yield "pool"
        calls.append("closed")

    async def worker() -> None:
        calls.append(f"works with the {overseer['pool'].resource}")
        await asyncio.Event().wait()

    soon = Restart("always", backoff=Backoff(min=0.01, max=0.1), max_restarts=5)
    overseer.group("data", "rest_for_one", restart=soon)
    overseer.add(servers.redis().updated(group="data"))
    overseer.add(database.updated(group="data", after="redis"))
    overseer.add_resource("pool", pool, group="data", after="postgres")
    overseer.add_task("worker", worker, group="data", after="pool")
    async with limit(60, "the start"):
        await overseer.start_all()
    redis = overseer["redis"].pid
    events = overseer.events()
    async with limit(60, "the restart of the group"):
        overseer["postgres"].signal(signal.SIGKILL)
        async for event in events:
            if event.reason == "group 'data' has restarted":
                break
    assert (redis, 0) == (overseer["redis"].pid, overseer["redis"].restarts)
    assert [1, 1, 1] == [overseer[id].restarts for id in ("postgres", "pool", "worker")]
    await asyncio.sleep(0)
    assert ["open", "works with the pool", "closed", "open", "works with the pool"] == calls
    async with limit(60, "the stop"):
        report = await overseer.stop_all()
    assert (True, (signal.SIGINT,)) == (report.ok, tuple(report.outcomes["postgres"].signals))


@needs(POSTGRES / "postgres", POSTGRES / "psql")
async def test_killed_database_keeps_its_data(servers: Servers, overseer: Overseer) -> None:
    """The server and all its processes are killed in the middle of a session; the next run recovers."""
    database = overseer.add(await servers.postgres())
    port = database.spec.argv[database.spec.argv.index("-p") + 1]

    async def ask(sql: str) -> list[str]:
        words = [str(POSTGRES / "psql"), "-h", "127.0.0.1", "-p", port, "-U", "me", "-Atc", sql, "postgres"]
        status = (await Process(*words)).check()
        return [str(line) for line in status.stdout or ()]

    async with limit(60):
        await database.start()
        await ask("create table words (word text); insert into words values ('kept')")
        sleeping = asyncio.ensure_future(ask("select pg_sleep(100)"))
        first = database.pid
        database.signal(signal.SIGKILL)
        await database.wait_for(lambda status: status.pid != first and status.state is State.RUNNING)
        assert ["kept"] == await ask("select word from words")
        with pytest.raises(Exception, match="exited with code 2"):
            await sleeping
        assert any("recovery" in str(line.text) for line in database.tail(30))
        await database.stop()


@needs("nginx")
async def test_graceful_stop_of_nginx(servers: Servers, overseer: Overseer) -> None:
    spec = servers.nginx()
    port = getattr(spec.ready, "port", 0)
    async with limit(30):
        web = await overseer.add(spec).start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"hello\n")
        writer.close()
        await writer.wait_closed()
        status = await web.stop()
    assert (0, None) == (status.exit_code, status.signal)


@needs("nats-server")
async def test_broker_with_streams(servers: Servers, overseer: Overseer) -> None:
    """The broker sends INFO to a new connection, with its streams enabled."""
    port = servers.port()
    words = ["nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(servers.folder)]
    async with limit(30):
        broker = await overseer.add("broker", *words, ready=ready.line("Server is ready")).start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert b'"jetstream":true' in await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert (await broker.stop()).state is State.INTERRUPT


@needs("node")
async def test_node_server(servers: Servers, overseer: Overseer) -> None:
    port = servers.port()
    code = "require('http').createServer((q, a) => a.end('node')).listen(+process.argv[1], () => console.log('up'))"
    async with limit(30):
        await overseer.add("node", "node", "-e", code, str(port), ready=ready.line("up")).start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"node")
        writer.close()
        await writer.wait_closed()


@needs(POSTGRES / "postgres", POSTGRES / "psql")
async def test_postgres_reads_its_configuration_again(servers: Servers, overseer: Overseer) -> None:
    """By a signal to the postmaster, whose sessions live on."""
    spec = (await servers.postgres()).updated(reload=signal.SIGHUP)
    database = await overseer.add(spec).start()
    data, port = spec.argv[2], spec.argv[4]
    psql = [str(POSTGRES / "psql"), "-h", "127.0.0.1", "-p", port, "-U", "me", "-Atq", "postgres"]
    async with limit(30), Process(*psql, stdin="pipe", streaming=True) as session:

        async def shown() -> str:
            await session.write("show work_mem;\n")
            return str(await session.stdout.get())

        before, lines = await shown(), database.lines()
        (Path(data) / "postgresql.auto.conf").write_text("work_mem = '7MB'\n")
        await database.reload()
        while "received SIGHUP" not in (await lines.get()).text:
            pass
        while (now := await shown()) == before:
            pass
    assert "7MB" == now
    assert 0 == database.restarts


@needs("nginx")
async def test_nginx_checks_and_reads_its_configuration(servers: Servers, overseer: Overseer) -> None:
    """A broken one is refused by the command, and the old one goes on."""
    spec = servers.nginx()
    command = ["nginx", *spec.argv[1:], "-s", "reload"]
    web = await overseer.add(spec.updated(reload=command)).start()
    file, pid = Path(spec.argv[-1]), web.pid
    good = file.read_text()

    async def answer() -> bytes:
        port = getattr(spec.ready, "port", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        text = await reader.read()
        writer.close()
        return text

    async with limit(30):
        file.write_text(good.replace("hello", "good day"))
        await web.reload()
        while b"good day" not in await answer():
            pass
        file.write_text(good.replace("hello", "bye").replace("listen", "lissen"))
        with pytest.raises(ProcessFailed, match="lissen"):
            await web.reload()
        # A worker of the first configuration may still accept after the new one has answered.
        while b"good day" not in (last := await answer()):
            assert b"hello" in last
    assert pid == web.pid
