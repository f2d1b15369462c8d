"""Hooks in files: their tables become values, and an overseer of the file has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioverseer import EventHook
from aioverseer.config import Config, ConfigError, load
from tests.support.programs import limit

Load = Callable[..., Config]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Return a function that writes the file of a project, and loads it without variables of the environment."""

    def load_text(text: str, /, **options: Any) -> Config:
        (tmp_path / "aioverseer.toml").write_text(text, encoding="utf-8")
        return load(tmp_path / "aioverseer.toml", **{"environ": {}, **options})

    return load_text


def test_hooks_begin_at_the_folder_of_the_file(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOKEN=1\nLEVEL=2\n")
    config = load_text("""
        env_files = [".env"]
        vars = { script = "./notify.sh" }
        [services.web]
        command = "true"
        [services.dev]
        command = "true"
        profiles = ["dev"]
        [[hooks]]
        on = ["fatal", "backoff"]
        services = ["web", "web.0", "dev"]
        run = ["{vars.script}", "-q"]
        [[hooks]]
        on = "failed"
        run = ["other"]
        cwd = "bin"
        timeout = 5.0
        max_running = 2
        extra_env = { LEVEL = "3" }
    """)
    variables = {"TOKEN": "1", "LEVEL": "2"}
    run = ["./notify.sh", "-q"]
    services = ["web", "web.0", "dev"]
    first = EventHook(on=["fatal", "backoff"], run=run, services=services, cwd=tmp_path, extra_env=variables)
    second = EventHook(
        on="failed", run=["other"], cwd=tmp_path / "bin", timeout=5, max_running=2, extra_env=variables | {"LEVEL": "3"}
    )
    assert (first, second) == config.hooks
    assert (first, second) == config.make_overseer().hooks == config.make_threaded_overseer().hooks


@pytest.mark.parametrize(
    ("table", "path", "message"),
    [
        ('on = "fatl"\nrun = ["a"]', ("hooks", 0, "on"), "is unknown: write one of"),
        ('on = "fatal"', ("hooks", 0), "has no run"),
        ('on = "fatal"\nrun = ["a", true]', ("hooks", 0, "run", 1), "is a bool"),
        ('on = "fatal"\nonn = "fatal"\nrun = ["a"]', ("hooks", 0, "onn"), "there is no option 'onn'"),
        ('on = "fatal"\nrun = ["a"]\nservices = ["wep"]', ("hooks", 0, "services"), "'wep' is no service"),
        ('on = "fatal"\nrun = ["a"]\n[[hooks]]\non = ["fatal"]\nrun = ["a"]', ("hooks", 1), "hook 1 is the same"),
    ],
)
def test_wrong_hook_is_told_at_its_place(
    load_text: Load, table: str, path: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(f'[services.web]\ncommand = "true"\n[[hooks]]\n{table}\n')
    [problem] = caught.value.problems
    assert path == problem.path
    assert problem.line is not None
    assert problem.message.startswith(message)


def test_hook_that_is_no_table_is_told(load_text: Load) -> None:
    with pytest.raises(ConfigError, match="this is no table"):
        load_text("hooks = [5]\n")


async def test_hook_of_a_file_runs(load_text: Load, tmp_path: Path) -> None:
    config = load_text("""
        [services.web]
        command = ["sh", "-c", "exit 3"]
        restart = "never"
        [[hooks]]
        on = "failed"
        run = ["sh", "-c", "cat >event"]
    """)
    async with limit(), config.make_overseer(containment="basic") as overseer:
        await overseer.plan(config).apply()
        await overseer["web"].wait()
    assert "exited with code 3" == json.loads((tmp_path / "event").read_text())["reason"]
