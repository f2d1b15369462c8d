"""The standard streams and the signals of the command, without a program."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from aioverseer.cli.merged_output import MergedOutput
from aioverseer.cli.signals import CommandSignals
from aioverseer.cli.stream_writer import StreamWriter
from tests.support.programs import limit

NOW = datetime(2030, 1, 2, tzinfo=UTC)


async def test_stream_that_was_closed_at_the_start_takes_everything() -> None:
    """Nobody can be waiting for it."""
    writer = StreamWriter.of(None)
    async with limit(10):
        await writer.write(b"x")
    assert (True, False) == (writer.has_reader(), writer.is_open)


async def test_output_after_a_failed_write_is_discarded() -> None:
    """Its reader has gone, as that of `aioverseer up | head`."""
    failures: list[OSError] = []
    read, write = os.pipe()
    os.close(read)
    broken, other = (
        MergedOutput(StreamWriter(write), failures.append),
        MergedOutput(StreamWriter(None), failures.append),
    )
    async with limit(10):
        broken.put_now(NOW, b"lost")
        broken.end()
        await broken.run(other)
        broken.put_now(NOW, b"discarded")
        await broken.put(NOW, b"discarded")
    os.close(write)
    assert ([broken.failure], 0) == (failures, broken.unwritten)


@pytest.fixture
def terminal_signals() -> Iterator[None]:
    """Ignore SIGHUP and SIGTSTP, as nohup and shells without job control do. Restore all at the end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)
    before = [(number, signal.getsignal(number)) for number in numbers]
    for number in (signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    yield
    for number, handler in before:
        signal.signal(number, handler)


async def test_ignored_signals_stay_ignored(terminal_signals: None) -> None:
    """SIGINT is handled nevertheless: a shell lets jobs in the background ignore it."""
    with CommandSignals(stop=lambda _number: None, kill=lambda: None, relay=lambda _number: None):
        assert signal.SIG_IGN is signal.getsignal(signal.SIGHUP)
        assert signal.SIG_IGN is signal.getsignal(signal.SIGTSTP)
        assert signal.SIG_IGN is not signal.getsignal(signal.SIGTERM)


async def test_two_signals_at_once_are_one_request(terminal_signals: None) -> None:
    """The terminal and a parent process may both send Ctrl-C."""
    stopped: list[int] = []
    killed: list[bool] = []
    with CommandSignals(stop=stopped.append, kill=lambda: killed.append(True)) as signals:
        now = asyncio.get_running_loop().time()
        signals._on_stop(signal.SIGINT)
        signals._on_stop(signal.SIGTERM)
        assert ([signal.SIGINT], []) == (stopped, killed)
        signals._first_at = now - 1
        signals._on_stop(signal.SIGTERM)
    assert ([signal.SIGINT], [True]) == (stopped, killed)
