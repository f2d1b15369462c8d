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
from aioverseer.config import load
from aioverseer.config.starter import READ, SEEN, starter_from


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

[defaults]
env_file = "?.env"  # the question mark: it may be missing

# From Procfile:
[services.web]
command = ["sh", "-c", "exec gunicorn shop.wsgi --bind :$PORT"]
extra_env = { PORT = "5000" }

[services.worker]
command = ["python", "-m", "shop", "a b"]
"""
    )


def test_a_procfile_counts_alone(tmp_path: Path) -> None:
    text = "web: a\nb: A=1 x ${PORT:-1}\nc: cd x && y | z\nd: echo '{id}' \\\"\nno line\ne: printf 'open"
    found = services_of(tmp_path, {"Procfile": text, "package.json": '{"scripts": {"dev": "x"}}', ".env": "SECRET=1\n"})
    assert {id: spec.argv for id, spec in found.items()} == {
        "web": ("a",),
        "b": ("sh", "-c", "A=1 x ${PORT:-1}"),
        "c": ("sh", "-c", "cd x && y | z"),
        "d": ("sh", "-c", "exec echo '{id}' \\\""),
        "e": ("sh", "-c", "exec printf 'open"),
    }
    assert found["b"].extra_env == {"SECRET": "1", "PORT": "5100"}


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
