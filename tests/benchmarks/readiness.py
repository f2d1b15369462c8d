"""The time from the moment at which a program can do its work until ``start()`` returns."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from aioverseer import Overseer, ready
from aioverseer.testing import Ports
from tests.benchmarks.measure import OURS, Measure

_HEAD = "import os, socket, sys, time\n"
_BEGIN = 0.02
"""Seconds of start-up of each program: longer than the first attempts of a probe take."""
_LINE = f"{_HEAD}time.sleep({_BEGIN}); print(time.monotonic(), flush=True); time.sleep(100)"
_TCP = f"""{_HEAD}
time.sleep({_BEGIN})
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(time.monotonic(), flush=True)
time.sleep(100)
"""
_NOTIFY = f"""{_HEAD}
time.sleep({_BEGIN})
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
    address = os.environ["NOTIFY_SOCKET"]
    there.connect("\\0" + address[1:] if address[0] == "@" else address)
    print(time.monotonic(), flush=True)
    there.send(b"READY=1")
time.sleep(100)
"""
_FD = f"""{_HEAD}
time.sleep({_BEGIN})
print(time.monotonic(), flush=True)
os.write(3, b"\\n")
time.sleep(100)
"""


def _after(code: str, probe: Callable[[int], ready.Probe]) -> Callable[[int], Awaitable[float]]:
    async def delay(count: int) -> float:
        ports, times = Ports(), list[float]()
        async with Overseer() as overseer:
            for number in range(count):
                port = ports.reserve()
                words = [sys.executable, "-I", "-S", "-c", code, str(port)]
                service = overseer.add(str(number), *words, ready=probe(port))
                lines = service.lines(history=10)
                await service.start()
                returned = time.monotonic()
                line = await lines.get()
                times.append(returned - float(getattr(line, "text", "nan")))
                await service.stop(kill=True)
                ports.release(port)
        return statistics.median(times) * 1000

    return delay


def _row(kind: str, must: float, aim: float, contender: Callable[[int], Awaitable[float]]) -> Measure:
    return Measure(
        key=f"ready-{kind}",
        title=f"from ready to start() returned, {kind}, median",
        unit="ms",
        must=must,
        aim=aim,
        more_is_better=False,
        size=30,
        quick=2,
        rounds=2,
        contenders={OURS: contender},
    )


MEASURES = [
    _row("tcp", 5, 2.5, _after(_TCP, ready.tcp)),
    _row("line", 1, 0.5, _after(_LINE, lambda _port: ready.line("."))),
    _row("notify", 1, 0.5, _after(_NOTIFY, lambda _port: ready.notify())),
    _row("fd", 1, 0.5, _after(_FD, lambda _port: ready.fd(3))),
]
