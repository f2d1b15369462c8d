"""``aioverseer init``: the first file, and what the command says."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioverseer.cli import main
from aioverseer.config import load


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the command in an empty folder."""
    monkeypatch.chdir(tmp_path)


def test_the_file_has_the_services_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Procfile").write_text("web: python -m http.server $PORT\n")
    assert main(["init"]) == 0
    assert capsys.readouterr().out == "aioverseer.toml: made from Procfile\nnext: aioverseer check\n"
    (spec,) = load(tmp_path / "aioverseer.toml", environ={})
    assert (spec.id, spec.argv) == ("web", ("python", "-m", "http.server", "5000"))
    assert main(["check"]) == 0


def test_a_file_is_replaced_by_force_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "aioverseer.toml").write_text("old")
    assert main(["init"]) == 2
    assert "aioverseer.toml exists" in capsys.readouterr().err
    assert (tmp_path / "aioverseer.toml").read_text() == "old"
    assert main(["init", "--force"]) == 0
    assert capsys.readouterr().out.startswith("aioverseer.toml: an example, as nothing here tells of a service\n")


def test_the_folder_of_the_file_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "manage.py").write_text("")
    (tmp_path / "Procfile").write_text("other: x\n")
    assert main(["init", "shop/dev.toml"]) == 0
    assert capsys.readouterr().out == "shop/dev.toml: made from manage.py\nnext: aioverseer check shop/dev.toml\n"
    config = load(tmp_path / "shop" / "dev.toml", environ={})
    assert (config.name, [spec.id for spec in config]) == ("shop", ["web"])


def test_files_that_cannot_be_read_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Procfile").write_bytes(b"web: \xff\n")
    (tmp_path / "package.json").mkdir()
    (tmp_path / "compose.yaml").write_text("services: {db: {image: postgres}, web: {command: run}}")
    assert main(["init"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("aioverseer.toml: made from compose.yaml\n")
    assert "byte 6 is not UTF-8" in said.err
    assert "is a folder" in said.err
    assert "services.db: image: lost" in said.err


def test_problems_of_the_only_source_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: [")
    assert main(["init"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("aioverseer.toml: an example, as the files that could tell of services cannot be used\n")
    assert f"{tmp_path}/compose.yaml:" in said.err
