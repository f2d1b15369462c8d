"""The host of an overseer: nothing of it is changed, and no child is left at its end."""

from __future__ import annotations

import logging
import random
import signal
import subprocess
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, Restart
from tests.support.host_program import run_host
from tests.support.programs import limit


async def test_nothing_of_the_host_is_configured(caplog: pytest.LogCaptureFixture) -> None:
    """No handler, no level, no signal handler and no global chance is touched by a whole use (B11, B54)."""
    logger, root = logging.getLogger("aioverseer"), logging.getLogger()

    def host() -> Any:
        return (
            list(logger.handlers),
            logger.level,
            logger.propagate,
            logger.disabled,
            list(root.handlers),
            root.level,
            random.getstate(),
            [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)],
        )

    before = host()
    async with limit(), Overseer() as overseer:
        overseer.add("crash", "false", restart=Restart(max_restarts=2, backoff=Backoff(0.001, 0.01, jitter=True)))
        await overseer.supervise_all()
        assert host() == before
    assert host() == before
    assert logger.handlers == []


@pytest.mark.parametrize("argv", ["", "*DEAF, stop=Stop(timeout=0.1)"])
def test_keyboard_interrupt_leaves_no_child(argv: str) -> None:
    """Ctrl-C in a host without signal handling of its own: the block is left, then KeyboardInterrupt comes out."""
    code, lines = run_host(
        f"""
        async def main():
            async with Overseer() as overseer:
                await running(overseer, {argv})
                await asyncio.sleep(60)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """,
        during=lambda host: host.send_signal(signal.SIGINT),
    )
    assert (code, lines[-1]) == (0, "interrupted")


def test_second_keyboard_interrupt_leaves_no_child() -> None:
    """A second Ctrl-C while a deaf program is being stopped cuts that short, and still leaves nothing."""

    def twice(host: subprocess.Popen[str]) -> None:
        assert host.stdout is not None
        host.send_signal(signal.SIGINT)
        assert host.stdout.readline() == "leaving\n"
        host.send_signal(signal.SIGINT)

    code, _ = run_host(
        """
        async def main():
            async with Overseer() as overseer:
                await running(overseer, *DEAF)
                try:
                    await asyncio.sleep(60)
                finally:
                    asyncio.get_running_loop().call_soon(lambda: print("leaving", flush=True))
        asyncio.run(main())
        """,
        during=twice,
    )
    assert code in (1, 130, -signal.SIGINT)


@pytest.mark.parametrize(
    ("name", "way", "code"),
    [
        ("exit in the block", "sys.exit(3)", 3),
        ("exit in a callback", "asyncio.get_running_loop().call_soon(sys.exit, 4); await asyncio.sleep(60)", 4),
        ("error in the block", "raise ValueError", 1),
        ("cancelled", "asyncio.current_task().cancel(); await asyncio.sleep(60)", 1),
    ],
)
def test_end_of_the_host_leaves_no_child(name: str, way: str, code: int) -> None:
    """``sys.exit`` in the block or anywhere in the loop, an error or a cancellation that ends the host."""
    returned, _ = run_host(
        f"""
        async def main():
            async with Overseer() as overseer:
                await running(overseer)
                {way}
        try:
            asyncio.run(main())
        except (ValueError, asyncio.CancelledError):
            sys.exit(1)
        """
    )
    assert returned == code


def test_loop_that_ends_without_leaving_leaves_no_child() -> None:
    """``asyncio.run`` that ends while an overseer was never left: its children are killed, policies or not."""
    code, lines = run_host(
        """
        async def main():
            overseer = await Overseer().__aenter__()
            await running(overseer)
            return overseer
        overseer = asyncio.run(main())
        print(sorted({str(overseer[id].state) for id in overseer}))
        """
    )
    assert (code, lines[-1]) == (0, "['interrupted']")
