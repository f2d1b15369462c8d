"""What many tests use: tiny child programs, and waiting with a limit."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

__all__ = ["child", "limit"]


def child(code: str, *args: str) -> tuple[str, ...]:
    """The command line that runs ``code`` with this interpreter: isolated, without site, unbuffered.

    Args:
        code: a program; its common indentation is removed.
        args: what it finds in ``sys.argv[1:]``.
    """
    return (sys.executable, "-I", "-S", "-u", "-c", textwrap.dedent(code).strip(), *args)


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
