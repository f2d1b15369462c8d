"""``--log-dir``: output is shown, and also written to a file for each service."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioverseer.cli.logs import log_files_in
from tests.support.programs import child

Start = Callable[..., Any]
Write = Callable[..., str]

BOTH = child("import os; os.write(1, b'out \\xff\\n'); os.write(2, b'err\\n')")


def test_up_writes_the_bytes_of_each_service_to_its_file(command: Start, procfile: Write, tmp_path: Path) -> None:
    """The folder is made; a second run appends."""
    folder = tmp_path / "a {b}" / "logs"
    file = procfile(web=BOTH, db=child("print('ready')"))
    for _ in range(2):
        code, out, _ = command("up", "--log-dir", str(folder), file, errors="surrogateescape").finish()
        assert code == 0
        assert "web        | err\n" in out
    assert sorted(path.name for path in folder.iterdir()) == ["db.log", "web.log"]
    assert (folder / "db.log").read_text() == "ready\nready\n"
    lines = (folder / "web.log").read_bytes().splitlines()
    assert sorted(lines) == sorted([b"out \xff", b"err"] * 2)


def test_run_writes_to_a_file_with_the_name_of_the_command(command: Start, tmp_path: Path) -> None:
    """Output and exit code are passed on as well."""
    code, out, _ = command(
        "run",
        "--log-dir",
        str(tmp_path / "logs"),
        "--name",
        "a/b",
        "--restart",
        "never",
        "--",
        "sh",
        "-c",
        "echo x; exit 7",
    ).finish()
    assert (code, out.splitlines()[0]) == (7, "x")
    assert (tmp_path / "logs" / "a%2Fb.log").read_text() == "x\n"


@pytest.mark.parametrize("verb", ["up", "run"])
def test_impossible_folder_is_refused_before_anything_runs(
    command: Start, procfile: Write, tmp_path: Path, verb: str
) -> None:
    """The message has the value, the cause and a remedy."""
    (tmp_path / "file").touch()
    started = tmp_path / "started"
    words = ["touch", str(started)]
    rest = [procfile(a=tuple(words))] if verb == "up" else ["--", *words]
    code, out, _ = command(verb, "--log-dir", str(tmp_path / "file" / "logs"), *rest).finish()
    assert code == 2
    message = f"aioverseer: --log-dir '{tmp_path}/file/logs' is no folder and cannot be made one (Not a directory)"
    assert out == f"{message}: name another\n"
    assert not started.exists()


def test_full_disk_is_reported_and_services_go_on(command: Start, procfile: Write, tmp_path: Path) -> None:
    """Output is still shown, and the exit code is that of the services."""
    os.symlink("/dev/full", tmp_path / "web.log")
    code, out, _ = command("up", "--log-dir", str(tmp_path), procfile(web=child("print('hello')"))).finish()
    assert code == 0
    assert f"web: its log file {tmp_path}/web.log cannot be written: No space left on device\n" in out
    assert "web        | hello\n" in out


def test_files_are_rotated(tmp_path: Path) -> None:
    """A command that runs for months does not fill the disk."""
    log = log_files_in(str(tmp_path))
    assert log is not None
    assert (10_000_000, 5) == (log.max_bytes, log.keep)
    assert log_files_in(None) is None
