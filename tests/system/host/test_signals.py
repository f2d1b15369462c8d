"""The host's own signal handlers are restored, however they were set."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from aioverseer import Overseer
from aioverseer._system.host.signals import HostSignals


async def test_handler_of_the_event_loop_is_restored() -> None:
    """A handler of loop.add_signal_handler is called again after the overseer's block."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[str] = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, heard.set_result, "the host")
    try:
        async with Overseer(handle_signals=True):
            pass
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


def handlers() -> tuple[Any, Any]:
    """Return the handlers of both signals."""
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize("first_left", [0, 1])
async def test_handlers_are_restored_in_any_order_of_leaving(first_left: int) -> None:
    """The overseer that was entered last need not be left first."""
    before = handlers()
    overseers = [Overseer(handle_signals=True), Overseer(handle_signals=True)]
    for overseer in overseers:
        await overseer.__aenter__()
    taken = handlers()
    await overseers.pop(first_left).__aexit__(None, None, None)
    assert (handlers() == taken) is (first_left == 0)
    assert handlers() != before
    await overseers.pop().__aexit__(None, None, None)
    assert handlers() == before


async def test_signal_goes_to_the_overseer_that_is_left() -> None:
    """The one that was entered last has gone, or the one that was entered first."""
    for first_left in (0, 1):
        overseers = [Overseer(handle_signals=True), Overseer(handle_signals=True)]
        for overseer in overseers:
            await overseer.__aenter__()
        await overseers.pop(first_left).__aexit__(None, None, None)
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            try:
                signal.raise_signal(signal.SIGINT)
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                await overseers[0].__aexit__(None, error, None)
        assert task.cancelling() == 0


async def test_handler_that_the_application_sets_in_the_block_stays() -> None:
    """It is the last wish of the application."""
    before = signal.getsignal(signal.SIGTERM)

    def mine(number: int, frame: object) -> None:
        """Do nothing."""

    try:
        async with Overseer(handle_signals=True):
            signal.signal(signal.SIGTERM, mine)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_handlers_are_restored_after_a_refused_or_cancelled_enter() -> None:
    before = handlers()
    for steps in range(4):
        task = asyncio.ensure_future(Overseer(handle_signals=True).__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert handlers() == before
    else:
        pytest.fail("entering takes more steps than this test cancels")
    if not task.cancelled():
        await task.result().__aexit__(None, None, None)
    assert handlers() == before


# --- HostSignals by itself


@pytest.fixture(name="received")
def received_fixture() -> Iterator[list[int]]:
    """Signals that a handler of the application has received for SIGTERM."""
    received: list[int] = []
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    yield received
    for number, handler in before:
        signal.signal(number, handler)


async def install(*hosts: HostSignals) -> None:
    """Take the signals, one after the other."""
    for host in hosts:
        host.install()


def test_signal_goes_to_the_application_while_no_loop_runs(received: list[int]) -> None:
    """Past both overseers. After the end of the loop, too."""
    loop = asyncio.new_event_loop()
    hosts = HostSignals(lambda _number: False), HostSignals(lambda _number: False)
    try:
        loop.run_until_complete(install(*hosts))
        signal.raise_signal(signal.SIGTERM)
        assert [signal.SIGTERM] == received
    finally:
        for host in hosts:
            host.restore()
        loop.close()
    hosts[0].let_through(signal.SIGTERM)
    assert [signal.SIGTERM, signal.SIGTERM] == received


def test_fork_by_a_library_in_c_has_the_handlers_of_the_application(
    received: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a fork runs no fork handlers of Python. The first signal gives the handlers back, except a newer one."""
    before = signal.SIG_IGN, signal.getsignal(signal.SIGTERM)
    seen: list[int] = []

    def on_signal(number: signal.Signals) -> bool:
        seen.append(number)
        return False

    host = HostSignals(on_signal)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(install(host))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 1)
            signal.raise_signal(signal.SIGTERM)
        assert ([signal.SIGTERM], []) == (received, seen)
        assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    finally:
        host.restore()
        loop.close()


def test_runner_that_runs_again_handles_ctrl_c(received: list[int]) -> None:
    """It sets its handler only where it finds the one of Python, not that of its last run."""
    host = HostSignals(lambda _number: False)

    async def restore() -> None:
        host.restore()

    async def handler() -> Any:
        return signal.getsignal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    with asyncio.Runner() as runner:
        runner.run(install(host))
        runner.run(restore())
        assert signal.default_int_handler is signal.getsignal(signal.SIGINT)
        assert signal.default_int_handler is not runner.run(handler())
    assert [] == received
