"""``output``, ``stdout`` and ``stderr``: read, inherited from the host, nowhere, or to an open file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Backoff, LogFile, Overseer, Process, Restart, SpawnError, SpecError, framing, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit
from tests.support.spawners import watch_spawns

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
    with pytest.raises(SpecError, match="output='nowhere' is unknown: pass 'read', 'inherit', 'null' or an open file"):
        Process("true", output="nowhere")  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(("stream", "other"), [("stdout", "stderr"), ("stderr", "stdout")])
@pytest.mark.parametrize("place", ["null", "file"])
async def test_one_stream_is_read_and_the_other_is_not(stream: str, other: str, place: str, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        options: dict[str, Any] = {stream: "null" if place == "null" else file}
        async with limit(20), Overseer() as overseer:
            service = overseer.add("loud", *BOTH, **options)
            await overseer.supervise("loud")
            assert [(other, other[3:])] == [(line.stream, line.text) for line in service.tail()]
            status = await Process(*BOTH, **options)
            assert ([other[3:]], None) == (getattr(status, other), getattr(status, stream))
            process = Process(*BOTH, streaming=True, **options)
            async with process:
                assert getattr(process, stream) is None
                assert [other[3:]] == [line async for line in getattr(process, other)]
    assert ("" if place == "null" else f"{stream[3:]}\n" * 3) == (tmp_path / "file").read_text()


async def test_both_streams_go_to_one_file_in_order(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("ab") as file:
        async with limit(20):
            choices: list[dict[str, Any]] = [{"output": file}, {"stdout": file, "merge_stderr": True}]
            for options in choices:
                status = await Process(*BOTH, **options)
                assert (True, None, None) == (status.ok, status.stdout, status.stderr)
    assert "out\nerr\n" * 2 == path.read_text()


async def test_option_of_one_stream_goes_before_output() -> None:
    async with limit(20):
        status = await Process(*BOTH, output="null", stderr="read")
    assert (None, ["err"]) == (status.stdout, status.stderr)


async def test_each_run_of_a_service_writes_to_the_same_file(tmp_path: Path) -> None:
    with (tmp_path / "file").open("ab") as file:
        async with limit(20), Overseer() as overseer:
            policy = Restart("always", max_restarts=2, backoff=Backoff(min=0))
            overseer.add("loud", *BOTH, stdout=file, stderr="null", restart=policy)
            await overseer.supervise("loud")
    assert "out\n" * 3 == (tmp_path / "file").read_text()


async def test_file_that_was_closed_before_the_start_is_a_spawn_error(tmp_path: Path) -> None:
    file = (tmp_path / "file").open("wb")
    process = Process(*BOTH, stdout=file)
    file.close()
    with pytest.raises(SpawnError, match="the file for its output is closed"):
        await process.start()


async def test_input_that_was_closed_before_the_start_is_a_spawn_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with path.open("rb") as file:
        process = Process("cat", stdin=file)
    with pytest.raises(SpawnError, match="the file for its input is closed"):
        await process.start()


@pytest.mark.parametrize("option", ["stdin", "stdout"])
async def test_file_may_be_closed_once_the_start_has_begun(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a pipe of ``subprocess`` takes the number, and the event loop waits for the end of the program."""
    path = tmp_path / "file"
    path.write_text("line\n")
    file = path.open("r+b")
    watch_spawns(monkeypatch, before=file.close)
    async with limit():
        options: dict[str, Any] = {"stdin": path, option: file}
        status = await Process(*child("print(input())"), **options)
    assert (True, None) == (status.ok, status.error)
    assert (["line"] if option == "stdin" else None) == status.stdout


async def test_100_mb_to_a_stream_that_nobody_asked_for_hold_nothing_up() -> None:
    code = "import os; [os.write(2, b'x' * 65535 + b'\\n') for _ in range(1600)]; os.write(1, b'answer\\n')"
    async with limit(60):
        process = Process(*child(code), streaming="stdout")
        async with process:
            assert ["answer"] == [line async for line in process.stdout]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"stdout": "null", "stderr": "null", "buffered": True}, "stdout='null' cannot go with buffered=True"),
        ({"stdout": "null", "streaming": "stdout"}, "stdout='null' cannot go with streaming='stdout'"),
        ({"stderr": "inherit", "streaming": "stderr"}, "stderr='inherit' cannot go with streaming='stderr'"),
        ({"stdout": "null", "pty": True}, "stdout='null' cannot go with pty=True"),
        ({"output": "null", "framing": framing.chunks()}, "needs output, and output='null' gives none"),
        ({"stderr": "null", "framing": {"stderr": framing.chunks()}}, "needs output, and stderr='null' gives none"),
        ({"stderr": "null", "merge_stderr": True}, "stderr='null' cannot go with merge_stderr=True"),
        ({"stdout": "null", "ready": ready.line("up", stream="stdout")}, "needs lines, and stdout='null' gives none"),
    ],
)
def test_options_that_read_one_stream_are_refused_without_it(options: dict[str, Any], match: str) -> None:
    with pytest.raises(SpecError, match=match):
        Process("true", **options)


def test_files_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file, pytest.raises(SpecError, match="is not open for writing"):
        Process("true", stdout=file)
    with pytest.raises(SpecError, match="is closed"):
        Process("true", stderr=file)
    with pytest.raises(SpecError, match="LogFile"):
        Process("true", stderr="err.log")  # type: ignore[arg-type]  # that is the point


async def test_scripted_child_has_no_pipe_for_a_stream_that_is_not_read() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().prints("out").prints("err", stream="stderr").exits(0))
    async with limit():
        status = await Process("db", stderr="null", clock=clock, launcher=launcher)
    assert (["out"], None) == (status.stdout, status.stderr)
