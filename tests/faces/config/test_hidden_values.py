"""No message about a file shows a value of the environment, whatever is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioverseer.config import ConfigError, advise, draw_tree, load, read_procfile, to_toml
from aioverseer.config.hidden_values import names_in, without_values
from aioverseer.core.options.spec_data import FORMS

SHAPES: list[Callable[[str], Any]] = [
    lambda text: text,
    lambda text: [text],
    lambda text: {text: text, "x": text},
    lambda text: {"tcp": text},
    lambda text: {"cron": text},
    lambda text: {"line": text},
    lambda text: {"command": [text]},
    lambda text: {"function": text},
    lambda text: {"object": text},
    lambda text: {"path": text, "compress": True},
    lambda text: {"http": {"tcp": 8000, "host": text}},
]
"""Values around a text, as options have them."""
OPTIONS = sorted({*FORMS, "command"} - {"argv"})


@pytest.mark.parametrize(
    "secret", ["~/hunter2:x (", *(["hunter2 {}", "@hunter2"] if os.environ.get("AIOVERSEER_LONG") else [])]
)
def test_value_of_a_variable_is_in_no_problem(tmp_path: Path, secret: str) -> None:
    file = tmp_path / "aioverseer.toml"
    for shape in SHAPES:
        for option in OPTIONS:
            file.write_text(to_toml({"services": {"web": {"command": ["x"], option: shape("${SECRET}")}}}))
            try:
                load(file, environ={"SECRET": secret})
            except ConfigError as error:
                assert "hunter2" not in str(error), (option, str(error))  # noqa: PT017  # many files load


def test_value_that_comes_by_a_variable_of_the_file_is_hidden_too(tmp_path: Path) -> None:
    file = tmp_path / "aioverseer.toml"
    text = 'vars = { a = "${SECRET}", b = "{vars.a}" }\n[services.web]\ncommand = ["x"]\nafter = "{vars.b}"'
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"'\$\{SECRET\}' is no service"):
        load(file, environ={"SECRET": "hunter2"})


def test_short_values_leave_other_words_alone() -> None:
    names = names_in({"a": ["x${A}", {"b": "${B:-1}"}]})
    assert names == {"A", "B"}
    assert without_values("a bad value 'a' of 12", names, {"A": "ad", "B": "12"}) == "a bad value 'a' of ${B}"


@pytest.mark.parametrize(
    "options",
    [
        'command = ["x"]\nready = { http = "http://bob:${TOKEN}@localhost/x?key=${TOKEN}" }',
        'command = ["x"]\nready = { line = "${TOKEN}" }',
        'command = ["x"]\nready = { line = "{vars.a}" }',
        'command = ["${TOKEN}"]',
        'command = ["gunicorn${NONE:-}", "-D", "${TOKEN}"]',
        'command = ["x", "--port", "${NUMBER}"]\ninstances = 2',
    ],
)
def test_check_shows_no_value(tmp_path: Path, capfd: pytest.CaptureFixture[str], options: str) -> None:
    file = tmp_path / "aioverseer.toml"
    file.write_text(f'vars = {{ a = "${{TOKEN}}" }}\n[services.web]\n{options}\n')
    config = load(file, environ={"TOKEN": "hunter2", "NUMBER": "8123"})
    advice = [str(each.masked(config.hidden)) for each in advise(config, is_found=lambda *_: False)]
    shown = f"{draw_tree(config, hide=config.hidden)} {advice}"
    assert "hunter2" not in shown
    assert "8123" not in shown
    assert "hunter2" not in repr(config.hidden)


def test_check_of_a_procfile_shows_no_value(tmp_path: Path) -> None:
    file = tmp_path / "Procfile"
    file.write_text("web: $TOKEN --port ${NUMBER}\n")
    config = load(file, settings=["web=2"], environ={"TOKEN": "hunter2", "NUMBER": "8123"})
    shown = " ".join(str(each.masked(config.hidden)) for each in advise(config, is_found=lambda *_: False))
    assert "${TOKEN}" in shown
    assert "${NUMBER}" in shown
    assert "hunter2" not in shown
    assert "8123" not in shown


def test_port_of_a_file_of_variables_is_hidden(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=8123\n")
    file = tmp_path / "aioverseer.toml"
    file.write_text('[services.web]\ncommand = ["x"]\nenv_file = ".env"\ninstances = 2\n')
    config = load(file, environ={})
    (advice,) = advise(config)
    assert "on port ${PORT} (by PORT)" in str(advice.masked(config.hidden))


@pytest.mark.parametrize("line", ["web: ${CMD}", "web: python${CMD}", "web: 'x y'$CMD", "web: $CMD  # x"])
def test_value_is_in_no_problem_of_a_procfile(line: str) -> None:
    for formation in ({}, {"web": 2}):
        try:
            read_procfile(line, path="Procfile", environ={"CMD": "hunter2 thing\0"}, formation=formation)
        except ConfigError as error:
            assert "hunter2" not in str(error)  # noqa: PT017  # some of them are valid
            assert "thing" not in str(error)  # noqa: PT017  # as above


@pytest.mark.parametrize(
    "text",
    [
        "[services.web.extra_env]\nTOKEN = hunter2",
        "[services.web.extra_env]\nTOKEN: hunter2",
        '[services.web.extra_env]\nTOKEN: "hunter2"',
        "[services.web.extra_env]\nTOKEN hunter2",
        '[services.web.extra_env]\nA = "x" hunter2',
        "[defaults.env]\n'A' : hunter2",
        '[services.web]\nextra_env = { A = "x", TOKEN: "hunter2" }',
        "[services.web]\nextra_env.TOKEN: hunter2",
        "[services.web]\nstdin: hunter2",
        '[services.web]\nextra_env.TOKEN = """hunter2\nhunter2 foo',
        "services.web.extra_env.A = hunter2",
    ],
)
def test_secret_of_a_line_that_is_no_toml_is_masked(tmp_path: Path, text: str) -> None:
    file = tmp_path / "aioverseer.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="this is not TOML") as caught:
        load(file, environ={})
    assert "hunter2" not in str(caught.value)


def test_other_lines_that_are_no_toml_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "aioverseer.toml"
    file.write_text('[services.web.extra_env]\nA = "x"\n[services.web]\ncommand = serve')
    with pytest.raises(ConfigError, match=r"put text in quotes: 'serve'\n +4 . command = serve"):
        load(file, environ={})
