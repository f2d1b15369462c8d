"""``python tests/benchmarks/servers.py``: how much longer a test waits for a ready redis than redis itself takes.

The contenders run in turn: aioverseer, and mirakuru and pytest-xprocess where they are installed. The time of redis
itself is measured by connecting again and again without a pause.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS = 15

Way = Callable[[list[str], int], float]
"""A function that starts a server on a port, returns the seconds until it is known to listen, and ends it."""


def alone(words: list[str], port: int) -> float:
    """Connect without a pause until redis answers."""
    begin = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionRefusedError:
                continue
            break
        taken = time.perf_counter() - begin
        process.kill()
    return taken


def ours(words: list[str], port: int) -> float:
    """Wait as the fixtures of the plugin do."""
    from aioverseer import ThreadedOverseer, ready

    with ThreadedOverseer() as overseer:
        begin = time.perf_counter()
        service = overseer.add("redis", *words, ready=ready.tcp(port)).start()
        taken = time.perf_counter() - begin
        service.stop(kill=True)
    return taken


def mirakuru(words: list[str], port: int) -> float:
    """Wait by mirakuru's executor for a port."""
    module: Any = importlib.import_module("mirakuru")
    executor = module.TCPExecutor(words, host="127.0.0.1", port=port)
    begin = time.perf_counter()
    executor.start()
    taken = time.perf_counter() - begin
    executor.kill()
    return taken


XPROCESS = """
import time
from xprocess import ProcessStarter

def test_it(xprocess):
    class Starter(ProcessStarter):
        pattern = "Ready to accept connections"
        args = {words!r}
    begin = time.perf_counter()
    xprocess.ensure("redis", Starter)
    with open("taken", "w") as file:
        file.write(str(time.perf_counter() - begin))
    xprocess.getinfo("redis").terminate()
"""


def xprocess(words: list[str], port: int) -> float:
    """Wait by pytest-xprocess, which needs a run of pytest; only the time of ``ensure`` counts."""
    del port
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_it.py").write_text(XPROCESS.format(words=words))
        command = [sys.executable, "-m", "pytest", "-q", "--rootdir", folder]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return float((Path(folder) / "taken").read_text())


WAYS: dict[str, tuple[str, Way]] = {
    "aioverseer": ("aioverseer", ours),
    "mirakuru": ("mirakuru", mirakuru),
    "pytest-xprocess": ("xprocess", xprocess),
}


def main() -> int:
    """Measure and print; return 1 when aioverseer needs more than 20 ms over redis itself."""
    from aioverseer.testing import Ports

    if shutil.which("redis-server") is None:
        print("redis-server is not installed")  # noqa: T201  # it is a command
        return 0
    ways = {name: way for name, (module, way) in WAYS.items() if importlib.util.find_spec(module) is not None}
    over: dict[str, list[float]] = {name: [] for name in ways}
    ports = Ports()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name, way in ways.items():
                port = ports.reserve()
                words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
                bare = alone(words, port)
                over[name].append(way(words, port) - bare)
    ports.release()
    for name, several in over.items():
        print(f"{statistics.median(several) * 1000:8.1f} ms over redis itself: {name}")  # noqa: T201  # as above
    return int(statistics.median(over["aioverseer"]) > _MOST)


_MOST = 0.02

if __name__ == "__main__":
    raise SystemExit(main())
