"""References of compose in the form of our file mean the same; words without a shell are those of one."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from hypothesis import given, strategies

from aioverseer.config.convert.references import References
from aioverseer.config.convert.shell_command import plain_words
from aioverseer.config.convert.units import binary_size, go_duration, pm2_duration
from aioverseer.config.variables import Variables

NAMES = ("A", "B_1", "c")
LITERALS = strategies.text(alphabet="ab $-:'\"\n", max_size=6)
DEFAULTS = strategies.text(alphabet="ab -:/", max_size=5)


def plain_reference(name: str, form: int, default: str) -> str:
    return (f"${name}", f"${{{name}}}", f"${{{name}:-{default}}}")[form]


REFERENCES = strategies.builds(plain_reference, strategies.sampled_from(NAMES), strategies.integers(0, 2), DEFAULTS)
TEXTS = strategies.lists(strategies.one_of(LITERALS, REFERENCES, strategies.just("$$")), max_size=6).map("".join)
ENVIRONMENTS = strategies.dictionaries(strategies.sampled_from(NAMES), strategies.text("xy ", max_size=3))

REFERENCE = re.compile(
    r"\$\$|\$(?P<plain>[A-Za-z_]\w*)|\$\{(?P<braced>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}", re.ASCII
)


def as_compose_reads(text: str, environ: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return environ.get(found["plain"] or found["braced"], "") or found["default"] or ""

    return REFERENCE.sub(value, text)


def as_ours(text: str, environ: dict[str, str]) -> Any:
    problems: list[str] = []
    variables = Variables(environ, {}, lambda _path, message, _hint: problems.append(message))
    value = variables.replaced(text, ())
    assert problems == []
    return value


@given(text=TEXTS, environ=ENVIRONMENTS)
def test_a_translated_text_has_the_value_that_compose_gives_it(text: str, environ: dict[str, str]) -> None:
    assert as_ours(References().translated(text), environ) == as_compose_reads(text, environ)


@given(text=strategies.text(alphabet="ab${}:-idxvars. ", max_size=12))
def test_a_text_without_references_stays_as_it_is(text: str) -> None:
    translated = References(on=False).translated(text)
    assert as_ours(translated, {}) == re.sub(r"\{(index|id|run|port|fd\.[^{}:]+)\}", r"{{\1}}", text)


@given(words=strategies.lists(strategies.text(alphabet="ab -/=.'\"", min_size=1, max_size=6), min_size=1, max_size=4))
def test_the_words_of_a_command_line_are_those_of_a_shell(words: list[str]) -> None:
    line = shlex.join(words)
    assert References().words(line) == words
    assert plain_words(line) in (words, None)


@pytest.mark.parametrize(
    ("text", "expected", "problem"),
    [
        ("${A?no}", "${A}", ""),
        ("${A:?no}", "${A}", "accepts an empty one"),
        ("${A-x}", "${A:-x}", "also for an empty variable"),
        ("a${A:+x}b", "ab", "left out"),
        ("${A:-${B:-x}}", "${A:-${B:-x}}", ""),
        ("${A:-{x}}", "${A:-}}", "braces"),
        ("${A", "$${A", "not understood"),
        ("${A:-x", "$${A:-x", "not closed"),
    ],
)
def test_other_forms_are_said_or_noted(text: str, expected: str, problem: str) -> None:
    references = References()
    assert references.translated(text) == expected
    assert problem in "".join(references.problems)
    assert bool(references.problems) == bool(problem)


@pytest.mark.parametrize(
    "command",
    [
        "cd src",
        "A=1 run",
        "a && b",
        "a; b",
        "echo $X",
        "ls *.py",
        "exec run",
        "a > b",
        'a "$(b)"',
        "a 'b",
        "",
        "if x",
        "~/run",
    ],
)
def test_a_command_line_that_needs_a_shell_has_no_plain_words(command: str) -> None:
    assert plain_words(command) is None


def test_quotes_alone_need_no_shell() -> None:
    assert plain_words("run 'a b' \"c | d\" e") == ["run", "a b", "c | d", "e"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m30s", 90), ("1.5h", 5400), ("300ms", 0.3), ("0", 0), ("5", None), ("", None)]
)
def test_durations_of_go(text: str, seconds: float | None) -> None:
    assert go_duration(text) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("1600", 1.6), ("10s", 10), ("2h", 7200), ("x", None)])
def test_durations_of_pm2(text: str, seconds: float | None) -> None:
    assert pm2_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 2**29), ("1.5GB", 3 * 2**29), ("160", 160), ("7G", 7 * 2**30), ("x", None)]
)
def test_sizes_in_steps_of_1024(text: str, size: int | None) -> None:
    assert binary_size(text) == size
