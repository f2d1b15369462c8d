"""Where a program lies on PATH, and when that is looked for again."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioverseer._system.host import path_lookup
from aioverseer._system.host.path_lookup import locate


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have found is not known here."""
    monkeypatch.setattr(path_lookup, "_cache", {})


def program(folder: Path, name: str = "tool") -> str:
    """Put a program there."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n", encoding="ascii")
    path.chmod(0o755)
    return str(path)


def test_where_it_was_found_it_is_not_looked_for_again_while_it_can_be_executed(tmp_path: Path) -> None:
    """One that comes to lie ahead of it is not seen until it is gone, as in shells."""
    path = f"{tmp_path / 'a'}:{tmp_path / 'b'}"
    second = program(tmp_path / "b")
    assert second == locate("tool", path)
    first = program(tmp_path / "a")
    assert second == locate("tool", path)
    Path(second).chmod(0o644)
    assert first == locate("tool", path)
    Path(first).unlink()
    assert locate("tool", path) is None


def test_another_path_is_another_question(tmp_path: Path) -> None:
    """What was found for one PATH says nothing for others."""
    first, second = program(tmp_path / "a"), program(tmp_path / "b")
    assert [first, second] == [locate("tool", str(Path(found).parent)) for found in (first, second)]


def test_what_is_known_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for ever new programs fills no memory."""
    monkeypatch.setattr(path_lookup, "_CACHE_SIZE", 3)
    for number in range(10):
        assert locate(f"tool{number}", str(tmp_path)) is None
        program(tmp_path, f"tool{number}")
        assert locate(f"tool{number}", str(tmp_path)) is not None
        assert len(path_lookup._cache) <= 3


def test_a_folder_that_may_be_another_one_elsewhere_ends_the_search(tmp_path: Path) -> None:
    """The program may run in another folder than this host."""
    program(tmp_path / "a")
    assert locate("tool", f"here:{tmp_path / 'a'}") is None
