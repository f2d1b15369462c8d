"""``aioverseer convert`` and ``schema``."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioverseer.cli import main
from aioverseer.config import load
from tests.faces.cli.conftest import modules_after

SUPERVISORD = """
[program:web]
command=sh -c 'echo serving'
autorestart=unexpected
priority=10
umask=022
"""


@pytest.fixture
def supervisord(tmp_path: Path) -> Path:
    path = tmp_path / "supervisord.conf"
    path.write_text(SUPERVISORD, encoding="utf-8")
    return path


def test_file_is_converted_to_standard_output(supervisord: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The report is about what differs, unless more is asked for."""
    assert main(["convert", str(supervisord)]) == 0
    out, err = capfd.readouterr()
    assert tomllib.loads(out)["services"]["web"]["umask"] == "022"
    assert "program:web: priority: " in err
    assert "umask" not in err
    assert main(["convert", "-v", str(supervisord)]) == 0
    assert "program:web: umask: carried: " in capfd.readouterr().err


def test_converted_file_loads(
    supervisord: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command says how to go on."""
    monkeypatch.chdir(tmp_path)
    assert main(["convert", str(supervisord), "my shop.toml"]) == 0
    assert capfd.readouterr().out == "my shop.toml: written\nnext: aioverseer check 'my shop.toml'\n"
    target = tmp_path / "aioverseer.toml"
    assert main(["convert", str(supervisord), str(target)]) == 0
    assert capfd.readouterr().out == "aioverseer.toml: written\nnext: aioverseer check\n"
    (spec,) = load(target)
    assert (spec.id, spec.argv, spec.umask) == ("web", ("sh", "-c", "echo serving"), 0o022)


def test_target_that_no_command_would_read_is_refused(
    supervisord: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(supervisord), str(tmp_path / "shop.conf")]) == 2
    assert "write a name that ends in .toml" in capfd.readouterr().err
    assert not (tmp_path / "shop.conf").exists()


def test_target_is_replaced_only_by_force(supervisord: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "aioverseer.toml"
    target.write_text("mine")
    assert main(["convert", str(supervisord), str(target)]) == 2
    assert capfd.readouterr().err == f"aioverseer: {target} exists: name another file, or replace it by --force\n"
    assert target.read_text() == "mine"
    assert main(["convert", "--force", str(supervisord), str(target)]) == 0
    assert "web" in target.read_text()


def test_target_that_cannot_be_written_is_a_failure(supervisord: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(supervisord), "/no/such/folder/aioverseer.toml"]) == 1
    assert "cannot be written (No such file or directory)" in capfd.readouterr().err


def test_format_that_nobody_knows_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By its name on the command line, or by its text."""
    path = tmp_path / "some.file"
    path.write_text("nothing of the kind\n")
    assert main(["convert", str(path)]) == 2
    assert "supervisord" in capfd.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["convert", "--from", "upstart", str(path)])
    assert (2, True) == (caught.value.code, "'circus'" in capfd.readouterr().err)


def test_procfile_is_one_for_init(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Procfile").write_text("web: serve\n")
    assert main(["convert", str(tmp_path / "Procfile")]) == 2
    assert capfd.readouterr().err == (
        f"{tmp_path}/Procfile: a Procfile is no file of another supervisor; "
        "aioverseer init writes an aioverseer.toml from it\n"
    )


def test_schema_is_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capfd.readouterr().out)["properties"]["services"]


def test_result_that_has_to_be_mended_is_written_and_is_a_failure(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Such as a variable that is not set on this machine. It is named with its place in the new file."""
    source, target = tmp_path / "supervisord.conf", tmp_path / "aioverseer.toml"
    source.write_text("[program:web]\ncommand=serve %(ENV_NO_SUCH_VARIABLE)s\n", encoding="utf-8")
    assert main(["convert", str(source), str(target)]) == 1
    err = capfd.readouterr().err
    assert "the result has to be mended before it can be used:\n" in err
    assert "NO_SUCH_VARIABLE" in err
    assert "services.web" in target.read_text()


def test_folder_of_units_is_converted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "web.service").write_text("[Service]\nExecStart=/bin/true\nNice=3\n", encoding="utf-8")
    assert main(["convert", str(tmp_path)]) == 0
    assert tomllib.loads(capfd.readouterr().out)["services"]["web"]["nice"] == 3


def test_reader_that_goes_ends_the_command(command: Callable[..., Any]) -> None:
    """As after SIGPIPE, without a traceback."""
    running = command("schema", stderr=subprocess.PIPE)
    running.popen.stdout.close()
    assert running.popen.stderr.read() == ""
    assert running.popen.wait() == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_full_device_is_a_failure(command: Callable[..., Any]) -> None:
    """The message is that of the system."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        code, _, err = command("schema", stdout=full, stderr=subprocess.PIPE).finish()
    assert (code, err) == (1, "aioverseer: [Errno 28] No space left on device\n")


def test_schema_command_imports_no_event_loop() -> None:
    """Editors call it."""
    assert set() == {"asyncio", "anyio"} & modules_after(["schema"])
