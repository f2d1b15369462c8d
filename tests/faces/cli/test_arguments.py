"""The arguments of the command line as values."""

from __future__ import annotations

import math

import pytest

from aioverseer.cli.arguments import parse


@pytest.mark.parametrize(
    "words", [["up", "--max-restarts", "unlimited"], ["run", "--max-restarts", "unlimited", "--", "x"]]
)
def test_unlimited_restarts_have_a_word(words: list[str]) -> None:
    """Both commands know it."""
    assert math.inf == parse(words).policy.max_restarts
