"""The arguments of the command line as values."""

from __future__ import annotations

import math

import pytest

from aioverseer.cli.arguments import parse


@pytest.mark.parametrize(("verb", "rest"), [("up", []), ("run", ["--", "x"])])
def test_unlimited_restarts_have_a_word(verb: str, rest: list[str]) -> None:
    """Both commands know it."""
    assert math.inf == parse([verb, "--max-restarts", "unlimited", *rest]).policy.max_restarts


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--stop-timeout", "soon", "'soon' is no time: pass seconds, 0 or more"),
        ("--stop-timeout", "inf", "'inf' is no time: pass seconds, 0 or more"),
        ("--stop-timeout", "nan", "'nan' is no time: pass seconds, 0 or more"),
        ("--stop-signal", "SIGNOTHING", "'SIGNOTHING' is no signal: pass a name, for example SIGINT or INT"),
    ],
)
def test_invalid_value_is_named(option: str, value: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what to pass."""
    with pytest.raises(SystemExit) as caught:
        parse(["run", option, value, "--", "x"])
    assert (2, True) == (caught.value.code, words in capsys.readouterr().err)
