"""Variables of the environment and of the file are replaced in its texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import LogFile
from aioverseer.config import ConfigError, load
from aioverseer.config.convert.escapes import escaped
from aioverseer.config.variables import Variables
from aioverseer.core.options.placeholders import expand


def replaced(
    data: Any, environ: Mapping[str, str] | None = None, table: Mapping[str, Any] | None = None
) -> tuple[Any, list[tuple[tuple[str | int, ...], str]]]:
    """Return the data with its variables replaced, and the place and message of each error."""
    errors: list[tuple[tuple[str | int, ...], str]] = []
    variables = Variables(environ or {}, table or {}, lambda path, message, hint: errors.append((path, message)))
    return variables.replaced(data, ("x",)), errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "1"),
        ("a${A}b${A}", "a1b1"),
        ("${NONE:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${A:-x}", "1"),
        ("${EMPTY}", ""),
        ("${NONE:-}", ""),
        ("${NONE:-${A}}", "1"),
        ("${NONE:-a${NONE:-b${A}c}d}e", "ab1cde"),
        ("${A:-${NONE}}", "1"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$$${A}", "$${A}"),
        ("$A $1 $(x) $", "$A $1 $(x) $"),
        ("{vars.text}", "t"),
        ("<{vars.text}>", "<t>"),
        ("{vars.number}", 8000),
        (":{vars.number}", ":8000"),
        ("{vars.flag}!", "true!"),
        ("{vars.list}", ["a", "1"]),
        ("{{vars.text}}", "{vars.text}"),
        ("{vars.chain}", "t-1"),
        ("${NONE:-{vars.text}}", "t"),
        ("{id} {} {0} {{x}}", "{id} {} {0} {{x}}"),
        ("${LIKE}", "${A}{vars.text}"),
    ],
)
def test_text_is_replaced(text: str, expected: object) -> None:
    environ = {"A": "1", "EMPTY": "", "LIKE": "${A}{vars.text}"}
    table = {"text": "t", "number": 8000, "flag": True, "list": ["a", "${A}"], "chain": "{vars.text}-${A}"}
    assert (expected, []) == replaced(text, environ, table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NONE}", "the variable NONE is not set"),
        ("${NONE:-${OTHER}}", "the variable OTHER is not set"),
        ("${A", "${A goes on in a way that is not understood"),
        ("${A-x}", "${A goes on in a way that is not understood"),
        ("${A:?x}", "${A goes on in a way that is not understood"),
        ("${}", "${ is not followed by a name"),
        ("${1}", "${ is not followed by a name"),
        ("${NONE:-x", "a ${ has no } after it"),
        ("${NONE:-${A}", "a ${ has no } after it"),
        ("{vars.none}", "there is no variable vars.none"),
        ("x{vars.list}", "{vars.list} is a list, which is no part of a text"),
        ("x{vars.table}", "{vars.table} is a table, which is no part of a text"),
    ],
)
def test_text_that_cannot_be_replaced_is_reported_and_stays(text: str, message: str) -> None:
    table = {"list": ["a"], "table": {"a": "b"}}
    assert ([text], [(("x", 0), message)]) == replaced([text], {"A": "1"}, table)


def test_error_of_a_variable_is_reported_once_at_the_variable() -> None:
    _, errors = replaced(["{vars.a}", "{vars.b}"], {}, {"a": "${NONE}", "b": "{vars.a}"})
    assert [(("vars", "a"), "the variable NONE is not set")] == errors


def test_circle_of_variables_is_reported() -> None:
    _, errors = replaced("{vars.a}", {}, {"a": "{vars.b}", "b": ["{vars.c}"], "c": "x{vars.a}"})
    assert [(("vars", "c"), "this variable leads to itself: vars.a -> vars.b -> vars.c -> vars.a")] == errors


def test_long_chain_of_variables_is_refused() -> None:
    table = {f"v{number}": f"{{vars.v{number + 1}}}" for number in range(5000)} | {"v5000": "x"}
    _, errors = replaced("{vars.v0}", {}, table)
    assert ["variables lead to others more than 40 times"] == [message for _, message in errors]


@pytest.mark.parametrize("form", ["{{vars.v{0}}}{{vars.v{0}}}", ["{{vars.v{0}}}", "{{vars.v{0}}}"]])
def test_variables_that_double_each_other_are_refused(form: Any) -> None:
    def at(number: int) -> Any:
        return form.format(number) if isinstance(form, str) else [each.format(number) for each in form]

    table = {f"v{number}": at(number + 1) for number in range(35)} | {"v35": "x" * 100}
    _, errors = replaced("{vars.v0}", {}, table)
    assert ["variables make more than 4 MiB of text"] == [message for _, message in errors]


def test_deep_default_is_refused() -> None:
    _, errors = replaced("${A:-" * 2000 + "}" * 2000)
    assert 1 == len(errors)


TEXTS = st.text(alphabet="${}:-A{vars.x} ", max_size=30)


@given(text=TEXTS)
def test_any_text_is_replaced_or_refused(text: str) -> None:
    found, errors = replaced(text, {"A": "1"}, {"x": "{vars.y}", "y": "1"})
    assert (found == text) if errors else isinstance(found, str)


@given(text=TEXTS)
def test_escaped_text_comes_back(text: str) -> None:
    assert (text, []) == replaced(escaped(text))


def load_web(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Any:
    """Return the Spec of the one service of a file."""
    (folder / "aioverseer.toml").write_text(text, encoding="utf-8")
    (web,) = load(folder / "aioverseer.toml", environ=environ or {})
    return web


# Files of variables.


def test_env_files_fill_variables_and_reach_services(tmp_path: Path) -> None:
    """The environment of the process is above the files, and the table of a service above both."""
    (tmp_path / ".env").write_text("A=1\nB=1\nC=1\nD=1\n# note\nexport E='x y'\nF\n")
    (tmp_path / ".env.local").write_text("B=2\n")
    (tmp_path / "web.env").write_text("C=3\nHOST=web\n")
    web = load_web(
        tmp_path,
        """
        env_files = [".env", "?.env.local", "?.env.none"]
        [services.web]
        command = ["echo", "${A}${B}", "${HOST}"]
        env_file = ["web.env"]
        extra_env = { D = "4" }
        """,
        {"A": "env", "HOST": "h"},
    )
    assert ("echo", "env2", "h") == web.argv
    assert {"B": "2", "C": "3", "D": "4", "E": "x y", "HOST": "web"} == web.extra_env


def test_whole_environment_gets_no_variables_of_the_project(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n")
    (tmp_path / "web.env").write_text("B=2\n")
    web = load_web(
        tmp_path,
        'env_files = [".env"]\n[services.web]\ncommand = ["true"]\nenv = { P = "1" }\nenv_file = "web.env"\n',
    )
    assert ({"P": "1"}, {"B": "2"}) == (web.env, web.extra_env)


def test_value_of_a_file_is_not_replaced_again(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=${B}$C{vars.x}\n")
    web = load_web(tmp_path, 'env_files = [".env"]\n[services.web]\ncommand = ["echo", "${A}"]\n')
    assert ("${B}$C{vars.x}", "${B}$C{vars.x}") == (web.argv[1], web.extra_env["A"])


def test_name_without_a_value_is_that_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "web.env").write_text("A\nB\n")
    web = load_web(tmp_path, '[services.web]\ncommand = ["true"]\nenv_file = "web.env"\n', {"A": "1"})
    assert {"A": "1"} == web.extra_env


def test_bad_lines_of_a_file_of_variables_are_told_without_their_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('A=1\n\n=secret\nB="secret\nb c=secret\n')
    with pytest.raises(ConfigError) as caught:
        load_web(tmp_path, 'env_files = [".env", "gone.env"]')
    found = [(Path(each.file).name, each.line, each.message) for each in caught.value.problems]
    assert [(".env", 3), ("aioverseer.toml", 1)] == [found[0][:2], found[-1][:2]]
    assert "secret" not in str(caught.value)


def test_file_of_variables_is_found_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "web.env").write_text("A=1\n")
    (tmp_path / "sub" / "more.toml").write_text('[services.web]\ncommand = ["true"]\nenv_file = "web.env"\n')
    web = load_web(tmp_path, 'include = ["sub/more.toml"]\n')
    assert ({"A": "1"}, str(tmp_path)) == (web.extra_env, web.cwd)


@pytest.mark.parametrize("kind", ["", "instances = 2\n"])
def test_value_from_outside_has_no_placeholders(tmp_path: Path, kind: str) -> None:
    """A lone service gets it as it stands; of instances, the overseer makes it that."""
    (tmp_path / ".env").write_text("FMT='{id} {{id}} {run} {port}'\n")
    file = tmp_path / "aioverseer.toml"
    file.write_text(
        'vars = { a = "${PW}" }\n[services.web]\nenv_file = ".env"\nuser = "${PW}"\nlog = "/log/${PW}"\n'
        'command = ["x", "${PW}", "{vars.a}", "${NONE:-${PW}}", "{id}"]\n'
        f'extra_env = {{ PW = "${{PW}}" }}\nstdin = "{{vars.a}}"\n{kind}'
    )
    (web,) = load(file, environ={"PW": "x{id}{{id}}y"})
    values = {"id": "web"}
    own = "x{id}{{id}}y"
    filled = (lambda text: expand(text, values)) if kind else str
    assert [*map(filled, web.argv)] == ["x", own, own, own, "web"]
    assert {name: filled(text) for name, text in web.extra_env.items()} == {
        "FMT": "{id} {{id}} {run} {port}",
        "PW": own,
    }
    assert web.user == own
    assert web.stdin in {own, own.encode()}
    assert [str(log.path) for log in web.log or () if isinstance(log, LogFile)] == ["/log/x{{id}}{{{{id}}}}y"]
