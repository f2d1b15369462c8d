"""Run a host, a program that uses the library, as a process of its own."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import textwrap
from collections.abc import Callable

from tests.support.overseers import is_alive

__all__ = ["PRELUDE", "run_host"]

ROOT = pathlib.Path(__file__).parents[2]

PRELUDE = """
import asyncio, os, signal, sys
from aioverseer import *

DEAF = ("sh", "-c", "trap '' TERM INT; echo up; while :; do sleep 100; done")

async def running(overseer, *argv, **options):
    argv = argv or ("sh", "-c", "echo up; exec sleep 100")
    for n in range(3):
        service = overseer.add(f"s{n}", *argv, restart=Restart("always", backoff=Backoff(0, 0)), **options)
        lines = service.lines()
        await service.start()
        await lines.get()
        print("pid", service.pid, flush=True)
    print("up", flush=True)
"""


def run_host(code: str, *, during: Callable[[subprocess.Popen[str]], None] | None = None) -> tuple[int, list[str]]:
    """Run a program that uses the library; return its exit code and its lines. Its children must be gone.

    Args:
        code: The body; ``PRELUDE`` comes before it.
        during: Called once the program has printed ``up``.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as host:
        assert host.stdout is not None
        lines: list[str] = []
        try:
            if during is not None:
                for line in host.stdout:
                    lines.append(line.strip())
                    if line == "up\n":
                        break
                during(host)
            out, errors = host.communicate(timeout=10)
        except BaseException:
            host.kill()
            raise
    lines += out.splitlines()
    assert "aioverseer" not in errors or "KeyboardInterrupt" in errors or "Stray" in errors, errors
    for line in lines:
        if line.startswith("pid "):
            assert not is_alive(int(line.split()[1])), f"a child is left: {errors}"
    return host.returncode, lines
