"""The JSON Schema of aioverseer.toml: published, valid, and in agreement with what loads.

``python tests/faces/config/test_file_schema.py --write`` writes the published file.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aioverseer import Spec, SpecOptions
from aioverseer.config import ConfigError, load, schema
from aioverseer.config.sections import OF_PROFILES, SECTIONS
from aioverseer.config.unused import OF_FILES

PUBLISHED = Path(__file__).parents[3] / "docs/reference/aioverseer.schema.json"

FILE = """
version = 1
name = "shop"
env_files = [".env", "?.env.local"]
vars = { port = "${SHOP_PORT:-8000}" }
defaults = { extra_env = { PYTHONUNBUFFERED = "1" }, restart = { max_restarts = 5, within = 60.0 } }
control = { tcp = "127.0.0.1:8470", metrics = true }

[overseer]
shutdown_timeout = 25.0
restart_rate = "${RATE}"
log = { path = "log/{id}.log", max_bytes = 10_000_000, keep = 5, compress = true, timestamps = true }

[groups.workers]
strategy = "one_for_all"

[services.redis]
command = ["redis-server", "--port", 6399]
ready = { tcp = "{vars.port}" }
alive = { probe = { command = ["redis-cli", "ping"] }, every = 10.0, failures = 3 }
critical = true

[services.web]
command = "python serve.py"
listen = { http = "127.0.0.1:{vars.port}" }
instances = "${WORKERS:-4}"
after = { redis = { until = "ready", on_restart = "restart" }, migrate = "success" }
restart = { when = "always", backoff = { min = 0.2, max = "30s" }, max_restarts = "none" }
stop = { steps = [["SIGTERM", 15.0], { close_stdin = 3 }], scope = "leader" }
recycle = { memory = "600 MiB", age = "1d" }
profiles = ["dev"]
env_file = ".env"

[[hooks]]
on = ["fatal", "backoff"]
run = ["./notify.sh"]

[profiles.dev.services.web]
instances = 1
enabled = false
"""


def published() -> str:
    """Return the text of the published file."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def refusals_of(data: dict[str, Any]) -> list[list[str | int]]:
    """Return the places at which the schema refuses data."""
    return [list(error.absolute_path) for error in jsonschema.Draft7Validator(schema()).iter_errors(data)]


def test_published_schema_is_that_of_the_code() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == published(), "python tests/faces/config/test_file_schema.py --write"


def test_schemas_are_valid() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    jsonschema.Draft7Validator.check_schema(Spec.schema())


def test_all_sections_and_options_are_in_the_schema() -> None:
    made = schema()
    assert set(SECTIONS) == set(made["properties"])
    assert set(OF_PROFILES) == set(made["definitions"]["profile"]["properties"])
    service = made["definitions"]["service"]["properties"]
    assert {*SpecOptions.__annotations__, *OF_FILES, "command"} == set(service)


def test_every_option_has_a_description() -> None:
    made = schema()["definitions"]
    lacking = [name for name, each in made.items() if name.startswith("option-") and not each.get("description")]
    assert [] == lacking


def test_every_section_has_a_description() -> None:
    """Beside its type, as editors do not look into a definition for it."""
    made = schema()
    sections = {**made["properties"], **made["definitions"]["profile"]["properties"]}
    assert [] == [name for name, each in sections.items() if not each.get("description")]


def test_address_of_the_schema_is_ignored(tmp_path: Path) -> None:
    """Editors read the key, and refuse a file in which it is wrong."""
    path = tmp_path / "aioverseer.toml"
    path.write_text('"$schema" = "./aioverseer.schema.json"\n[services.web]\ncommand = ["true"]\n', encoding="utf-8")
    assert refusals_of(tomllib.loads(path.read_text(encoding="utf-8"))) == []
    assert len(load(str(path))) == 1


def test_file_with_everything_is_accepted() -> None:
    assert refusals_of(tomllib.loads(FILE)) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("servces = {}", []),
        ('version = "1"', ["version"]),
        ("[services.web]\nnice = 99", ["services", "web", "nice"]),
        ("[services.web]\nready = { udp = 1 }", ["services", "web", "ready"]),
        ('[services.web]\nrestart = { within = "5x" }', ["services", "web", "restart"]),
        ("[services.web]\nextra_env = { A = [] }", ["services", "web", "extra_env", "A"]),
        ("[profiles.dev.services.web]\ninstances = -1", ["profiles", "dev", "services", "web", "instances"]),
        ("[defaults]\npty = 7", ["defaults", "pty"]),
        ('[[hooks]]\non = "no-such-event"\nrun = ["x"]', ["hooks", 0, "on"]),
        ("[groups.a]\nstrategy = 1", ["groups", "a", "strategy"]),
        ("[overseer]\nmax_starting = 0", ["overseer", "max_starting"]),
        ('control = { tcp = "x" }', ["control", "tcp"]),
    ],
)
def test_schema_refuses_by_place(text: str, place: list[str | int]) -> None:
    assert refusals_of(tomllib.loads(text)) == [place]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[services.web]\nenabled = false\nnice = 99", ["services", "web", "nice"]),
        ('[services.web]\nenabled = false\nprofiles = "dev"', ["services", "web", "profiles"]),
        ('[services.web]\nprofiles = ["dev"]\nrestart = { within = "5x" }', ["services", "web", "restart"]),
        ('[services.web]\nprofiles = ["dev"]\nenv_file = 3', ["services", "web", "env_file"]),
        ("[profiles.dev.services.web]\ninstances = -1", ["profiles", "dev", "services", "web", "instances"]),
        ("[profiles.dev.defaults]\npty = 7", ["profiles", "dev", "defaults", "pty"]),
        ("[profiles.dev.overseer]\nmax_starting = 0", ["profiles", "dev", "overseer", "max_starting"]),
        ("[profiles.dev.groups.a]\nstrategy = 1", ["profiles", "dev", "groups", "a", "strategy"]),
        ('[[profiles.dev.hooks]]\non = "no-such-event"\nrun = ["x"]', ["profiles", "dev", "hooks", 0, "on"]),
        ('[profiles.dev.control]\ntcp = "x"', ["profiles", "dev", "control", "tcp"]),
        ("[defaults]\nnice = 99\n[services.web]\ncommand = 'true'\nnice = 1", ["defaults", "nice"]),
        ("version = 2", ["version"]),
    ],
)
def test_schema_and_load_refuse_what_is_not_used_at_the_same_place(
    tmp_path: Path, text: str, place: list[str | int]
) -> None:
    path = tmp_path / "aioverseer.toml"
    path.write_text(text, encoding="utf-8")
    assert refusals_of(tomllib.loads(text)) == [place]
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    assert place in [list(problem.path)[: len(place)] for problem in caught.value.problems]


def test_values_with_variables_are_not_judged_where_they_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "aioverseer.toml"
    path.write_text(
        '[profiles.dev]\ncontrol.tcp = "${NO_SUCH}"\n[profiles.dev.services.web]\nnice = "${NO_SUCH}"\n'
        '[profiles.dev.services.web.restart]\nwithin = "{vars.none}"\n[services.web]\ncommand = "true"\n',
        encoding="utf-8",
    )
    assert len(load(str(path), environ={})) == 1


if __name__ == "__main__" and "--write" in sys.argv:
    PUBLISHED.write_text(published(), encoding="utf-8")
