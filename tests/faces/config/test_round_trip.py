"""Specs to TOML and back, and files that the schema and the loader judge alike."""

from __future__ import annotations

import copy
import functools
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any, cast

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aioverseer import Spec
from aioverseer.config import ConfigError, load, schema, to_toml
from aioverseer.config.spec_tables import tables_of
from tests.support.spec_values import OPTIONS, specs

Place = tuple[str | int, ...]
Load = Callable[[str], Any]

EXAMPLES = 1000 if os.environ.get("AIOVERSEER_LONG") else 50

CANNOT_SAY = (
    "function",  # functions and open files
    "object",
    "program",  # of a pipeline
)
"""Keys of values that are no part of this property."""

REASONS = [
    r"command is missing|is empty: name the program",
    r"is no service$|is no service;|names the service itself|twice|wait for each other|which was not chosen",
    r"cannot go with|is never used|counts for a group|is for missed=|pass listen=|leaves no |has nothing to compress",
    r"is in prevent_codes|step after SIGKILL|is the number of a signal|less than the period|no pipe to its standard",
    r"gives none: |needs lines|needs output|says nothing about the program|is the descriptor of a socket|comes once",
    r"only a shell|arguments are separate|there is no shell|cannot be split|is no command: |sets a variable",
    r"is no regular expression|is no range of ports|is no address of this machine|is no zone|is no wanted",
    r"expression=|has \d+ fields|fields|is no time of a day|'.*' is no (minute|hour|day|month)|holds no time",
    r"raises for broken bytes|is unknown: pass a text encoding|cannot be encoded|is no encoding",
    r"is a decimal number|would be fed as text|soft not above hard|is no name for a service",
    r"has no value, as the service|has a placeholder|is not understood: it may hold|names are separate",
]
"""Reasons for which a file may be refused that no schema can say."""
OF_TEXTS = r"is too (high|low): write"
"""Reason for a number that is written as a text: a schema sees that it is one, and not how large it is."""


@functools.cache
def validator() -> Any:
    return jsonschema.Draft7Validator(schema())


@pytest.fixture(scope="module")
def load_text(tmp_path_factory: pytest.TempPathFactory) -> Load:
    folder = tmp_path_factory.mktemp("files")

    def load_text(text: str) -> Any:
        file = folder / "aioverseer.toml"
        file.write_text(text, encoding="utf-8")
        return load(file, environ={})

    return load_text


def keys_in(data: Any) -> Iterator[str]:
    """Yield all keys of data."""
    if isinstance(data, dict):
        for key, value in cast("dict[str, Any]", data).items():
            yield key
            yield from keys_in(value)
    elif isinstance(data, list):
        for value in data:
            yield from keys_in(value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=EXAMPLES, deadline=None)
@given(specs())
def test_any_spec_is_the_same_after_toml(load_text: Load, spec: Spec) -> None:
    table = {"services": tables_of([spec])}
    assume(not set(CANNOT_SAY) & set(keys_in(table)))
    text = to_toml(table)
    assert [] == [error.message for error in validator().iter_errors(tomllib.loads(text))]
    try:
        (found,) = load_text(text).specs
    except ConfigError as error:
        assume(not re.search(r"there is no service|is no service|after", str(error)))
        raise
    wanted = without_paths(spec.to_dict())
    assert without_paths(found.to_dict()) == wanted


def without_paths(data: dict[str, Any]) -> dict[str, Any]:
    """Return data of a Spec without the paths that begin at the folder of the file."""
    kept = copy.deepcopy({key: value for key, value in data.items() if key != "cwd"})
    for log in kept.get("log") or []:
        log["path"] = log.get("path", "").rpartition("/")[2]
    if "file" in (kept.get("stdin") or ()) and isinstance(kept["stdin"], dict):
        kept["stdin"] = "file"
    return kept


WRONG: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                "x",
                "5m",
                "5x",
                "512 MiB",
                "12",
                "-1",
                "true",
                "none",
                "always",
                "SIGTERM",
                "TERM",
                "25%",
                "a b",
                "/x/",
            ),
            *(
                "~/x",
                "read",
                "9000-9099",
                "8000",
                "127.0.0.1:80",
                "@x",
                "022",
                "0o22",
                "ready",
                "notify",
                "a:b",
                "\u00e4",
                "a,b",
            ),
            *(0, 1, -1, 5, 99, 300, 70_000, 2**40, 0.5, 1.0, -0.5, 1e300, True, False),
        ]
    ),
    st.sampled_from(
        [[], {}, [1], ["x"], [["SIGTERM", 5]], {"x": 1}, {"tcp": 8000}, {"min": 1}, {"line": "x"}, ["SIGTERM", 5]]
    ),
)
KEYS = st.sampled_from(
    "x min timeout tcp http until when steps path keep id command stdout cron every nofile A".split()
)


@st.composite
def changed_tables(draw: st.DrawFn) -> dict[str, Any]:
    """Return the table of a service in which one thing was replaced, added or left out."""
    spec = draw(specs())
    (table,) = tables_of([spec]).values()
    assume(not set(CANNOT_SAY) & set(keys_in(table)))
    table = copy.deepcopy(table)
    holders = [each for each in holders_in(table) if each]
    holder = draw(st.sampled_from(holders)) if draw(st.booleans()) else table
    if isinstance(holder, list):
        holder[draw(st.integers(0, len(holder) - 1))] = draw(WRONG)
        return table
    match draw(st.sampled_from(["replace", "option", "add", "drop"])):
        case "replace":
            holder[draw(st.sampled_from(sorted(holder)))] = draw(WRONG)
        case "option":
            table[draw(st.sampled_from(sorted(OPTIONS)))] = draw(WRONG)
        case "add":
            holder[draw(KEYS)] = draw(WRONG)
        case _:
            del holder[draw(st.sampled_from(sorted(holder)))]
    return table


def holders_in(data: Any) -> Iterator[Any]:
    """Yield all tables and lists in data."""
    if isinstance(data, dict):
        yield data
        for value in cast("dict[str, Any]", data).values():
            yield from holders_in(value)
    elif isinstance(data, list):
        yield data
        for value in data:
            yield from holders_in(value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=4 * EXAMPLES, deadline=None)
@given(changed_tables())
def test_schema_and_loader_judge_alike(load_text: Load, table: dict[str, Any]) -> None:
    text = to_toml({"services": {"web": table}})
    refused = [tuple(error.absolute_path) for error in validator().iter_errors(tomllib.loads(text))]
    try:
        load_text(text)
    except ConfigError as error:
        problems = error.problems
    else:
        assert refused == [], text
        return
    if refused:
        for place in refused:
            assert any(are_related(place, problem.path) for problem in problems), (text, place, str(problems))
        return
    for problem in problems:
        reasons = [*REASONS, OF_TEXTS] if isinstance(value_at(table, problem.path[2:]), str) else REASONS
        assert any(re.search(reason, problem.message) for reason in reasons), (text, str(problem))


def value_at(data: Any, path: Place) -> Any:
    """Return the value at a place; None for a missing one."""
    for key in path:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def are_related(one: Place, other: Place) -> bool:
    """Return whether one place is the other one, or around it."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]
