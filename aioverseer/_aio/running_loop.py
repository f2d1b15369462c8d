"""running_loop: the event loop of asyncio, or an error that names the other ways."""

from __future__ import annotations

import asyncio

from aioverseer.core.errors import OverseerError

__all__ = ["running_loop"]


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs in this thread.

    Raises:
        OverseerError: If asyncio runs none here, as under trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise OverseerError(
            "aioverseer runs on asyncio, and no event loop of asyncio runs here: call asyncio.run(main()), or "
            'anyio.run(main, backend="asyncio"); under trio, and in plain code, use ThreadedOverseer'
        ) from None
