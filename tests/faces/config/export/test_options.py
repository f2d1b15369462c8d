"""No option is dropped in silence: each one changes the files of a target, or a note tells of it."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest

from aioverseer import (
    After,
    Alive,
    Cron,
    Group,
    LogFile,
    OverseerOptions,
    PidFile,
    Process,
    Recycle,
    Restart,
    Roll,
    Spec,
    SpecError,
    SpecOptions,
    Stop,
    Watch,
    framing,
    listen,
    ready,
)
from aioverseer.config import ControlOptions
from aioverseer.config.export import KINDS, Export, export
from tests.support.exports import exported, file_with


def prepare(service: object, run: int) -> None:
    """Do nothing before a run."""


async def check() -> None:
    """Do nothing: it is ready."""


EXAMPLES: dict[str, dict[str, Any]] = {
    "cwd": {"cwd": "/srv/elsewhere"},
    "env": {"env": {"A": "b"}},
    "extra_env": {"extra_env": {"A": "b"}},
    "stdin": {"stdin": "hello"},
    "pty": {"pty": True},
    "window_size": {"window_size": (100, 30)},
    "output": {"output": "null"},
    "stdout": {"stdout": "null"},
    "stderr": {"stderr": "null"},
    "buffered": {"buffered": True},
    "streaming": {"streaming": True},
    "merge_stderr": {"merge_stderr": True},
    "framing": {"framing": framing.chunks(), "encoding": None},
    "encoding": {"encoding": "latin-1"},
    "errors": {"errors": "ignore"},
    "line_limit": {"line_limit": 100},
    "queue_size": {"queue_size": 10},
    "drain_timeout": {"drain_timeout": 3.0},
    "leftovers": {"leftovers": "report"},
    "main_pid": {"main_pid": PidFile("/run/web.pid")},
    "containment": {"containment": "strict"},
    "memory_max": {"memory_max": 1 << 30},
    "pids_max": {"pids_max": 10},
    "cpu_max": {"cpu_max": 0.5},
    "user": {"user": "www:www"},
    "extra_groups": {"extra_groups": ["video", 7]},
    "umask": {"umask": 0o27},
    "nice": {"nice": 5},
    "rlimits": {"rlimits": {"nofile": (10, -1)}},
    "no_new_privileges": {"no_new_privileges": True},
    "oom_score_adj": {"oom_score_adj": 100},
    "cpus": {"cpus": [0, 2]},
    "io_class": {"io_class": "best-effort:3"},
    "ambient_capabilities": {"ambient_capabilities": ["net_bind_service"]},
    "delay_start": {"delay_start": 1.5},
    "max_runtime": {"max_runtime": 60.0},
    "schedule": {"schedule": Cron("30 2 * * *")},
    "stop": {"stop": Stop(steps=[(signal.SIGQUIT, 3), (signal.SIGTERM, 4)])},
    "prepare": {"prepare": ["make", "ready"]},
    "cleanup": {"cleanup": ["make", "clean"]},
    "reload": {"reload": signal.SIGHUP},
    "restart": {"restart": Restart("always", success_codes={0, 3})},
    "recycle": {"recycle": Recycle(age=86400)},
    "watch": {"watch": Watch("src", include="*.py", exclude="*.log")},
    "ready": {"ready": ready.tcp(8000)},
    "ready_timeout": {"ready": ready.tcp(8000), "ready_timeout": 7.0},
    "alive": {"alive": Alive(ready.http("http://127.0.0.1:8000/health"))},
    "roll": {"instances": 2, "roll": Roll(surge=2, min_ready=3)},
    "after": {"after": "db"},
    "critical": {"critical": True},
    "on_give_up": {"on_give_up": "stop"},
    "group": {"group": "front"},
    "significant": {"significant": True, "group": "front"},
    "log": {"log": LogFile("web.log", max_bytes=1000)},
    "instances": {"instances": 3},
    "port": {"port": range(9000, 9010)},
    "listen": {"listen": {"http": listen.tcp(8000)}},
    "on_demand": {"listen": {"http": listen.tcp(8000)}, "on_demand": True},
}
"""A value of each option, with others that it needs."""

SAME = {
    "systemd": {"merge_stderr", "port"},
    "compose": {"merge_stderr"},
    "kubernetes": {"merge_stderr"},
}
"""Options that change nothing there: the journal and the like have both streams in one."""


def test_each_option_has_an_example() -> None:
    assert set(EXAMPLES) == set(SpecOptions.__annotations__)


@pytest.mark.parametrize("kind", SAME)
def test_no_option_is_dropped_in_silence(kind: str) -> None:
    assert {option for option in EXAMPLES if not makes_a_difference(kind, option)} == SAME[kind]


def makes_a_difference(kind: str, option: str) -> bool:
    """Return whether an option changes the files, or a note tells of it."""
    options = EXAMPLES[option]
    others = {name: value for name, value in options.items() if name != option}
    try:
        before = small_export(kind, **others)
    except SpecError:  # the others cannot be without the option
        before = small_export(kind)
    after = small_export(kind, **options)
    return after.files != before.files or any(note.key == option for note in set(after.notes) - set(before.notes))


def small_export(kind: str, **options: Any) -> Export:
    """Return the export of two services, the first one with options."""
    if not options and kind in PLAIN:
        return PLAIN[kind]
    export = exported(kind, Spec.of("web", ["/bin/web"], **options), Spec.of("db", ["/bin/db"]))
    return export if options else PLAIN.setdefault(kind, export)


PLAIN: dict[str, Export] = {}
"""The exports of services without options: YAML takes its time."""


@pytest.mark.parametrize("kind", SAME)
def test_functions_and_pipelines_are_told(kind: str) -> None:
    spec = Spec.of(
        "web",
        ["wc", "-l"],
        stdin=Process("seq", "1", "10", stdin=Process("yes")),
        prepare=prepare,
        ready=ready.check(check),
    )
    export = exported(kind, spec)
    assert [(note.key, note.what) for note in export.notes if note.key == "prepare"] == [("prepare", "lost")]
    assert any(note.key == "ready" and note.what == "lost" for note in export.notes)
    assert any("yes | seq 1 10 | wc -l" in text for text in export.files.values())


@pytest.mark.parametrize("kind", [*SAME, "systemd-up"])
def test_no_note_holds_the_value_of_a_variable(kind: str) -> None:
    secret = "hunter2"
    options: dict[str, Any] = {"extra_env": {"URL": f"redis://:{secret}@localhost:6379/0"}}
    redis = Spec.of("redis", ["redis-server"], ready=ready.tcp(6379))
    export = exported(
        kind, redis, Spec.of("web", ["web"], after="redis", **options), Spec.of("x", ["x"], env=options["extra_env"])
    )
    assert export.notes
    assert not [note for note in export.notes if secret in str(note)]


@pytest.mark.parametrize("kind", SAME)
def test_parts_of_the_overseer_are_told(kind: str) -> None:
    export = exported(
        kind,
        Spec.of("web", ["web"]),
        overseer_options=OverseerOptions(shutdown_timeout=25.0, restart_rate=5.0, max_starting=3),
        groups=(Group(name="front"),),
        hooks=({"on": ["fatal"], "run": ["notify.sh"]},),
        control=ControlOptions(tcp="127.0.0.1:8470"),
    )
    lost = {(note.place, note.key) for note in export.of("lost")}
    assert lost >= {
        ("overseer", "shutdown_timeout"),
        ("overseer", "restart_rate"),
        ("overseer", "max_starting"),
        ("groups.front", "strategy"),
        ("hooks[0]", "run"),
        ("", "control"),
    }


@pytest.mark.parametrize("kind", SAME)
def test_an_unknown_name_in_after_is_told(kind: str) -> None:
    export = exported(kind, Spec.of("web", ["web"], after=After("elsewhere", hard=False)))
    assert [note.what for note in export.notes if note.key == "after" and note.place == "services.web"] == ["lost"]


def test_an_unknown_kind_names_those_that_there_are() -> None:
    with pytest.raises(SpecError, match=r"kind='docker' is unknown: there are systemd, systemd-up, compose"):
        export(file_with(Spec.of("web", ["web"])), "docker")
    assert list(KINDS) == ["systemd", "systemd-up", "compose", "kubernetes"]


def test_a_file_without_services_is_refused() -> None:
    with pytest.raises(SpecError, match=r"/srv/shop/aioverseer.toml: there is no service in it to export"):
        export(file_with(), "systemd")


def test_missing_yaml_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ModuleNotFoundError, match=r"YAML needs PyYAML: pip install 'aioverseer\[convert\]'"):
        export(file_with(Spec.of("web", ["web"])), "compose")


@pytest.mark.parametrize("kind", ["compose", "kubernetes"])
def test_program_of_this_machine_is_told_to_containers(kind: str) -> None:
    """The folders that an image has are no surprise."""
    venv, shell = Spec.of("web", ["/srv/shop/.venv/bin/gunicorn", "shop"]), Spec.of("x", ["/usr/bin/env", "x"])
    notes = [note for note in exported(kind, venv, shell).notes if note.key == "command"]
    text = "'/srv/shop/.venv/bin/gunicorn' is a path of this machine: name the program as it is in the image"
    assert [(note.place, note.what, note.text) for note in notes] == [("services.web", "changed", text)]


def test_unit_of_the_command_itself_tells_what_is_new_to_programs() -> None:
    path = {"PATH": "/opt/bin"}
    own = Spec.of("own", ["own"], user="me", env=path)
    notes = exported("systemd-up", Spec.of("web", ["gunicorn"]), Spec.of("x", ["./x"], extra_env=path), own).notes
    assert [(note.place, note.key) for note in notes] == [("", "env"), ("", "user"), ("services.web", "command")]
    assert all(note.what == "changed" for note in notes)
    (note,) = exported("systemd-up", own).notes
    assert note.key == "user"
    assert "User=" in note.text
