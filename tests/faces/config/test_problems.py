"""Problems of files as people see them: place, message, line and mark."""

from __future__ import annotations

import pickle

import pytest

from aioverseer import SpecError
from aioverseer.config import ConfigError, Problem
from aioverseer.config.problems import shown_path


def test_problem_shows_file_line_column_message_and_the_marked_value() -> None:
    problem = Problem(
        file="aioverseer.toml",
        line=12,
        column=10,
        path=("services", "web", "restart", "within"),
        message='is no duration: write seconds, or "5m"',
        text='within = "5x"',
        length=4,
    )
    assert str(problem).splitlines() == [
        'aioverseer.toml:12:10: services.web.restart.within: is no duration: write seconds, or "5m"',
        '   12 | within = "5x"',
        "      |          ^^^^",
    ]


def test_problem_without_a_place_is_one_line() -> None:
    assert (
        str(Problem(file="x.toml", message="is empty", hint="write a service")) == "x.toml: is empty; write a service"
    )


def test_mark_stands_below_its_text_after_tabs_and_wide_characters() -> None:
    problem = Problem(file="x", line=1, column=4, message="m", text="\t漢\u0301x", length=1)
    assert str(problem).splitlines()[2] == "      | \t  ^"


def test_long_line_is_cut_around_the_mark() -> None:
    text = "a" * 5000 + "X" + "b" * 5000
    problem = str(Problem(file="x", line=1, column=5001, message="m", text=text))
    _, line, mark = problem.splitlines()
    assert len(line) < 200
    assert line[mark.index("^")] == "X"


def test_control_characters_of_the_line_are_not_printed() -> None:
    assert "\x1b" not in str(Problem(file="x", line=1, column=1, message="m", text="\x1b[31m = 1"))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ((), ""),
        (("services", "web", "stop", "steps", 0, 1), "services.web.stop.steps[0][1]"),
        (("services", "a.b", 'x"y\n'), 'services."a.b"."x\\"y\\U0000000A"'),
        (("", "x"), '"".x'),
    ],
)
def test_path_is_written_as_in_toml(path: tuple[str | int, ...], shown: str) -> None:
    assert shown_path(path) == shown


def test_error_names_all_problems_and_their_number() -> None:
    error = ConfigError([Problem(file="a", message="one"), Problem(file="b", message="two")])
    assert str(error) == "a: one\nb: two\n2 problems"
    assert isinstance(error, SpecError)
    assert pickle.loads(pickle.dumps(error)).problems == error.problems  # made here
