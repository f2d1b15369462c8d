"""The host's own signal handlers are restored, however they were set."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from aioverseer import Overseer


async def test_handler_of_the_event_loop_is_restored() -> None:
    """A handler of loop.add_signal_handler is called again after the overseer's block."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[str] = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, heard.set_result, "the host")
    try:
        async with Overseer(handle_signals=True) as overseer:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0)
            await overseer.stop_all()
        assert not heard.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert "the host" == await heard
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, lambda _number, _frame: None])
async def test_handler_of_the_process_is_restored(handler: signal.Handlers) -> None:
    """A handler of signal.signal is set again after the overseer's block."""
    before = signal.signal(signal.SIGTERM, handler)
    try:
        async with Overseer(handle_signals=True):
            assert handler is not signal.getsignal(signal.SIGTERM)
        assert handler is signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_signal_long_after_a_stop_counts_as_the_first() -> None:
    """A second signal kills only what the first one has not ended yet."""
    loop = asyncio.get_running_loop()
    async with Overseer(handle_signals=True) as overseer:
        for _ in range(2):
            service = await overseer.add(f"sleeper {loop.time()}", "sleep", "100").start()
            os.kill(os.getpid(), signal.SIGTERM)
            assert signal.SIGTERM == (await service.wait()).signal
