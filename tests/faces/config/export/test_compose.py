"""The compose file: its keys, its syntax, and the schema of the Compose Specification."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import jsonschema.validators
import pytest

from aioverseer import After, Alive, Cron, LogFile, Restart, Roll, Spec, Stop, Watch, listen, ready
from tests.support.exports import documents, exported, said

SCHEMA = json.loads((Path(__file__).parent / "compose_spec.json").read_text(encoding="utf-8"))
CURL = "curl -sS -m 5 -o /dev/null -w '%{http_code}'"
VALIDATOR = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)


def services(*specs: Spec) -> dict[str, Any]:
    """Return the services of the file, which the schema accepts."""
    (data,) = documents(exported("compose", *specs))
    VALIDATOR.validate(data)
    found: dict[str, Any] = data["services"]
    return found


def web(**options: Any) -> dict[str, Any]:
    """Return the service of one Spec."""
    found: dict[str, Any] = services(Spec.of("web", ["web"], **options))["web"]
    return found


def test_a_service_as_a_whole() -> None:
    spec = Spec.of("web", ["python", "serve.py", "cost=$5"], cwd="web", extra_env={"N": "1", "MODE": "on"})
    assert exported("compose", spec, name="My Shop").files == {
        "compose.yaml": """\
# Made from /srv/shop/aioverseer.toml by: aioverseer export compose
name: my-shop
services:
  web:
    image: my-shop:latest
    build: "."
    command:
      - python
      - serve.py
      - "cost=$$5"
    working_dir: /app/web
    init: true
    environment:
      "N": "1"
      MODE: "on"
    restart: on-failure:5
    stop_grace_period: "10s"
"""
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"restart": Restart("always")}, {"restart": "always"}),
        ({"restart": Restart("never")}, {"restart": "no"}),
        ({"restart": Restart(max_restarts=None)}, {"restart": "on-failure"}),
        ({"stop": Stop(signal.SIGINT, 2.5)}, {"stop_signal": "SIGINT", "stop_grace_period": "2.5s"}),
        (
            {"stop": Stop(steps=[Stop.command(["bye", "{pid}"], 5), (signal.SIGTERM, 5)])},
            {"pre_stop": [{"command": ["bye", "1"]}], "stop_grace_period": "10s"},
        ),
        ({"instances": 3}, {"scale": 3}),
        ({"listen": {"http": listen.tcp(8000)}}, {"ports": ["127.0.0.1:8000:8000"]}),
        ({"instances": 3, "listen": {"http": listen.tcp(8000)}}, {"expose": ["8000"]}),
        (
            {"ready": ready.tcp(8000)},
            {
                "expose": ["8000"],
                "healthcheck": {
                    "test": ["CMD", "bash", "-c", "(: </dev/tcp/127.0.0.1/8000) 2>/dev/null"],
                    "interval": "10s",
                    "timeout": "5s",
                    "retries": 3,
                    "start_period": "30s",
                    "start_interval": "1s",
                },
            },
        ),
        (
            {"alive": Alive(ready.http("http://localhost/ok", status=204), every=5, timeout=1, failures=2)},
            {
                "healthcheck": {
                    "test": [
                        "CMD",
                        "bash",
                        "-c",
                        f"case $$({CURL} http://localhost/ok) in 204) ;; *) false ;; esac",
                    ],
                    "interval": "5s",
                    "timeout": "1s",
                    "retries": 2,
                }
            },
        ),
        ({"user": 1000, "extra_groups": ["video", 7]}, {"user": "1000", "group_add": ["video", 7]}),
        ({"memory_max": 1 << 20, "cpu_max": 0.5, "pids_max": 9}, {"mem_limit": 1 << 20, "cpus": 0.5, "pids_limit": 9}),
        ({"cpus": [0, 2], "oom_score_adj": 5}, {"cpuset": "0,2", "oom_score_adj": 5}),
        ({"rlimits": {"nofile": (10, 20), "nproc": 5}}, {"ulimits": {"nofile": {"soft": 10, "hard": 20}, "nproc": 5}}),
        ({"no_new_privileges": True}, {"security_opt": ["no-new-privileges:true"]}),
        ({"ambient_capabilities": ["net_bind_service"]}, {"cap_add": ["NET_BIND_SERVICE"]}),
        ({"pty": True}, {"tty": True}),
        ({"output": "null"}, {"logging": {"driver": "none"}}),
        (
            {"log": LogFile("web.log", max_bytes=1000, keep=3)},
            {"logging": {"driver": "json-file", "options": {"max-size": "1000", "max-file": "3"}}},
        ),
        ({"group": "front"}, {"labels": {"aioverseer.group": "front"}}),
        ({"schedule": Cron("@daily")}, {"profiles": ["scheduled"], "restart": "no"}),
        (
            {"watch": Watch("src", include="*.py", exclude="*.log")},
            {
                "develop": {
                    "watch": [
                        {
                            "path": "src",
                            "action": "sync+restart",
                            "target": "/app/src",
                            "ignore": ["*.log"],
                            "include": ["*.py"],
                        }
                    ]
                }
            },
        ),
    ],
)
def test_options_become_keys(options: dict[str, Any], expected: dict[str, Any]) -> None:
    found = web(**options)
    assert {key: found.get(key) for key in expected} == expected


def test_order_becomes_depends_on() -> None:
    found = services(
        Spec.of("db", ["db"], ready=ready.tcp(5432)),
        Spec.of("cache", ["cache"], ready=ready.notify()),
        Spec.of("migrate", ["migrate"], restart=Restart("never")),
        Spec.of("web", ["web", "{index}"], instances=2, roll=Roll()),
        Spec.of(
            "worker",
            ["worker"],
            after=[
                After("db", on_restart="restart"),
                After("cache", hard=False),
                After("migrate", "success"),
                After("web", "started"),
            ],
        ),
    )
    assert found["worker"]["depends_on"] == {
        "db": {"condition": "service_healthy", "restart": True},
        "cache": {"condition": "service_started", "required": False},
        "migrate": {"condition": "service_completed_successfully"},
        "web-0": {"condition": "service_started"},
        "web-1": {"condition": "service_started"},
    }
    assert found["web-1"]["command"] == ["web", "1"]


def test_addresses_of_other_services_are_told() -> None:
    export = exported(
        "compose",
        Spec.of("the cache", ["redis-server"], ready=ready.tcp(6399)),
        Spec.of("web", ["web", "--cache=localhost:6399"], extra_env={"CACHE": "redis://:secret@127.0.0.1:6399/1"}),
    )
    told = [(note.key, note.text) for note in export.notes if "localhost" in note.text]
    assert told == [
        ("command", "localhost is the container itself: the cache is the-cache:6399"),
        ("extra_env.CACHE", "localhost is the container itself: the cache is the-cache:6399"),
    ]
    assert said(export, "id") == [("changed", "its name is the-cache")]


@pytest.mark.parametrize(
    "text", ["yes", "1e3", "0x1f", "22:22", "~", "null", "", " a", "a: b", "- a", "#", "=", "é\n", "1_0", "<<", "0o7"]
)
def test_texts_stay_texts_in_every_yaml(text: str) -> None:
    export = exported("compose", Spec.of("web", ["web", text]))
    (data,) = documents(export)
    assert data["services"]["web"]["command"][1] == text
    line = export.files["compose.yaml"].split("- web\n")[1].split("\n")[0].strip()
    assert line.startswith('- "')


def test_names_that_are_the_same_in_its_alphabet_get_numbers() -> None:
    assert list(services(Spec.of("a b", ["x"]), Spec.of("a/b", ["x"]), Spec.of("a-b-2", ["x"]))) == [
        "a-b",
        "a-b-2",
        "a-b-2-2",
    ]
