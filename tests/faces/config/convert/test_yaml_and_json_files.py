"""Real files of process-compose, compose and pm2, rewritten: the exact result and the exact report of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aioverseer.config import load
from tests.support.conversions import PROCESSORS, convert, files_of, kept_data, kept_report, report, specs_of

FILES = files_of("process-compose", "compose", "pm2")


def names(path: Path) -> str:
    return f"{path.parent.name}-{path.name}"


@pytest.fixture(autouse=True)
def _processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: PROCESSORS)


@pytest.mark.parametrize("path", FILES, ids=names)
def test_the_result_and_the_report_are_those_that_were_read(path: Path) -> None:
    conversion = convert(path)
    assert conversion.data == kept_data(path)
    assert report(conversion) == kept_report(path)


@pytest.mark.parametrize("path", FILES, ids=names)
def test_every_service_of_the_result_is_valid(path: Path) -> None:
    conversion = convert(path)
    assert len(list(specs_of(conversion))) == len(conversion.data["services"])


@pytest.mark.parametrize("path", FILES, ids=names)
def test_every_key_of_the_file_has_a_note(path: Path) -> None:
    noted = {(note.place, note.key.split(".")[0]) for note in convert(path).notes}
    assert set(keys_of(path)) <= noted


def test_there_are_twenty_files() -> None:
    assert len(FILES) >= 20


def keys_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield place and key of all keys at the top, and of each service, without the help of the readers."""
    found = yaml.safe_load(path.read_text(encoding="utf-8").replace("\t", " "))
    match path.parent.name:
        case "pm2":
            apps = found.get("apps", [found])
            yield from ((f"apps[{number}]", key) for number, app in enumerate(apps) for key in app)
        case kind:
            table = "processes" if kind == "process-compose" else "services"
            yield from (("", key) for key in found if key != table)
            yield from ((f"{table}.{name}", key) for name, each in found[table].items() for key in each)


@pytest.mark.parametrize("path", FILES, ids=names)
def test_every_file_loads_as_it_is(path: Path, tmp_path: Path) -> None:
    file = tmp_path / path.name
    file.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    for name in {each for options in convert(path).data["services"].values() for each in env_files(options)}:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    if "extends: compose/base.yaml" in file.read_text(encoding="utf-8"):
        (tmp_path / "compose").mkdir()
        (tmp_path / "compose/base.yaml").write_text("processes: {}\n", encoding="utf-8")
    profiles = {each for options in convert(path).data["services"].values() for each in options.get("profiles", ())}
    config = load(file, profiles=profiles, environ={"PATH": "/usr/bin"})
    wanted = [name for name, options in kept_data(path)["services"].items() if options.get("enabled", True)]
    assert [spec.id for spec in config.specs] == wanted


def env_files(options: dict[str, Any]) -> list[str]:
    given = options.get("env_file", [])
    return [given] if isinstance(given, str) else given
