"""The first file of a folder loads, and has the services that the folder tells of."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Spec
from aioverseer.config import ConfigError, load, make_starter, read_procfile
from aioverseer.config.starter import READ, SEEN, starter_from
from aioverseer.config.variables import Variables


def services_of(tmp_path: Path, files: dict[str, str]) -> dict[str, Spec]:
    """Return the Specs of the first file of a folder."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    starter = starter_from(files, name="shop")
    (tmp_path / "aioverseer.toml").write_text(starter.text)
    return {spec.id: spec for spec in load(tmp_path / "aioverseer.toml", environ={})}


def tables_of(files: dict[str, str]) -> dict[str, Any]:
    """Return the tables of services in the first file of a folder."""
    found: dict[str, Any] = tomllib.loads(starter_from(files, name="shop").text)["services"]
    return found


def test_a_file_as_a_whole() -> None:
    files = {"Procfile": "# all\nweb: gunicorn shop.wsgi --bind :$PORT\nworker: python -m shop 'a b'\n", ".env": ""}
    starter = starter_from(files, name="shop")
    assert starter.sources == ("Procfile",)
    assert (
        starter.text
        == """\
# aioverseer check shows what starts when, and aioverseer up runs it.
version = 1
name = "shop"

env_files = ["?.env"]  # the question mark: it may be missing

# From Procfile:
[services.web]
command = ["gunicorn", "shop.wsgi", "--bind", ":5000"]
extra_env = { PORT = "5000" }

[services.worker]
command = ["python", "-m", "shop", "a b"]
extra_env = { PORT = "5100" }
"""
    )


def test_a_procfile_counts_alone(tmp_path: Path) -> None:
    found = services_of(tmp_path, {"Procfile": "web: a\n", "package.json": '{"scripts": {"dev": "x"}}'})
    assert [*found] == ["web"]


@pytest.mark.parametrize("env", ["", "PORT=7000\nGREETING=other\nOWN=yes\n"])
def test_services_of_a_procfile_are_those_that_it_runs(tmp_path: Path, env: str) -> None:
    lines = [
        'echo "$$5 costs" $GREETING',
        "serve --bind :$PORT '$PORT' '${PORT}' {id} '{{id}}' {vars.x} ${id}{port}",
        "run $${GREETING} $$$GREETING $$$${GREETING} $$$$",
        "env A=1 x ${NOPE:-${EMPTY:-$$} {id} {vars.x} $$ ${OWN:-none}",
        "a 'b | c' \"d;e\" f\\ g '' ${EMPTY}x",
    ]
    (tmp_path / "Procfile").write_text("".join(f"s{at}: {line}\n" for at, line in enumerate(lines)))
    if env:
        (tmp_path / ".env").write_text(env)
    (tmp_path / "aioverseer.toml").write_text(make_starter(tmp_path).text)
    environ = {"GREETING": "good  day", "EMPTY": "", "id": "7"}
    expected = load(tmp_path / "Procfile", environ=environ)
    assert tuple(load(tmp_path / "aioverseer.toml", environ=environ)) == tuple(expected)


@given(st.text(st.sampled_from("ab $'\"\\{}:-PORTid.vxs")).filter(str.strip))
def test_any_command_of_a_procfile_is_the_same_afterwards(command: str) -> None:
    environ = {"P": "p{id}", "PORT": "5000", "a": "${b}", "x": ""}
    try:
        (expected,) = read_procfile(f"web: {command}\n", path="Procfile", environ=environ)
    except ConfigError:
        return
    (options,) = tables_of({"Procfile": f"web: {command}\n"}).values()
    findings: list[str] = []
    variables = Variables(environ, {}, lambda _, message, hint: findings.append(f"{message}: {hint}"))
    words = [variables.replaced(word, ()).replace("{{", "{").replace("}}", "}") for word in options["command"]]
    assert (words, findings) == ([word.replace("{{", "{").replace("}}", "}") for word in expected.argv], [])


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("A=1 x ${GREETING}", ["env", "A=1", "x", "${GREETING}"]),
        ("exec x $PORT", ["x", "5000"]),
        ("cd x && y | z", ["sh", "-c", "cd x && y | z"]),
        ("cd x && y >log 2>&1", ["sh", "-c", "cd x && exec y >log 2>&1"]),
        ("a; B=$1 c", ["sh", "-c", "a; exec env B=$1 c"]),
        ("x > log-$PORT", ["sh", "-c", "exec x > log-$PORT"]),
        ("echo ${GREETING} > log", ["sh", "-c", "exec echo $${GREETING} > log"]),
        ("x > y # then; z", ["sh", "-c", "exec x > y # then; z"]),
        ("x & y", ["sh", "-c", "x & y"]),
        ("if a; then b; fi", ["sh", "-c", "if a; then b; fi"]),
        ("export A=1; cd x", ["sh", "-c", "export A=1; cd x"]),
        ("printf 'open", ["sh", "-c", "exec printf 'open"]),
    ],
)
def test_command_that_needs_a_shell_gets_one(line: str, command: list[str]) -> None:
    """The shell becomes the program where it can, so a stop reaches it."""
    assert tables_of({"Procfile": f"web: {line}\n"})["web"]["command"] == command


def test_lines_of_a_procfile_that_are_no_service_are_told() -> None:
    starter = starter_from({"Procfile": "web node x\nweb: a\nweb: b\n"}, name="shop", folder="/shop")
    assert starter.sources == ("Procfile",)
    (error,) = starter.unread
    assert [(problem.file, problem.line) for problem in error.problems] == [
        ("/shop/Procfile", 1),
        ("/shop/Procfile", 3),
    ]


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("Procfile", "web node x\n", ":1: "),
        ("compose.yaml", "services: {a: [", ": this is not YAML"),
        ("package.json", '{"scripts": {\n', ":2:1: this is not JSON"),
        ("pyproject.toml", "\n[project", ":2:9: this is not TOML"),
    ],
)
def test_source_that_is_broken_is_told_with_its_line(name: str, text: str, where: str) -> None:
    starter = starter_from({name: text}, name="shop", folder="/shop")
    (error,) = starter.unread
    assert str(error).startswith(f"/shop/{name}:")
    assert where in str(error)
    assert starter.sources == ()


def test_a_django_project_has_its_server_and_worker(tmp_path: Path) -> None:
    manage = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
    found = services_of(tmp_path, {"manage.py": manage, "requirements.txt": "django\ncelery[redis]>=5\n"})
    assert found["web"].argv == ("python", "manage.py", "runserver", "127.0.0.1:8000")
    assert found["worker"].argv == ("celery", "--app", "shop", "worker", "--loglevel", "info")
    assert "worker" not in tables_of({"manage.py": manage, "requirements.txt": "django\n"})


@pytest.mark.parametrize(
    ("scripts", "locks", "expected"),
    [
        ({"start": "x", "dev": "vite", "build": "y"}, [], {"dev": "npm run dev"}),
        ({"start": "x", "test": "y"}, ["yarn.lock"], {"start": "yarn run start"}),
        (
            {"dev": "concurrently npm:dev:*", "dev:web": "a", "dev:api": "b"},
            ["pnpm-lock.yaml"],
            {"dev": "pnpm run dev", "dev-web": "pnpm run dev:web", "dev-api": "pnpm run dev:api"},
        ),
        ({"dev": "run-p dev:web dev:api", "dev:web": "a"}, [], {"dev-web": "npm run dev:web"}),
        ({"worker": "node w.js", "watch:css": "c"}, [], {"worker": "npm run worker", "watch-css": "npm run watch:css"}),
    ],
)
def test_scripts_of_a_package_that_run_on(scripts: dict[str, str], locks: list[str], expected: dict[str, str]) -> None:
    files = {"package.json": json.dumps({"scripts": scripts}), **dict.fromkeys(locks, "")}
    assert {id: " ".join(table["command"]) for id, table in tables_of(files).items()} == expected


def test_scripts_of_a_python_project_are_off(tmp_path: Path) -> None:
    files = {"pyproject.toml": '[project]\nname = "shop"\n[project.scripts]\nshop-web = "shop:main"\n'}
    assert tables_of(files) == {"shop-web": {"command": ["shop-web"], "enabled": False}}


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"Procfile": "nothing here\n"},
        {"package.json": "{"},
        {"package.json": "[]"},
        {"package.json": '{"scripts": 1}'},
        {"pyproject.toml": "["},
        {"pyproject.toml": "project = 1"},
        {"compose.yaml": "{"},
    ],
)
def test_a_folder_without_programs_gets_an_example(tmp_path: Path, files: dict[str, str]) -> None:
    found = services_of(tmp_path, files)
    assert list(found) == ["web"]
    assert found["web"].argv[:3] == ("python3", "-m", "http.server")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.dictionaries(st.sampled_from([*READ, *SEEN]), TEXTS), TEXTS)
def test_any_text_gives_valid_toml(files: dict[str, str], name: str) -> None:
    assert tomllib.loads(starter_from(files, name=name).text)["services"]


@given(st.lists(TEXTS, min_size=1))
def test_commands_come_through_as_they_are(commands: list[str]) -> None:
    lines = [f"s{number}: {' '.join(command.split())}" for number, command in enumerate(commands)]
    found = tables_of({"Procfile": "\n".join(lines)})
    assert all(found[line.partition(":")[0]]["command"] for line in lines if line.rstrip() != line.split()[0])
