"""The bench of the contract: each behaviour as a real program and as a script, and one way to launch both.

The tests of this folder assert; this module only launches.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aioverseer import Process, Spec, framing
from aioverseer._aio.clock import LoopClock
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.protocols import Child, Launcher, ReadStream
from aioverseer.core.clock import Clock
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit

__all__ = ["BEHAVIOURS", "Bench", "Ear", "Pair"]


@dataclass(frozen=True)
class Pair:
    """The same behaviour twice."""

    argv: tuple[str, ...]
    script: FakeChild


def handling(body: str, number: int = signal.SIGTERM) -> tuple[str, ...]:
    """A program that says "up", and does something when a signal comes."""
    return child(f"""
        import signal, sys
        def handle(*_):
            {body}
        signal.signal({int(number)}, handle)
        print('up')
        while True:
            signal.pause()
    """)


BEHAVIOURS: dict[str, Pair] = {
    "exits with 3": Pair(("sh", "-c", "exit 3"), FakeChild().exits(3)),
    "dies": Pair(("sh", "-c", "kill -9 $$"), FakeChild().dies()),
    "sleeps": Pair(child("import signal; print('up'); signal.pause()"), FakeChild().prints("up")),
    "ignores": Pair(
        child("import signal; signal.signal(15, signal.SIG_IGN); print('up')\nwhile True: signal.pause()"),
        FakeChild().ignores(signal.SIGTERM).prints("up"),
    ),
    "ends on SIGTERM": Pair(
        handling("print('bye'); sys.exit(7)"),
        FakeChild().on(signal.SIGTERM, FakeChild().prints("bye").exits(7)).prints("up"),
    ),
    "reloads on SIGHUP": Pair(
        handling("print('reloaded')", signal.SIGHUP),
        FakeChild().on(signal.SIGHUP, FakeChild().prints("reloaded")).prints("up"),
    ),
    "speaks": Pair(
        ("sh", "-c", "echo one; echo two; echo err >&2; exit 1"),
        FakeChild().prints("one", "two").prints("err", stream="stderr").exits(1),
    ),
    "speaks in turns": Pair(
        ("sh", "-c", "echo 1; echo 2 >&2; echo 3; printf 4 >&2"),
        FakeChild().prints("1").prints("2", stream="stderr").prints("3").writes("4", stream="stderr").exits(),
    ),
    "says much": Pair(
        ("seq", "3000"),
        FakeChild().prints(*map(str, range(1, 1001))).prints(*map(str, range(1001, 3001))).exits(),
    ),
    "says more than a pipe holds": Pair(
        child("import sys; sys.stdout.buffer.write(b'x' * 200_000); sys.stderr.write('done')"),
        FakeChild().writes("x" * 200_000).writes("done", stream="stderr").exits(),
    ),
    "says y for ever": Pair(("yes",), FakeChild().writes("y\n" * 1_000_000)),
    "closes its output": Pair(
        child("import os, signal; print('up'); os.close(1); os.write(2, b'closed'); signal.pause()"),
        FakeChild().prints("up").closes("stdout").writes("closed", stream="stderr"),
    ),
    "echoes": Pair(("cat",), FakeChild().answers().exits()),
    "reads a line": Pair(("sh", "-c", "read -r line; echo got"), FakeChild().reads().prints("got").exits()),
    "reads to the end": Pair(
        ("sh", "-c", "cat >/dev/null; echo all; exit 4"), FakeChild().reads_all().prints("all").exits(4)
    ),
    "answers frames": Pair(
        child("""
            import os, sys
            while header := sys.stdin.buffer.readline():
                sys.stdin.buffer.readline()
                body = sys.stdin.buffer.read(int(header.split()[1])).upper()
                os.write(1, b'Content-Length: %d\\r\\n\\r\\n%b' % (len(body), body))
        """),
        FakeChild().answers(bytes.upper, framing=framing.content_length()).exits(),
    ),
    "asks at a prompt": Pair(
        child("""
            import os, sys
            while True:
                os.write(1, b'> ')
                line = sys.stdin.buffer.readline()
                if not line:
                    break
                os.write(1, b'got ' + line)
        """),
        FakeChild().answers("got {}".format, prompt="> ").exits(),
    ),
    "closes its input": Pair(
        ("sh", "-c", "exec 0<&-; echo up; exec sleep 100"), FakeChild().closes("stdin").prints("up")
    ),
    "leaves one in its group": Pair(("sh", "-c", "sleep 100 & exit 3"), FakeChild().leaves("sleep 100").exits(3)),
    "has one beside it": Pair(
        child("import signal, subprocess; subprocess.Popen(['sleep', '100']); print('up'); signal.pause()"),
        FakeChild().leaves("sleep 100").prints("up"),
    ),
    "leaves a daemon": Pair(
        child("""
            import os, subprocess
            subprocess.Popen(['sleep', '100'], stdin=-3, stdout=-3, stderr=-3, start_new_session=True)
            os._exit(0)
        """),
        FakeChild().leaves("sleep 100", daemon=True).exits(),
    ),
    "is ready by a line": Pair(
        ("sh", "-c", "echo starting; echo up; exec sleep 100"), FakeChild().prints("starting").prints("up")
    ),
    "is ready by a notice": Pair(
        child("""
            import os, signal, socket
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.sendto(b'STATUS=well', '\\0' + os.environ['NOTIFY_SOCKET'][1:])
                s.sendto(b'READY=1', '\\0' + os.environ['NOTIFY_SOCKET'][1:])
            signal.pause()
        """),
        FakeChild().notifies("STATUS=well").notifies("READY=1"),
    ),
    "is ready by a descriptor": Pair(("sh", "-c", "echo >&4; exec sleep 100"), FakeChild().writes_ready(4)),
    "ends before it is ready": Pair(("sh", "-c", "echo no; exit 9"), FakeChild().prints("no").exits(9)),
    "is not there": Pair(("no-such-program",), FakeChild().cannot_start(number=errno.ENOENT)),
}


class Bench:
    """Launches behaviours by one of the launchers; time passes by itself in both."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.manual = ManualClock()
        self.clock: Clock = LoopClock() if kind == "real" else self.manual
        scripts = {name: pair.script for name, pair in BEHAVIOURS.items()}
        self.launcher: Launcher = SystemLauncher() if kind == "real" else ScriptedLauncher(self.manual, by_id=scripts)
        self._running: list[Child] = []

    async def launch(self, name: str, *, capture: bool = True, **options: Any) -> Child:
        """The bare child."""
        spec = Spec(id=name, argv=BEHAVIOURS[name].argv, **options)
        running = await self.launcher.launch(spec, capture=capture)
        self._running.append(running)
        return running

    def process(self, name: str, **options: Any) -> Process:
        """The child within a Process."""
        return Process(*BEHAVIOURS[name].argv, id=name, launcher=self.launcher, clock=self.clock, **options)

    def see_stopped(self, running: Child) -> None:
        """Wait until SIGSTOP has had its effect: of two signals that are pending, the lower number is taken first."""
        if self.kind == "real":
            os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WNOWAIT)

    async def play(self, work: Any) -> Any:
        """Wait for something that takes time on the clock."""
        async with limit(10, "what is played"):
            return await (work if self.kind == "real" else self.manual.run(work))

    async def clear(self) -> None:
        """End the bare children, and all that is left of them."""
        for running in self._running:
            with contextlib.suppress(ProcessLookupError):
                running.signal(signal.SIGKILL)
            await running.wait()
            running.sweep()
            await running.sweep_all()
            running.close()
        await self.launcher.close()


class Ear:
    """Takes what a source delivers.

    Attributes:
        data: Data that has arrived.
        ends: How often its end was told.
        blocked: Whether it has no room.
    """

    def __init__(self, source: ReadStream | None, *, blocked: bool = False) -> None:
        assert source is not None
        self.data = b""
        self.ends = 0
        self.blocked = blocked
        self.source = source
        self._heard = asyncio.Event()
        source.attach(self._data, self._end, blocked=lambda: self.blocked)

    def _data(self, chunk: bytes) -> None:
        self.data += chunk
        self._heard.set()

    def _end(self) -> None:
        self.ends += 1
        self._heard.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what is delivered until that is so."""
        async with limit(10, "what is to be heard"):
            while not condition():
                self._heard.clear()
                await self._heard.wait()

    async def hear(self, data: bytes) -> None:
        """Wait until all of that has come."""
        await self.until(lambda: data in self.data)

    async def hear_end(self) -> bytes:
        """Wait for the end, and return all that has come."""
        await self.until(lambda: self.ends > 0)
        return self.data
