"""The installed package leaves nothing behind, on each level of containment that this machine has.

``python containment.py``: a block ends, and a host is killed; in both cases a daemon of a service must be gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from aioverseer import ContainmentError, Overseer, ready

LEVELS = "basic", "guarded", "strict", "pidns"


async def host(level: str, seconds: str, *, forever: bool) -> None:
    """Run a service that has started a daemon; print which mechanism contains it."""
    async with Overseer(containment=level) as overseer:  # type: ignore[arg-type]  # a word of the command line
        script = f"setsid sleep {seconds} & echo up; exec sleep {seconds}"
        await overseer.add("tree", "sh", "-c", script, ready=ready.line("up")).start()
        # The line comes before both of them have become sleep.
        async with asyncio.timeout(10):
            while len(sleepers(seconds)) != 2:  # noqa: ASYNC110  # an exec of another process is no event here
                await asyncio.sleep(0.02)
        print(overseer.containment.mechanism, flush=True)
        if forever:
            await asyncio.Event().wait()


def sleepers(seconds: str) -> list[str]:
    """Return the pids of living ``sleep SECONDS`` processes."""
    wanted = f"sleep\0{seconds}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # ended meanwhile
                if (entry / "cmdline").read_bytes() == wanted:
                    found.append(entry.name)
    return found


def gone(seconds: str) -> bool:
    """Wait up to ten seconds for the end of all sleepers."""
    until = time.monotonic() + 10
    while sleepers(seconds):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def main() -> None:
    """Try each level in hosts of their own."""
    if len(sys.argv) > 1:
        asyncio.run(host(sys.argv[1], sys.argv[2], forever=sys.argv[3] == "forever"))
        return
    for number, level in enumerate(LEVELS):
        for how in ("once", "forever"):
            if (level, how) == ("basic", "forever"):
                continue  # promises nothing when the host is killed
            seconds = f"1{os.getpid()}{number}{len(how)}"
            command = [sys.executable, __file__, level, seconds, how]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                mechanism = process.stdout.readline().strip()
                if how == "forever":
                    process.send_signal(signal.SIGKILL)
                _, errors = process.communicate(timeout=30)
            if not mechanism and ContainmentError.__name__ in errors:
                print(f"{level}: cannot be had here: {errors.splitlines()[-1]}")
                break
            assert mechanism, errors
            assert process.returncode == (-signal.SIGKILL if how == "forever" else 0), errors
            assert gone(seconds), f"{level} ({mechanism}), {how}: something is left"
            end = "the block ends" if how == "once" else "the host is killed"
            print(f"{level} ({mechanism}): nothing is left when {end}")


main()
