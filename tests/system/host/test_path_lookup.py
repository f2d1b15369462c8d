"""Lookup of programs on PATH, and its cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioverseer._system.host import path_lookup
from aioverseer._system.host.path_lookup import locate


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide programs that other tests have found."""
    monkeypatch.setattr(path_lookup, "_cache", {})


def program(folder: Path, name: str = "tool") -> str:
    """Make a program."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n", encoding="ascii")
    path.chmod(0o755)
    return str(path)


def test_found_program_is_cached_while_it_is_executable(tmp_path: Path) -> None:
    """A program earlier on PATH is not found until the cached one is gone, as in shells."""
    path = f"{tmp_path / 'a'}:{tmp_path / 'b'}"
    second = program(tmp_path / "b")
    assert second == locate("tool", path)
    first = program(tmp_path / "a")
    assert second == locate("tool", path)
    Path(second).chmod(0o644)
    assert first == locate("tool", path)
    Path(first).unlink()
    assert locate("tool", path) is None


def test_cache_is_separate_for_each_path(tmp_path: Path) -> None:
    """A result for one PATH is not used for another."""
    first, second = program(tmp_path / "a"), program(tmp_path / "b")
    assert [first, second] == [locate("tool", str(Path(found).parent)) for found in (first, second)]


def test_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lookups of ever new programs fill no memory."""
    monkeypatch.setattr(path_lookup, "_CACHE_SIZE", 3)
    for number in range(10):
        assert locate(f"tool{number}", str(tmp_path)) is None
        program(tmp_path, f"tool{number}")
        assert locate(f"tool{number}", str(tmp_path)) is not None
        assert len(path_lookup._cache) <= 3


def test_relative_folder_ends_the_search(tmp_path: Path) -> None:
    """The working folder of the program may differ from the host's."""
    program(tmp_path / "a")
    assert locate("tool", f"here:{tmp_path / 'a'}") is None
