"""The places of keys and values in TOML, and the lines that are shown of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any, cast

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer.config import to_toml
from aioverseer.config.excerpts import problem_at, problem_in_line
from aioverseer.config.positions import positions_in

Path = tuple[str | int, ...]

TEXT = r'''
# A comment with [brackets] and a = 1
version = 1   # after a value
"quoted key".literal-key.bare = "x"
dates = [1979-05-27T07:32:00Z, 1979-05-27 07:32:00, 07:32:00]
numbers = [
    1_000, +0.5, inf,   # a comment inside
    0xff,
]
inline = { a = 1, b.c = [ { d = "}" }, {} ], "e f" = 'g' }
long = """
one " two \" three \
   four""""
literal = QQQ
a 'b' cQQQ
empty = [ ]
[services.web]
command = ["x", "[y]"] # no
[services.web.restart]
when="always"
[ services . "a.b" . 'c d']
x.y.z = true
[[hooks]]
on = ["fatal"]
[hooks.inner]
k = 1
[[hooks]]
on = []
[[hooks.deep]]
k = 2
[profiles.dev.services.web]
instances = 1'''.replace("Q", "'")


def paths_of(data: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every value."""
    if path:
        yield path
    if isinstance(data, dict):
        for key, value in cast("dict[str, Any]", data).items():
            yield from paths_of(value, (*path, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from paths_of(value, (*path, number))


def value_at(data: Any, path: Path) -> Any:
    for key in path:
        data = data[key]
    return data


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", "\r\n")], ids=["lf", "crlf"])
def test_paths_are_those_of_tomllib(text: str) -> None:
    found = positions_in(text)
    assert set(paths_of(tomllib.loads(text))) == set(found.values)
    assert {path for path in found.values if isinstance(path[-1], str)} == set(found.keys)


def test_values_stand_where_the_places_say() -> None:
    found = positions_in(TEXT)
    data = tomllib.loads(TEXT)
    for path, place in found.values.items():
        shown = TEXT[place.start : place.end]
        value = value_at(data, path)
        if not isinstance(value, dict | list):
            assert tomllib.loads(f"value = {shown}")["value"] == value, path
    for path, place in found.keys.items():
        assert tomllib.loads(f"{TEXT[place.start : place.end]} = 1") == {path[-1]: 1}


KEYS = st.text(max_size=6) | st.sampled_from(["services", "web", "a.b", 'q"', ""])
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.datetimes(), st.dates()
)
TABLES = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
    ),
    max_size=5,
)
NO_SURROGATES = st.characters(exclude_categories=["Cs"])


@settings(max_examples=60)
@given(TABLES)
def test_paths_of_any_data_are_those_of_tomllib(data: dict[str, Any]) -> None:
    text = tomli_w.dumps(data)
    assert set(paths_of(tomllib.loads(text))) == set(positions_in(text).values)


@settings(max_examples=100)
@given(st.text(st.sampled_from("ab.=[]{}\"'\n #,1\\"), max_size=40))
def test_any_text_that_tomllib_reads_has_its_paths(text: str) -> None:
    found = positions_in(text)  # never raises
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(paths_of(data)) == set(found.values)


def test_a_text_that_is_no_toml_has_the_places_before_the_error() -> None:
    found = positions_in('a = 1\n[b]\nc = "x\nd = 2')
    assert {("a",), ("b",), ("b", "c")} == set(found.values)


def test_deep_nesting_and_long_texts_are_given_up() -> None:
    assert len(positions_in("a = " + "[" * 1_000_000).values) <= 101
    problem = problem_in_line(1, 5, "m", text="a = " + "x" * 5_000_000, file="x")
    assert (1, 5, "") == (problem.line, problem.column, problem.text)
    assert problem_at(("a",), "m", text="a = 1\n" * 1_000_000, file="x").line is None


@pytest.mark.parametrize(
    ("path", "of_key", "line", "marked"),
    [
        (("services", "web", "nice"), False, 3, '"high"'),
        (("services", "web", "nice"), True, 3, "nice"),
        (("services", "web", "stop", "steps", 0, 0), False, 4, '"TERM"'),
        (("services", "web", "command"), False, 2, "[services.web]"),
        (("services", "db"), False, 2, "services"),
    ],
)
def test_problem_is_shown_at_its_place_or_the_nearest_one(path: Path, of_key: bool, line: int, marked: str) -> None:
    text = '# x\n[services.web]\nnice = "high"\nstop.steps = [["TERM", 5]]\n'
    problem = problem_at(path, "is wrong", text=text, file="x.toml", of_key=of_key)
    assert problem.line == line
    start = (problem.column or 0) - 1
    assert problem.text[start : start + problem.length] == marked


SECRETS = [
    'extra_env = { TOKEN = "hunter2", OTHER = 1 }',
    '[services.web.env]\nTOKEN = "hunter2"',
    "extra_env.TOKEN = 'hunter2'",
    'env = { A = ["hunter2"], B = { c = "hunter2" } }',
    'stdin = "hunter2"',
    'extra_env = { TOKEN = """hunter2\nhunter2""" }',
]


@pytest.mark.parametrize("text", SECRETS)
def test_values_of_variables_are_masked(text: str) -> None:
    for number, _ in enumerate(text.split("\n"), 1):
        assert "hunter2" not in str(problem_in_line(number, 1, "m", text=text, file="x"))
    for path in positions_in(text).values:
        assert "hunter2" not in str(problem_at(path, "m", text=text, file="x"))


@pytest.mark.parametrize("text", ['extra_env = { TOKEN = "hunter2', "[env]\nTOKEN = 'hunter2", "env.A = hunter2 x"])
def test_value_of_a_variable_without_an_end_is_masked(text: str) -> None:
    for number, _ in enumerate(text.split("\n"), 1):
        assert "hunter2" not in str(problem_in_line(number, 1, "m", text=text, file="x"))


@settings(max_examples=60)
@given(TABLES)
def test_written_toml_is_read_as_the_same_data(data: dict[str, Any]) -> None:
    plain = tomllib.loads(tomli_w.dumps(data))
    plain = {key: value for key, value in plain.items() if is_writable(value)}
    assert tomllib.loads(to_toml(plain)) == plain


def is_writable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(is_writable(each) for each in cast("dict[str, Any]", value).values())
    if isinstance(value, list):
        return all(is_writable(each) for each in value)
    return isinstance(value, str | int | float)


def test_toml_is_written_as_people_write_it() -> None:
    data = {
        "version": 1,
        "services": {
            "web": {"command": ["x", "-y"], "restart": {"when": "always"}, "ready_timeout": None, "cwd": None},
            "a b": {},
        },
        "hooks": [{"on": ["fatal"], "run": ["./x"]}],
        "profiles": {"dev": {"services": {"web": {"extra_env": {"A" * 60: "B" * 60}}}}},
    }
    assert (
        to_toml(data)
        == f"""\
version = 1

[services.web]
command = ["x", "-y"]
restart = {{ when = "always" }}
ready_timeout = "none"

[services."a b"]

[[hooks]]
on = ["fatal"]
run = ["./x"]

[profiles.dev.services.web.extra_env]
{"A" * 60} = "{"B" * 60}"
"""
    )


def test_value_that_toml_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError, match="TOML has no value of type bytes"):
        to_toml({"x": b"y"})
