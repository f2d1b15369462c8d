"""The arguments of the command line as values."""

from __future__ import annotations

import math

import pytest

from aioverseer.cli.arguments import parse


@pytest.mark.parametrize(("verb", "rest"), [("up", []), ("run", ["--", "x"])])
def test_unlimited_restarts_have_a_word(verb: str, rest: list[str]) -> None:
    """Both commands know it."""
    assert math.inf == parse([verb, "--max-restarts", "unlimited", *rest]).policy.max_restarts
