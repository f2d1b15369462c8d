"""The contract of the seam: pipelines and open files are the same, real or scripted."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from aioverseer import Exit, SpawnError
from tests.contract.bench import Bench
from tests.support.programs import limit


def descriptors() -> set[str]:
    """The open descriptors of the host."""
    return {*os.listdir("/dev/fd")}


async def test_output_of_one_program_is_the_input_of_the_next(bench: Bench) -> None:
    """Whole, and in order, through three of them."""
    before = descriptors()
    first = bench.process("says much")
    async with limit():
        status = await bench.process("echoes", stdin=bench.process("echoes", stdin=first))
    assert (0, [str(number) for number in range(1, 3001)]) == (status.exit_code, status.stdout)
    assert (True, []) == (first.status().ok, first.status().stdout)
    if bench.kind == "scripted":
        assert before == descriptors()


async def test_more_than_a_pipe_holds_passes_to_the_next_program(bench: Bench) -> None:
    first = bench.process("says more than a pipe holds")
    async with limit():
        status = await bench.process("reads to the end", stdin=first)
    assert (4, ["all"]) == (status.exit_code, status.stdout)
    assert (0, ["done"]) == (first.status().exit_code, first.status().stderr)


async def test_program_whose_reader_has_ended_gets_sigpipe(bench: Bench) -> None:
    """Which is no failure."""
    first = bench.process("says y for ever")
    async with limit():
        status = await bench.process("reads a line", stdin=first)
    assert (0, ["got"]) == (status.exit_code, status.stdout)
    assert Exit(signal=signal.SIGPIPE) == first.exit


async def test_failure_of_the_first_program_is_one_of_the_pipeline(bench: Bench) -> None:
    async with limit():
        status = await bench.process("echoes", stdin=bench.process("ends before it is ready"))
    assert (9, ["no"]) == (status.exit_code, status.stdout)


async def test_end_of_the_first_program_waits_for_what_it_has_left(bench: Bench) -> None:
    """A process of its group still holds the pipe; a stop ends it."""
    async with limit():
        process = bench.process("echoes", stdin=bench.process("has one beside it"), streaming=True)
        await process.start()
        assert "up" == await process.stdout.get()
        status = await process.stop()
    assert 0 == status.exit_code


async def test_files_are_read_and_written(bench: Bench, tmp_path: Path) -> None:
    """From where the file is, to its end."""
    (tmp_path / "in").write_text("skipped\none\ntwo\n")
    with (tmp_path / "in").open() as source, (tmp_path / "out").open("w") as target:
        os.lseek(source.fileno(), len("skipped\n"), os.SEEK_SET)
        async with limit():
            status = await bench.process("echoes", stdin=source, stdout=target)
    assert (0, None) == (status.exit_code, status.stdout)
    assert "one\ntwo\n" == (tmp_path / "out").read_text()


async def test_both_streams_go_to_one_file_in_order(bench: Bench, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as target:
        async with limit():
            await bench.process("speaks in turns", output=target, buffered=False)
    assert "1\n2\n3\n4" == (tmp_path / "out").read_text()


async def test_closed_file_fails_the_start(bench: Bench, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as target:
        process = bench.process("speaks", stdout=target)
    async with limit():
        with pytest.raises(SpawnError, match="is closed; keep it open until the start"):
            await process.start()
