"""Texts of YAML and JSON that cannot be read, or could cost too much, and what single keys become."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from aioverseer.config import ConfigError
from aioverseer.config.convert import Conversion, read

DEEP = "[" * 100_000
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))


def compose(text: str) -> Conversion:
    return read(text, kind="compose", path="compose.yaml")


def test_variable_that_names_a_service_of_compose_as_host_is_told() -> None:
    """Its value is not in the note."""
    text = """\
services:
  redis: {command: redis-server}
  web:
    command: serve
    environment:
      REDIS_URL: redis://:s3cret@redis:6411/0
      CACHE_HOST: ${CACHE:-redis}
      BROKERS: a:1,redis:6411
      DSN: user=web host=redis
      KIND: redis
      USER: http://redis:pw@example.com/
      OTHER: redis-2:80,x-redis:80,http://redis.example/redis
      MODE: "redis: on"
"""
    conversion = compose(text)
    notes = [note for note in conversion.of("changed") if note.key.startswith("environment.")]
    names = ["REDIS_URL", "CACHE_HOST", "BROKERS", "DSN"]
    assert [(note.place, note.key) for note in notes] == [("services.web", f"environment.{name}") for name in names]
    assert {note.text for note in notes} == {"its value names the service redis as a host: write localhost"}


def process_compose(text: str) -> Conversion:
    return read(text, kind="process-compose", path="process-compose.yaml")


def pm2(text: str, path: str = "ecosystem.json") -> Conversion:
    return read(text, kind="pm2", path=path)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("services: [}\n", 1, "not YAML"),
        ("services:\n  web:\n\tcommand: x\n", 3, "not YAML"),
        ("services:\n  a: &a\n    x: *a\n", 2, "leads to itself"),
        ("services: {}\n---\nservices: {}\n", 2, "not YAML"),
        ("- a\n", 1, "no mapping at the top"),
        ("", None, "no mapping at the top"),
        ("services:\n  ? [a]\n  : b\n", 2, "no text"),
        ("services:\n  <<: x\n", 2, "<< takes a mapping"),
        ("services: x\n", None, "services is no mapping"),
        ("services:\n  web: x\n", None, "web is no mapping"),
        ("a: \0", None, "not YAML"),
        (f"a: {DEEP}", None, "nested too deeply"),
        (f"a: {'[' * 60}{']' * 60}", 1, "nested too deeply"),
        ("services:\n  a: {extends: b}\n", None, "extends b"),
        ("services:\n  a: {extends: b}\n  b: {extends: a}\n", None, "extends itself"),
    ],
    ids=range(15),
)
def test_yaml_that_cannot_be_used_is_refused_at_its_place(text: str, line: int | None, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(text)
    (problem,) = caught.value.problems
    assert problem.file == "compose.yaml"
    assert problem.line == line
    assert said in problem.message


def test_many_aliases_of_aliases_cost_nothing() -> None:
    assert compose(f"{LAUGHS}services: {{}}\n").data["services"] == {}


def test_scalars_stay_the_text_that_the_file_has() -> None:
    given = "{A: no, B: 22:22, C: 0755, D: 1.10, E: null, F: 'null'}"
    text = f"services:\n  web:\n    command: run\n    environment: {given}\n"
    assert compose(text).data["services"]["web"]["extra_env"] == {
        "A": "no",
        "B": "22:22",
        "C": "0755",
        "D": "1.10",
        "F": "null",
    }


def test_no_error_or_note_shows_the_value_of_a_variable() -> None:
    given = "{TOKEN: 's3cret', OTHER: '${X:-s3cret}'}"
    text = f"services:\n  web:\n    command: run\n    environment: {given}\n    mem_limit: s3cret\n"
    assert "s3cret" not in "".join(map(str, compose(text).notes))
    with pytest.raises(ConfigError) as caught:
        compose(f"{text}    environment: [s3cret\n")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("module.exports = {apps: []}", "ecosystem.config.js", "program in JavaScript"),
        ("// apps\nmodule.exports = {apps: []}", "settings", "program in JavaScript"),
        ("{apps: []}", "ecosystem.json", "not JSON"),
        ('{"apps": 3}', "ecosystem.json", "no list of apps"),
        ('{"apps": [3]}', "ecosystem.json", "app 1 is no object"),
        (DEEP, "ecosystem.json", "nested too deeply"),
    ],
    ids=range(6),
)
def test_a_file_of_pm2_that_cannot_be_used_is_refused(text: str, path: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        pm2(text, path)
    (problem,) = caught.value.problems
    assert said in problem.message
    assert problem.hint


def test_a_program_is_refused_with_the_command_that_makes_json_of_it() -> None:
    with pytest.raises(ConfigError, match=r"node -p .* > ecosystem\.json"):
        pm2("module.exports = {}", "conf/ecosystem.config.js")


def test_comments_and_commas_at_the_end_are_read_as_pm2_does() -> None:
    text = '{"apps": [ // all\n {"script": "a//b.js", /* first */ "name": "x",},\n],}'
    assert list(pm2(text).data["services"]) == ["x"]


def test_an_error_after_comments_still_names_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        pm2('{"apps": [ // all\n/* one\n two */ nothing]}')
    assert caught.value.problems[0].line == 3


def test_apps_of_one_name_get_names_of_their_own() -> None:
    conversion = pm2('{"apps": [{"script": "a.js"}, {"script": "b/a.js"}, {"args": "x"}]}')
    assert list(conversion.data["services"]) == ["a", "a-2"]
    assert [(note.key, note.what) for note in conversion.notes] == [
        ("script", "carried"),
        ("script", "carried"),
        ("args", "lost"),
    ]


@pytest.mark.parametrize(
    ("app", "command"),
    [
        ('"script": "app.js"', ["node", "app.js"]),
        ('"script": "npm", "args": "run start"', ["npm", "run", "start"]),
        ('"script": "app.py"', ["python3", "app.py"]),
        ('"script": "./run", "interpreter": "none"', ["./run"]),
        ('"script": "run it --now"', ["bash", "-c", "run it --now"]),
        ('"script": "a.js", "interpreter": "node@20.1.0"', ["node", "a.js"]),
    ],
)
def test_the_interpreter_is_that_of_pm2(app: str, command: list[str]) -> None:
    (service,) = pm2(f'{{"apps": [{{{app}}}]}}').data["services"].values()
    assert service["command"] == command


def process(text: str) -> Any:
    return process_compose(f"processes:\n  web:\n{text}").data["services"]["web"]


def test_a_process_that_extends_another_has_its_keys() -> None:
    text = "processes:\n  a: {command: run, environment: [A=1, B=2], shutdown: {signal: 2}}\n"
    conversion = process_compose(f"{text}  b: {{extends: a, environment: [B=3], shutdown: {{timeout_seconds: 4}}}}\n")
    service = conversion.data["services"]["b"]
    assert service["command"] == ["run"]
    assert service["extra_env"] == {"A": "1", "B": "3"}
    assert service["stop"] == {"signal": "SIGINT", "timeout": 4}


def test_a_file_that_extends_another_has_its_processes() -> None:
    base = (
        "environment: [A=1]\nprocesses: {web: {command: run, environment: [B=1]}, job: {command: do, working_dir: x}}\n"
    )
    text = "extends: base/all.yaml\nenvironment: [C=1]\nprocesses: {web: {environment: [B=2]}}\n"
    asked: list[str] = []

    def included(pattern: str) -> dict[str, str]:
        asked.append(pattern)
        return {"/srv/base/all.yaml": base}

    data = read(text, kind="process-compose", path="/srv/process-compose.yaml", included=included).data
    assert asked == ["base/all.yaml"]
    assert data["defaults"]["extra_env"] == {"A": "1", "C": "1"}
    assert data["services"]["web"] == {
        "command": ["run"],
        "extra_env": {"B": "2"},
        "cwd": "base",
        "restart": "never",
    }
    assert data["services"]["job"]["cwd"] == "base/x"


def test_files_that_extend_each_other_are_refused() -> None:
    text = "extends: a.yaml\nprocesses: {web: {command: run}}\n"
    with pytest.raises(ConfigError, match="extends itself"):
        read(text, kind="process-compose", path="a.yaml", included=lambda _: {"a.yaml": text})


def test_a_missing_file_that_is_extended_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"extends b\.yaml, which does not exist"):
        read("extends: b.yaml\nprocesses: {}\n", kind="process-compose", path="a.yaml", included=lambda _: {})


def test_dollars_stay_where_the_file_says_so() -> None:
    data = process_compose("disable_env_expansion: yes\nprocesses:\n  web: {command: 'echo $A ${B} $$'}\n").data
    assert data["services"]["web"]["command"] == ["bash", "-c", "echo $A $${B} $$$"]


def test_variables_of_the_project_stay_variables_and_those_of_a_process_are_filled_in() -> None:
    text = "vars: {PORT: 80, WORDS: a b}\nprocesses:\n  a: {command: 'run {{.PORT}} {{.WORDS}}'}\n"
    data = process_compose(f"{text}  b: {{vars: {{PORT: 81}}, command: 'run {{{{ .PORT }}}} {{{{.NONE}}}}'}}\n").data
    assert data["vars"] == {"PORT": "80"}
    assert data["services"]["a"]["command"] == ["run", "{vars.PORT}", "a", "b"]
    assert data["services"]["b"]["command"] == ["bash", "-c", "run 81 {{.NONE}}"]


def test_a_schedule_and_a_watch_are_carried() -> None:
    service = process("    command: run\n    schedule: {interval: 1h30m, run_on_start: yes}\n")
    assert service["schedule"] == {"every": 5400, "first": "at_start"}
    service = process("    command: run\n    watch: {debounce: 1s, paths: [{path: src, exclude: ['*.log']}]}\n")
    assert service["watch"] == {"paths": ["src"], "exclude": ["*.log"], "debounce": 1}


def test_a_failure_that_ends_everything_is_a_spent_budget() -> None:
    service = process("    command: run\n    availability: {restart: exit_on_failure}\n")
    assert service["restart"] == {"when": "on-failure", "max_restarts": 0}
    assert service["on_give_up"] == "end"


@pytest.mark.parametrize("kind", ["process-compose", "compose"])
def test_a_missing_package_names_its_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("aioverseer.config.convert.") or name == "yaml"]:
        monkeypatch.delitem(sys.modules, name)
    usual = builtins.__import__

    def without_yaml(name: str, *args: Any) -> Any:
        if name == "yaml":
            raise ModuleNotFoundError("No module named 'yaml'", name="yaml")
        return usual(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_yaml)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'aioverseer\[convert\]'"):
        read("services: {}", kind=kind, path="file")
