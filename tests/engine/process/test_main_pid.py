"""The main process of a program changes: by a pid file, or by ``MAINPID=`` of sd_notify(3)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioverseer import (
    Event,
    EventStream,
    NotReady,
    Overseer,
    PidFile,
    Process,
    Restart,
    SpecError,
    State,
    ready,
)
from aioverseer.testing import ManualClock
from tests.support.containment_levels import levels
from tests.support.programs import child, limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs pidfds")

NEVER = Restart("never")

LEVELS = levels("basic", "guarded", "strict", "pidns")

DAEMON = """
import os, signal, sys, time
path, how = sys.argv[1], sys.argv[2:]
hear, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    if "sibling" in how and os.fork() == 0:
        signal.pause()
    if "quit" in how:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(int(how[-1])))
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    os.write(tell, b"x")
    if "quit" in how:
        rest()
    signal.pause()
    os._exit(0)
os.read(hear, 1)
"""
"""Goes into the background by two forks, and writes the pid of the daemon."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "server.pid"


def daemon(path: Path, *how: str) -> tuple[str, ...]:
    path.parent.mkdir(exist_ok=True)
    return (*child(DAEMON), str(path), *how)


def lives(pid: int) -> bool:
    """Return whether a process lives; a zombie does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def read(stream: EventStream) -> Iterator[Event]:
    while (event := stream.get_nowait()) is not None:
        yield event


@pytest.mark.parametrize("level", LEVELS)
async def test_daemon_is_watched_restarted_and_stopped(path: Path, level: str) -> None:
    """At each level: its pid is that of the daemon, its death a failure, its stop leaves nothing."""
    async with limit(30), Overseer(containment=level) as overseer:  # type: ignore[arg-type]  # a level
        service = overseer.add("server", *daemon(path), main_pid=PidFile(path))
        await service.start()
        first = service.status().pid
        assert first is not None
        assert lives(first)
        assert State.RUNNING is service.state
        assert f"runs as pid {first}, and is ready" == service.process.status().reason  # type: ignore[union-attr]  # it runs
        os.kill(first, signal.SIGKILL)
        await service.wait_for(lambda status: status.restarts == 1 and status.state is State.RUNNING)
        second = service.status().pid
        assert second is not None
        assert (True, False) == (lives(second), lives(first))
        assert "was killed by SIGKILL" in str(service.history[0].reason)
        status = await service.stop()
        assert State.INTERRUPT is status.state
        assert "was killed by SIGTERM" in status.reason
        assert not lives(second)


@pytest.mark.parametrize("level", LEVELS)
async def test_exit_code_of_a_daemon_is_known(path: Path, level: str) -> None:
    """By the kernel, although the daemon is no child of the host."""
    async with limit(20), Overseer(containment=level) as overseer:  # type: ignore[arg-type]  # a level
        service = overseer.add("server", *daemon(path, "quit", "7"), main_pid=PidFile(path), restart=NEVER)
        await service.start()
        service.signal(signal.SIGTERM, scope="leader")
        status = await service.wait()
        assert (7, State.FINISHED) == (status.exit_code, status.state)


async def test_relative_path_begins_at_the_working_directory(path: Path) -> None:
    async with limit(10), Overseer(containment="basic") as overseer:
        service = overseer.add("server", *daemon(path), cwd=path.parent, main_pid=PidFile("server.pid"))
        await service.start()
        assert path.read_text() == str(service.status().pid)
        await service.stop()


async def test_folder_of_the_file_may_be_made_by_the_program(path: Path) -> None:
    async with limit(10), Overseer(containment="basic") as overseer:
        inner = path.parent / "a" / "b" / "server.pid"
        code = f"import os\nos.makedirs({str(inner.parent)!r})\n{DAEMON}"
        argv = (*child(code), str(inner))
        await overseer.add("server", *argv, main_pid=PidFile(inner)).start()
        await overseer.stop("server")


async def test_file_of_an_earlier_run_is_removed(path: Path) -> None:
    """A program may refuse to start while it is there."""
    path.parent.mkdir()
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    path.write_text(str(ended.pid))
    async with limit(10):
        status = await Process("test", "!", "-e", str(path), main_pid=PidFile(path))
        assert 0 == status.exit_code


async def test_file_of_a_stranger_is_ignored(path: Path) -> None:
    """It is no file of this run, and stays."""
    path.parent.mkdir()
    path.write_text(str(os.getpid()))
    async with limit(10), Overseer(containment="basic") as overseer:
        service = overseer.add("server", "sleep", "60", main_pid=PidFile(path), ready_timeout=0.3, restart=NEVER)
        with pytest.raises(NotReady, match=r"pid file '.*server\.pid'"):
            await service.start()
    assert str(os.getpid()) == path.read_text()


async def test_pid_of_a_stranger_is_refused(path: Path) -> None:
    """With a warning, and as the reason why the program is not ready."""
    path.parent.mkdir()
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        async with limit(10), Overseer(containment="basic") as overseer:
            events = overseer.events()
            argv = child(f"open({str(path)!r}, 'w').write('{stranger.pid}')\nimport time; time.sleep(60)")
            service = overseer.add("server", *argv, main_pid=PidFile(path), ready_timeout=1, restart=NEVER)
            with pytest.raises(NotReady) as caught:
                await service.start()
            assert f"names pid {stranger.pid}: that is 'sleep 60', which the program has not started" in str(
                caught.value
            )
            told = [event.reason for event in read(events) if event.kind == "health"]
            assert [True] == ["it is refused as the main process" in text for text in told]
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_file_that_never_comes_is_a_failed_start(path: Path) -> None:
    """At once when nothing of the program is left."""
    path.parent.mkdir()
    async with limit(10), Overseer(containment="basic") as overseer:
        service = overseer.add("server", "true", main_pid=PidFile(path), restart=NEVER)
        with pytest.raises(NotReady, match="exited with code 0, and nothing of it is left; it waited for pid file"):
            await service.start()
        assert State.FATAL is service.state


async def test_daemon_without_a_file_is_ended_after_its_time(path: Path) -> None:
    path.parent.mkdir()
    async with limit(10), Overseer(containment="basic") as overseer:
        service = overseer.add(
            "server", "sh", "-c", "sleep 60 & echo $!", main_pid=PidFile(path), ready_timeout=0.3, restart=NEVER
        )
        lines = service.lines()
        with pytest.raises(NotReady, match=r"waits for pid file"):
            await service.start()
        assert not lives(int((await lines.get()).text))


async def test_stop_before_the_file_comes(path: Path) -> None:
    """The daemon gets the ladder."""
    path.parent.mkdir()
    async with limit(10), Overseer(containment="basic") as overseer:
        service = overseer.add("server", "sh", "-c", "sleep 60 & echo $!", main_pid=PidFile(path))
        lines = service.lines()
        starting = asyncio.ensure_future(service.start())
        pid = int((await lines.get()).text)
        status = await service.stop()
        assert State.INTERRUPT is status.state
        assert not lives(pid)
        await asyncio.wait({starting})
        starting.exception()


async def test_half_written_file_is_waited_for(path: Path) -> None:
    """Half of a pid is none: the writer keeps the file open meanwhile."""
    path.parent.mkdir()
    code = f"""
import os, sys, signal
pid = str(os.getpid())
file = open({str(path)!r}, "w", 1)
file.write(pid[:1]); file.flush()
print("half", flush=True)
sys.stdin.readline()
file.write(pid[1:]); file.flush()
signal.pause()
"""
    async with limit(10), Overseer(containment="basic") as overseer:
        events = overseer.events()
        service = overseer.add("server", *child(code), main_pid=PidFile(path), stdin="pipe")
        lines = service.lines()
        starting = asyncio.ensure_future(service.start())
        await lines.get()
        assert State.STARTING is service.state
        await service.write("go\n")
        await starting
        assert str(service.status().pid) == path.read_text()
        assert [] == [event for event in read(events) if event.kind == "health"]
        await service.stop()


async def test_probe_comes_after_the_file(path: Path) -> None:
    """The listening socket of a daemon is that of its service."""
    path.parent.mkdir()
    address = str(path.parent / "s")
    code = DAEMON.replace(
        "    signal.pause()",
        f"    import socket; s = socket.socket(1); s.bind({address!r}); s.listen(); signal.pause()",
    )
    async with limit(10), Overseer(containment="basic") as overseer:
        service = overseer.add("server", *child(code), str(path), main_pid=PidFile(path), ready=ready.unix(address))
        await service.start()
        assert path.read_text() == str(service.status().pid)
        await service.stop()


NOTIFIER = """
import os, signal, socket, sys
def tell(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as it:
        it.sendto(text.encode(), "\\0" + os.environ["NOTIFY_SOCKET"][1:])
if os.fork() == 0:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
    tell(f"MAINPID={os.getpid()}\\nREADY=1")
    print(os.getpid(), flush=True)
    rest()
if "stay" in sys.argv:
    signal.pause()
sys.stdin.readline()
"""


@pytest.mark.parametrize("level", LEVELS)
async def test_notice_changes_the_main_process(level: str) -> None:
    """In a pid namespace its pid is translated. The leader may end."""
    async with limit(20), Overseer(containment=level) as overseer:  # type: ignore[arg-type]  # a level
        service = overseer.add(
            "server", *child(NOTIFIER), main_pid="notify", ready=ready.notify(), stdin="pipe", restart=NEVER
        )
        lines = service.lines()
        await service.start()
        told = int((await lines.get()).text)
        pid = service.status().pid
        assert pid is not None
        assert (pid == told) == (level != "pidns")
        assert lives(pid)
        await service.write("end\n")
        service.signal(signal.SIGTERM, scope="leader")
        assert 5 == (await service.wait()).exit_code


async def test_leader_that_outlives_the_main_process_is_a_leftover() -> None:
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add(
            "server", *child(NOTIFIER), "stay", main_pid="notify", ready=ready.notify(), restart=NEVER
        )
        await service.start()
        leader = service.status().pid
        service.signal(signal.SIGTERM, scope="leader")
        status = await service.wait()
        assert 5 == status.exit_code
        assert "left 1 process behind" in status.reason
        assert leader is not None


async def test_stop_reaches_both() -> None:
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("server", *child(NOTIFIER), "stay", main_pid="notify", ready=ready.notify())
        await service.start()
        status = await service.stop()
        assert "exited with code 5" in status.reason


def test_option_is_checked() -> None:
    from aioverseer import Spec

    with pytest.raises(SpecError, match=r"is neither \"notify\" nor a PidFile: pass PidFile"):
        Spec(id="a", argv=("a",), main_pid="/run/a.pid")  # type: ignore[arg-type]  # refused
    with pytest.raises(SpecError, match=r"is neither \"notify\" nor a PidFile: pass PidFile"):
        Spec(id="a", argv=("a",), main_pid="pid")  # type: ignore[arg-type]  # refused
    with pytest.raises(SpecError, match=r'pass leftovers="kill"'):
        Spec(id="a", argv=("a",), main_pid="notify", leftovers="keep")
    with pytest.raises(SpecError, match="is no path of a file"):
        PidFile("")


async def test_first_process_that_fails_is_a_failure_at_once(path: Path) -> None:
    """Although it has left a process behind that might write the file."""
    path.parent.mkdir()
    async with limit(20), Overseer(containment="basic") as overseer:
        script = "sleep 100 & exit 3"
        server = overseer.add("server", "sh", "-c", script, main_pid=PidFile(path), ready_timeout=None, restart=NEVER)
        with pytest.raises(NotReady, match="exited with code 3"):
            await server.start()


async def test_main_process_that_leaves_its_file_has_no_successor(path: Path) -> None:
    """A crash is told at once: the clock of the test stands still."""
    async with limit(20), Overseer(clock=ManualClock(), containment="basic") as overseer:
        server = overseer.add("server", *daemon(path, "sibling"), main_pid=PidFile(path), restart=NEVER)
        await server.start()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert signal.SIGKILL == (await server.wait()).signal


async def test_main_process_that_removes_its_file_may_have_a_successor(path: Path) -> None:
    clock = ManualClock()
    async with limit(20), Overseer(clock=clock, containment="basic") as overseer:
        server = overseer.add("server", *daemon(path, "sibling"), main_pid=PidFile(path), restart=NEVER)
        await server.start()
        path.unlink()
        assert server.pid is not None
        child = server._runner.process.run_task.child  # type: ignore[union-attr]  # it runs
        ended = asyncio.ensure_future(child.wait())  # type: ignore[union-attr]  # it runs
        os.kill(server.pid, signal.SIGKILL)
        await ended
        await clock.advance(4)
        assert State.RUNNING is server.state
        await clock.advance(2)
        assert signal.SIGKILL == (await server.wait()).signal
