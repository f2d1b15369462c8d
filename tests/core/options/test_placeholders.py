"""Placeholders: words in braces that each run replaces."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Alive, LogFile, Spec, SpecError, ready
from aioverseer._engine.service.run_spec import filled
from aioverseer.core.options.placeholders import expand, expand_probe, words_in

VALUES: dict[str, object] = {"index": 2, "id": "web.2", "run": 7, "port": 9002, "fd.http": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{id}", "web.2"),
        ("--bind=127.0.0.1:{port}/{index}", "--bind=127.0.0.1:9002/2"),
        ("fd://{fd.http}", "fd://3"),
        ("{{id}}", "{id}"),
        ("{{fd.http}} {run}", "{fd.http} 7"),
        # All other braces stay.
        ('{"id": "{id}", "port": {port}}', '{"id": "web.2", "port": 9002}'),
        ("{print $1}", "{print $1}"),
        ("{{.ID}} {{ id }} {{range .Items}}", "{{.ID}} {{ id }} {{range .Items}}"),
        ("{ID} { id } {id } {id!r} {id:>5} {0} {} {name}", "{ID} { id } {id } {id!r} {id:>5} {0} {} {name}"),
        ("{id", "{id"),
        ("id}", "id}"),
        ("${PORT} $port %(id)s", "${PORT} $port %(id)s"),
        ("{a}{{b}}", "{a}{{b}}"),
        ("{{id}", "{web.2"),
        ("{id}}", "web.2}"),
        ("{{{id}}}", "{{id}}"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert expected == expand(text, VALUES)


def test_words_in_a_text() -> None:
    assert {"id", "fd.http"} == words_in("{id} {{port}} {fd.http} {other} {run")
    assert not words_in("{ index }")


def test_a_word_without_a_value_is_refused() -> None:
    with pytest.raises(SpecError, match=r"\{fd.admin\} in 'x\{fd.admin\}' has no value: there are \{index\}, \{id\}, "):
        expand("x{fd.admin}", VALUES)


WORDS = r"index|id|run|port|fd\.[^{}:]+"


@given(st.text(alphabet="{}idport.f:h ", max_size=30))
def test_other_text_stays(text: str) -> None:
    """Only words in braces differ, and a value is never expanded again."""
    values = {"index": "{id}", "id": "{port}", "run": "{run}", "port": "{{id}}"}
    values |= {word: "{fd}" for word in words_in(text) if word.startswith("fd.")}
    parts = re.split(rf"(\{{\{{(?:{WORDS})\}}\}}|\{{(?:{WORDS})\}})", text)
    expected = [
        part if place % 2 == 0 else part[1:-1] if part.startswith("{{") else values[part[1:-1]]
        for place, part in enumerate(parts)
    ]
    assert "".join(expected) == expand(text, values)


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (ready.tcp("{port}"), ready.tcp(9002)),
        (ready.tcp("900{index}", host="{id}.local", owner="any"), ready.tcp(9002, host="web.2.local", owner="any")),
        (ready.unix("run/{id}.sock"), ready.unix("run/web.2.sock")),
        (ready.file("{id}.pid", fresh=False), ready.file("web.2.pid", fresh=False)),
        (ready.http("http://localhost:{port}/{{id}}"), ready.http("http://localhost:9002/{id}")),
        (ready.command("check", "{index}"), ready.command("check", "2")),
        (ready.line(r"^on \d+{port}"), ready.line(r"^on \d+9002")),
        (ready.line("{id} is up", stream="stderr"), ready.line(r"web\.2 is up", stream="stderr")),
        (ready.prompt("{id}> "), ready.prompt(r"web\.2> ")),
        (
            ready.tcp("{port}") & (ready.notify() | ready.unix("{id}")),
            ready.tcp(9002) & (ready.notify() | ready.unix("web.2")),
        ),
    ],
    ids=str,
)
def test_probes_are_filled(probe: Any, expected: Any) -> None:
    assert expected == expand_probe(probe, VALUES)
    assert expected is expand_probe(expected, VALUES) or "{" in str(expected)


def test_a_tcp_probe_shows_its_placeholder() -> None:
    assert "tcp 127.0.0.1:{port}" == str(ready.tcp("{port}"))
    with pytest.raises(SpecError, match=r"ready.tcp\('\{id\}'\) gives 'web.2', which is no port"):
        expand_probe(ready.tcp("{id}"), VALUES)
    with pytest.raises(SpecError, match="gives '90002', which is no port"):
        expand_probe(ready.tcp("9000{index}"), VALUES)


def test_a_spec_is_filled() -> None:
    spec = Spec.of(
        "web.2",
        ["serve-{index}", "{port}", "{{id}}"],
        cwd="/srv/{id}",
        extra_env={"PORT": "{port}", "{id}": "x"},
        env={"KEPT": "{id}"},
        stdin="{id}",
        ready=ready.tcp("{port}"),
        alive=Alive(ready.http("http://127.0.0.1:{port}/"), every=5),
        log=[LogFile("{id}-{index}-{run}-{port}-{{run}}.log"), LogFile("all.log")],
        instances=3,
        port=range(9000, 9005),
    )
    made = filled(spec, VALUES)
    assert ("serve-2", "9002", "{id}") == made.argv
    assert "/srv/web.2" == made.cwd
    assert {"PORT": "9002", "{id}": "x"} == made.extra_env
    assert {"KEPT": "{id}"} == made.env
    assert "{id}" == made.stdin
    assert ready.tcp(9002) == made.ready
    assert Alive(ready.http("http://127.0.0.1:9002/"), every=5) == made.alive
    assert made.log is not None
    log = made.log[0]
    assert isinstance(log, LogFile)
    assert "web.2-2-7-9002-{run}.log" == log.path_of(id="web.2", stream="stdout", group="")
    assert spec.log is not None
    assert made.log[1] is spec.log[1]
    assert range(9002, 9003) == made.port
