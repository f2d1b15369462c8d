"""``output``: read, inherited from the host, or nowhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from aioverseer import LogFile, Overseer, Process, SpecError
from tests.support.programs import child, limit

BOTH = child("import os; os.write(1, b'out\\n'); os.write(2, b'err\\n')")

HOST = """
import asyncio, sys
from aioverseer import Overseer, Process

async def main():
    async with Overseer() as overseer:
        service = overseer.add("loud", *sys.argv[1:], output="{output}", merge_stderr={merged})
        await overseer.supervise("loud")
        process = Process(*sys.argv[1:], output="{output}", merge_stderr={merged})
        status = await process
        assert (status.ok, status.stdout, status.stderr, process.stdout) == (True, None, None, None)
        assert service.tail() == []

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("output", "merged", "stdout", "stderr"),
    [
        ("inherit", False, ["out", "out"], ["err", "err"]),
        ("inherit", True, ["out", "err", "out", "err"], []),
        ("null", False, [], []),
        ("null", True, [], []),
    ],
)
async def test_output_goes_to_the_chosen_place(output: str, merged: bool, stdout: list[str], stderr: list[str]) -> None:
    """Of a Service and of a Process; nothing of it is read."""
    root = str(Path(__file__).parents[3])
    async with limit(30):
        status = await Process(
            sys.executable, "-c", HOST.format(output=output, merged=merged), *BOTH, extra_env={"PYTHONPATH": root}
        )
    assert (True, stdout, stderr) == (status.ok, status.stdout, status.stderr)


def pipes() -> int:
    """How many ends of pipes the host holds."""
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum(os.readlink(link).startswith("pipe:") for link in links if os.path.lexists(link))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_service_without_output_takes_no_pipes() -> None:
    """One end less for each stream; it can be stopped as any other."""
    before = pipes()
    async with limit(20), Overseer(containment="basic") as overseer:  # a guardian would take pipes of its own
        quiet = overseer.add("quiet", "sleep", "100", output="null")
        await quiet.start()
        assert before == pipes()
        await overseer.add("loud", "sleep", "100").start()
        assert before + 2 == pipes()
        assert 15 == (await quiet.stop()).signal


@pytest.mark.parametrize(
    "options",
    [{"buffered": True}, {"streaming": True}, {"pty": True}, {"log": LogFile("x.log")}],
    ids=lambda o: next(iter(o)),
)
def test_options_that_read_output_are_refused_beside_inherit(options: dict[str, Any]) -> None:
    """The message names both."""
    with pytest.raises(SpecError, match="output='null'"):
        Overseer().add("id", "true", output="null", **options)


def test_other_values_are_refused() -> None:
    """By name, with what there is."""
    with pytest.raises(SpecError, match="output='nowhere' is unknown: pass 'read' or 'inherit' or 'null'"):
        Process("true", output="nowhere")  # type: ignore[arg-type]  # that is the point
