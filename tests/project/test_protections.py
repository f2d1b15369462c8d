"""The page of protections names tests and files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contributing" / "protections.md").read_text(encoding="utf-8")
FILES = sorted(set(re.findall(r"`((?:tests|_\w+|core|testing|guardian|shim)/[\w/.]*)`", PAGE)))
TESTS = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)(?:\[[^`]*)?`", PAGE))))
def test_named_test_exists(name: str) -> None:
    """A renamed test takes its line of the page along."""
    assert re.search(rf"^\s*(?:async )?def {name}\(", TESTS, re.MULTILINE)


@pytest.mark.parametrize("path", FILES)
def test_named_file_exists(path: str) -> None:
    """A moved file takes its line of the page along."""
    places = (ROOT, ROOT / "aioverseer", ROOT / "aioverseer" / "_system" / "containment")
    assert any((place / path).exists() for place in places)
