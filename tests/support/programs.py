"""What many tests use: tiny child programs, and waiting with a limit."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

__all__ = ["child", "limit", "opened"]

REST = """
import os, signal
def rest():
    hear, tell = os.pipe()
    os.set_blocking(tell, False)
    before = signal.set_wakeup_fd(tell)
    os.read(hear, 1)
    signal.set_wakeup_fd(before)
    os.close(hear), os.close(tell)

"""
"""Waits for a signal that has a handler. ``signal.pause()`` misses one that comes just before it: its handler would
run only when the next one ends the pause. Imports stand before it: what a handler raises within one is ignored."""


def child(code: str, *args: str) -> tuple[str, ...]:
    """The command line that runs ``code`` with this interpreter: isolated, without site, unbuffered.

    Args:
        code: a program; its common indentation is removed. It finds a function ``rest()`` that waits until a handler
            of its own has run.
        args: what it finds in ``sys.argv[1:]``.
    """
    text = textwrap.dedent(code).strip()
    return (sys.executable, "-I", "-S", "-u", "-c", REST + text if "rest()" in text else text, *args)


@asynccontextmanager
async def opened(event: asyncio.Event) -> AsyncGenerator[None]:
    """Set the event at the end of the block, however it is left: what swallows cancellations waits for nothing else."""
    try:
        yield
    finally:
        event.set()


@asynccontextmanager
async def limit(seconds: float = 10.0, what: str = "the block") -> AsyncGenerator[None]:
    """Fail with AssertionError when the block takes longer; its own TimeoutError passes through."""
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            yield
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise AssertionError(f"{what} did not end within {seconds:g} s") from error
