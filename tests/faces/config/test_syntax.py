"""Texts that are no TOML: the key that is meant, its place, and what to write."""

from __future__ import annotations

import sys

import pytest

from aioverseer.config import ConfigError, Problem
from aioverseer.config.document import parse


def problem_of(text: str) -> Problem:
    with pytest.raises(ConfigError) as caught:
        parse(text, file="aioverseer.toml", folder="/")
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "line", "marked", "message"),
    [
        ("a = 1\na = 2\n", 2, "a", "a is in line 1 already; write it once"),
        ("[x.web]\n[y]\n[x.web]\nz = 1\n", 3, "x.web", "x.web is in line 1 already; write it once"),
        ('["x.y".web]\n["x.y".web]\n', 2, '"x.y".web', '"x.y".web is in line 1 already; write it once'),
        ("a = { b = 1 }\n[a]\nx = 2\n", 2, "a", "a is in line 1 already; write it once"),
        (
            "[t]\na = { b = 1 }\na.c = 2\n",
            3,
            "a.c",
            "t.a is in line 2 already, so t.a.c is not added to it; write both in",
        ),
        ("a = { b = 1, b = 2 }\n", 1, "b", "a.b is in line 1 already; write it once"),
        ("a = 1\na = '''\nx\n'''\n", 2, "a", "a is in line 1 already; write it once"),
        ("[a]\n[[a]]\n", 2, "a", "a is in line 1 already; write it once"),
        ('c = ["a",\n  "b"\nd = 3\n', 1, "[", "the list c is not closed; write ] at its end"),
        ("c = [[1],\n  [2]\n", 1, "[", "the list c is not closed; write ] at its end"),
        ('c = "abc\nd = 3\n', 1, "", 'the text is not closed; write a quote at its end, or """ around several lines'),
        ("a = \n", 1, "", "invalid value; None"),
    ],
)
def test_wrong_syntax_is_told_at_its_place(text: str, line: int, marked: str, message: str) -> None:
    problem = problem_of(text)
    said = f"{problem.message}; {problem.hint}"
    assert (line, f"this is not TOML: {message}") == (problem.line, said[: len(message) + 18])
    start = (problem.column or 0) - 1
    if marked:
        assert marked == problem.text[start : start + problem.length]


def test_secret_of_a_key_that_is_written_twice_is_masked() -> None:
    problem = problem_of('[services.web]\nextra_env = { A = "hunter2" }\nextra_env = { A = "hunter3" }\n')
    assert "services.web.extra_env is in line 2 already" in str(problem)
    assert "hunter" not in str(problem)


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="TOML 1.1, which tomllib reads from Python 3.15 on, allows it")
@pytest.mark.parametrize(
    ("text", "line", "marked", "message"),
    [
        (
            "[w]\nafter = { db = 1,\n  web = 2 }\n",
            2,
            "{",
            "the table w.after ends on another line; write it on one line, or as [w.after]",
        ),
        ("x = { a = 1\n}\n", 1, "{", "the table x ends on another line; write it on one line, or as [x]"),
        ("x = [{ a = 1,\n}]\n", 1, "{", "the table x[0] ends on another line; write it on one line"),
        ("x = { a = 1, }\n", 1, "}", "a table in braces has no comma at its end; leave it out"),
    ],
)
def test_table_over_several_lines_is_told_at_its_place(text: str, line: int, marked: str, message: str) -> None:
    test_wrong_syntax_is_told_at_its_place(text, line, marked, message)
