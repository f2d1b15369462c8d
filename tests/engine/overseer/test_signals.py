"""Signals of the host: handled when asked for, and left alone by default."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import textwrap
import threading
import time

import pytest

from aioverseer import Overseer, OverseerError
from tests.support.host_program import run_host

SIGNALS = """
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
async def main():
    inside = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with Overseer(handle_signals={handle}) as overseer:
        await running(overseer, {argv})
        results = await overseer.supervise_all()
        print("received", overseer.received_signal and overseer.received_signal.name)
        statuses = results.values()
        print({{str(status.state) for status in statuses}}, {{int(status.signal) for status in statuses}})
    print("restored", inside == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
asyncio.run(main())
print("restored", before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_of_the_host_stops_all_when_asked_for(number: signal.Signals) -> None:
    """With ``handle_signals`` SIGINT and SIGTERM stop all services, and the host's handlers are put back."""
    code, lines = run_host(SIGNALS.format(handle=True, argv=""), during=lambda host: host.send_signal(number))
    assert code == 0
    assert lines[-4:] == [f"received {number.name}", "{'interrupted'} {15}", "restored True", "restored True"]


def test_second_signal_of_the_host_kills() -> None:
    """A second signal cuts the ladder of a deaf program short."""

    def twice(host: subprocess.Popen[str]) -> None:
        assert host.stdout is not None
        host.send_signal(signal.SIGINT)
        assert host.stdout.readline() == "stopping\n"
        time.sleep(0.15)  # two within a tenth of a second are one wish
        host.send_signal(signal.SIGTERM)

    spy = """
    async def spy(overseer):
        async for event in overseer.events():
            if event.state is State.STOPPING:
                print("stopping", flush=True)
                return
    """
    body = SIGNALS.format(handle=True, argv="*DEAF, stop=Stop(timeout=60)").replace(
        "        results =", "        task = asyncio.create_task(spy(overseer))\n        results ="
    )
    code, lines = run_host(textwrap.dedent(spy) + body, during=twice)
    assert code == 0
    assert lines[-4:] == ["received SIGTERM", "{'interrupted'} {9}", "restored True", "restored True"]


def test_signals_of_the_host_are_left_alone_by_default() -> None:
    """Without being asked the library installs nothing: the host's own handler gets the signal (B11)."""
    code, lines = run_host(
        """
        async def main():
            got = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, got.set)
            before = signal.getsignal(signal.SIGINT)
            async with Overseer() as overseer:
                assert signal.getsignal(signal.SIGINT) is before
                await running(overseer)
                await got.wait()
                print("mine", overseer["s0"].state, overseer.received_signal)
        asyncio.run(main())
        """,
        during=lambda host: host.send_signal(signal.SIGTERM),
    )
    assert (code, lines[-1]) == (0, "mine running None")


def test_signal_handling_outside_of_the_main_thread_is_refused() -> None:
    """Where Python has no signal handlers, ``handle_signals`` says so when entered, and nothing is left."""

    async def use() -> str:
        try:
            async with Overseer(handle_signals=True):
                return "entered"
        except OverseerError as error:
            return str(error)

    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(use())))
    thread.start()
    thread.join()
    assert "main thread" in found[0]
