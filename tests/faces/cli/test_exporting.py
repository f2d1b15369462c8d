"""``aioverseer export``: the files of other supervisors."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioverseer.cli import main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "aioverseer.toml"
    path.write_text('[services.web]\ncommand = ["sh", "-c", "echo serving"]\n[profiles.x.services.web]\nnice = 3\n')
    return path


def test_services_are_exported(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """To standard output, or to files that are named and never replaced unasked."""
    assert main(["export", "systemd", "-f", str(file)]) == 0
    assert "ExecStart=" in capfd.readouterr().out
    folder = tmp_path / "units"
    for words, code in (([], 0), ([], 2), (["--force"], 0)):
        assert main(["export", "systemd", "-f", str(file), "-o", str(folder), *words]) == code
    printed = capfd.readouterr().out.splitlines()
    assert printed
    assert {Path(line) for line in printed} == set(folder.iterdir())


def test_unit_of_the_command_itself_has_the_profiles(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It runs ``up`` as the command line would."""
    assert main(["export", "systemd-up", "-f", str(file), "--profile", "x", "-s", "web.nice=4"]) == 0
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("ExecStart=")]
    assert "up" in line
    assert line.endswith("--profile x -s web.nice=4")


def test_file_and_numbers_of_instances_are_words_as_for_up(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """They count again when the unit runs ``up``."""
    assert main(["export", "compose", str(file), "web=3"]) == 0
    assert "scale: 3" in capfd.readouterr().out
    assert main(["export", "systemd-up", "web=3", str(file)]) == 0
    assert "-s web.instances=3" in capfd.readouterr().out


def test_folder_that_cannot_be_made_is_a_failure(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "systemd", "-f", str(file), "-o", str(file / "units")]) == 1
    assert "is no folder and cannot be made one (Not a directory)" in capfd.readouterr().err


def test_kind_of_export_that_nobody_knows_is_refused(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["export", "upstart", "-f", str(file)])
    assert (2, True) == (caught.value.code, "'systemd'" in capfd.readouterr().err)
