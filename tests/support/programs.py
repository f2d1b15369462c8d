"""Helpers of many tests: small child programs, and time limits."""

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
"""Waits for a signal that has a handler. ``signal.pause()`` misses a signal that comes just before it: the handler
would run only after the next signal. Import modules before ``rest()``: errors of a handler are ignored in an import."""


def child(code: str, *args: str) -> tuple[str, ...]:
    """Return the command line that runs code with this interpreter: isolated, without site, unbuffered.

    Args:
        code: The program. Its common indentation is removed. The function ``rest()`` is defined in it, and waits until
            a signal handler has run.
        args: The arguments of the program, ``sys.argv[1:]``.
    """
    text = textwrap.dedent(code).strip()
    return (sys.executable, "-I", "-S", "-u", "-c", REST + text if "rest()" in text else text, *args)


@asynccontextmanager
async def opened(event: asyncio.Event) -> AsyncGenerator[None]:
    """Set the event at any end of the block, so that a coroutine that swallows cancellations can end."""
    try:
        yield
    finally:
        event.set()


@asynccontextmanager
async def limit(seconds: float = 10.0, what: str = "the block") -> AsyncGenerator[None]:
    """Raise AssertionError if the block takes longer. A TimeoutError of the block itself passes through."""
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            yield
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise AssertionError(f"{what} did not end within {seconds:g} s") from error
