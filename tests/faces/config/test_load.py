"""Files are read into a Config: services, merging, profiles, settings, and the sections beside them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer import After, Group, LogFile, Overseer, Restart, Stop, ready
from aioverseer.config import Config, ConfigError, ControlOptions, load
from aioverseer.config.files import find_file
from aioverseer.config.sections import SECTIONS

Load = Callable[..., Config]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Return a function that writes the file of a project, and loads it without variables of the environment."""

    def load_text(text: str, /, **options: Any) -> Config:
        (tmp_path / "aioverseer.toml").write_text(text, encoding="utf-8")
        return load(tmp_path / "aioverseer.toml", **{"environ": {}, **options})

    return load_text


def problems(load_text: Load, text: str, /, **options: Any) -> list[tuple[str, tuple[str | int, ...], str]]:
    """Return file name, path and message of each problem of a file, with its hint."""
    with pytest.raises(ConfigError) as caught:
        load_text(text, **options)
    return [
        (os.path.basename(each.file), each.path, f"{each.message}; {each.hint}" if each.hint else each.message)
        for each in caught.value.problems
    ]


def test_service_has_the_options_of_its_table(load_text: Load, tmp_path: Path) -> None:
    config = load_text("""
        version = 1
        [services.redis]
        command = ["redis-server", "--port", "6399"]
        ready = { tcp = 6399 }
        restart = { when = "always", max_restarts = 2 }
        stop = { signal = "SIGINT", timeout = 3.0 }
        [services.web]
        command = ["python", "serve.py"]
        after = { redis = "ready" }
        critical = true
    """)
    redis, web = config
    assert ("redis", ("redis-server", "--port", "6399")) == (redis.id, redis.argv)
    assert ready.tcp(6399) == redis.ready
    assert Restart("always", max_restarts=2) == redis.restart
    assert Stop(signal.SIGINT, timeout=3.0) == redis.stop
    assert ((After("redis"),), True) == (web.after, web.critical)
    assert config.specs == (redis, web)
    assert len(config) == 2
    assert str(tmp_path) == web.cwd


def test_project_has_its_name_or_that_of_its_folder(load_text: Load, tmp_path: Path) -> None:
    assert load_text("").name == tmp_path.name
    assert load_text('name = "${PROJECT:-shop}"').name == "shop"
    assert [("aioverseer.toml", ("name",), 'this is no name; write a text: name = "shop"')] == problems(
        load_text, 'name = " "'
    )


def test_file_is_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    (tmp_path / "aioverseer.toml").write_text('name = "top"')
    (tmp_path / "a" / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert load().name == "top"
    (tmp_path / "a" / "pyproject.toml").write_text('[tool.aioverseer]\nname = "inner"\n')
    found = load()
    assert ("inner", str(tmp_path / "a" / "pyproject.toml")) == (found.name, found.path)
    (tmp_path / "a" / "aioverseer.toml").write_text('name = "own"')
    assert load().name == "own"


def test_procfile_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Procfile").write_text("web: echo {id} '$HOME' '${X}'\n")
    (web,) = load(environ={"X": "${Y} {vars.z}"})
    assert ("echo", "{id}", "$HOME", "${Y} {vars.z}") == web.argv


def test_folder_without_a_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no aioverseer.toml, pyproject.toml or Procfile here or in a folder above"):
        load()


def test_pyproject_has_its_tables_below_tool(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\nname = "x"\n[tool.aioverseer.services.web]\ncommand = ["true"]\nnice = "x"\n')
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert [("tool", "aioverseer", "services", "web", "nice")] == [each.path for each in caught.value.problems]
    file.write_text("[project]\n")
    with pytest.raises(ConfigError, match=r"there is no table \[tool.aioverseer\]"):
        load(file)


def test_overseer_groups_and_control_have_their_sections(load_text: Load, tmp_path: Path) -> None:
    config = load_text("""
        control = { tcp = "127.0.0.1:8470", metrics = true }
        [overseer]
        shutdown_timeout = 25.0
        restart_rate = 5.0
        log = { path = "log/{id}.log", max_bytes = 10_000_000 }
        [groups.inner]
        strategy = "one_for_all"
        parent = "outer"
        [groups.outer]
        restart = { max_restarts = 1 }
        [services.web]
        command = ["true"]
        group = "inner"
    """)
    assert ControlOptions(tcp="127.0.0.1:8470", metrics=True) == config.control
    assert (
        Group(name="outer", restart=Restart(max_restarts=1)),
        Group(name="inner", strategy="one_for_all", parent="outer"),
    ) == config.groups
    assert {
        "shutdown_timeout": 25.0,
        "restart_rate": 5.0,
        "log": (LogFile(tmp_path / "log/{id}.log", max_bytes=10_000_000),),
    } == config.overseer_options.keywords()


async def test_overseer_of_a_file_runs_its_services(load_text: Load) -> None:
    config = load_text("""
        name = "shop"
        [overseer]
        max_starting = 2
        [groups.pair]
        strategy = "one_for_all"
        [services.migrate]
        command = ["true"]
        restart = "never"
        [services.web]
        command = ["sleep", "60"]
        after = { migrate = "success" }
        group = "pair"
    """)
    async with config.make_overseer(shutdown_timeout=5) as overseer:
        assert "shop" == overseer.name
        await overseer.plan(config).apply()
        assert overseer["web"].pid is not None
        assert ("web",) == tuple(overseer.group_status("pair").members)


def test_threaded_overseer_of_a_file_runs_its_services(load_text: Load) -> None:
    config = load_text('[groups.pair]\n[services.web]\ncommand = ["sleep", "60"]\ngroup = "pair"')
    with config.make_threaded_overseer() as overseer:
        overseer.plan(config).apply()
        assert overseer["web"].pid is not None
        assert ("web",) == tuple(overseer.group_status("pair").members)


def test_making_an_overseer_needs_no_loop(load_text: Load) -> None:
    assert isinstance(load_text("").make_overseer(name="other"), Overseer)


# Merging.


def test_defaults_are_below_each_service(load_text: Load) -> None:
    web, worker = load_text("""
        [defaults]
        critical = true
        extra_env = { A = "1", B = "1" }
        restart = { max_restarts = 9, within = 90.0 }
        [services.web]
        command = ["true"]
        critical = false
        extra_env = { B = "2" }
        restart = { within = 5.0 }
        [services.worker]
        command = ["true"]
        restart = "never"
    """)
    assert ({"A": "1", "B": "2"}, {"A": "1", "B": "1"}) == (web.extra_env, worker.extra_env)
    assert (False, True) == (web.critical, worker.critical)
    assert (Restart(max_restarts=9, within=5.0), Restart("never")) == (web.restart, worker.restart)


def test_probe_of_another_kind_replaces_the_lower_one(load_text: Load) -> None:
    web, other = load_text(
        """
        [services.web]
        command = ["true"]
        ready = { tcp = 80, host = "::1" }
        [services.other]
        command = ["true"]
        ready = { tcp = 80, host = "::1" }
        [profiles.dev.services.web.ready]
        line = "up"
        [profiles.dev.services.other.ready]
        tcp = 81
        """,
        profiles=["dev"],
    )
    assert (ready.line("up"), ready.tcp(81, host="::1")) == (web.ready, other.ready)


@pytest.mark.parametrize(
    ("lower", "upper", "option"),
    [
        ('stop = { steps = [["SIGTERM", 5]] }', "stop = { timeout = 60 }", "stop"),
        ("stop = { timeout = 60 }", 'stop = { steps = [["SIGTERM", 5]] }', "stop"),
        ('stop = { signal = "SIGINT" }', "stop = { timeout = 60 }", None),
        ('stdin = { file = "/x" }', 'stdin = { base64 = "eA==" }', "stdin"),
    ],
)
def test_table_of_another_kind_replaces_the_lower_one(
    load_text: Load, lower: str, upper: str, option: str | None
) -> None:
    both = load_text(f'[defaults]\n{lower}\n[services.web]\ncommand = ["a"]\n{upper}\n').specs[0]
    alone = load_text(f'[services.web]\ncommand = ["a"]\n{upper}\n').specs[0]
    if option is None:
        assert (signal.SIGINT, 60.0) == (both.stop.steps[0].signal, both.stop.steps[0].timeout)  # type: ignore[union-attr]  # a signal
    else:
        assert getattr(alone, option) == getattr(both, option)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("[tool.aioverseer-plugin]\n", False),
        ("[tool.poetry.dependencies]\naioverseer = { path = '.' }\n", False),
        ("[tool]\nx = 1\n\naioverseer = { name = 'x' }\n", True),
        ("[tool.'aioverseer'.services.web]\n", True),
        ("[[tool.aioverseer.hooks]]\n", True),
    ],
)
def test_search_finds_a_table_of_ours_alone(tmp_path: Path, text: str, is_found: bool) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert is_found == (find_file(str(tmp_path)) == str(tmp_path / "pyproject.toml"))


def test_setting_of_a_text_keeps_it(load_text: Load) -> None:
    text = '[vars]\ntag = "x"\n[services.web]\ncommand = ["a", "{vars.tag}"]\n'
    settings = ["web.extra_env.A=1.10", "web.extra_env.B=0x10", "web.extra_env.C=true", "vars.tag=1.10", "web.nice=1"]
    web = load_text(text, settings=settings).specs[0]
    assert ({"A": "1.10", "B": "0x10", "C": "true"}, ("a", "1.10"), 1) == (dict(web.extra_env), web.argv, web.nice)
    assert ("true",) == load_text(text, settings=["web.command=true"]).specs[0].argv


def test_control_has_a_port_that_exists(load_text: Load) -> None:
    with pytest.raises(ConfigError, match="this is no address"):
        load_text('control.tcp = "127.0.0.1:99999"')


def test_profiles_are_merged_in_their_order(load_text: Load) -> None:
    text = """
        [services.web]
        command = ["true"]
        instances = 4
        nice = 1
        [profiles.dev.services.web]
        instances = 1
        nice = 2
        [profiles.slow.services.web]
        nice = 3
    """

    def found(*profiles: str) -> list[int | None]:
        (web,) = load_text(text, profiles=profiles)
        return [web.instances, web.nice]

    assert [4, 1] == found()
    assert [1, 3] == found("dev", "slow")
    assert [1, 2] == found("slow", "dev")


def test_service_of_a_profile_is_left_out_without_it(load_text: Load) -> None:
    text = """
        [services.web]
        command = ["true"]
        [services.vite]
        command = ["true"]
        profiles = ["dev", "front"]
        [services.old]
        command = ["${NOT_SET}"]
        enabled = false
    """
    assert ["web"] == [spec.id for spec in load_text(text)]
    assert ["web", "vite"] == [spec.id for spec in load_text(text, profiles=["front"])]
    with pytest.raises(ConfigError, match=r"there is no profile 'frnt'; did you mean 'front'\?"):
        load_text(text, profiles=["frnt"])


def test_service_may_be_enabled_by_a_variable_or_a_setting(load_text: Load) -> None:
    text = '[services.web]\ncommand = ["true"]\nenabled = "${WEB:-false}"'
    assert 0 == len(load_text(text))
    assert 1 == len(load_text(text, environ={"WEB": "true"}))
    assert 1 == len(load_text(text, settings=["web.enabled=true"]))


def test_settings_are_above_everything(load_text: Load) -> None:
    text = """
        [services.web]
        command = ["true"]
        instances = 4
        [services."a.b"]
        command = ["true"]
        [profiles.dev.services.web]
        instances = 2
    """
    config = load_text(
        text,
        profiles=["dev"],
        settings=[
            "web.instances=6",
            "web.command=['echo', 'a=b']",
            "web.restart=never",
            '"a.b".nice = 3',
            "services.web.extra_env.X='1'",
            "overseer.max_starting=2",
            "name=other",
        ],
    )
    web, other = config
    assert (6, ("echo", "a=b"), Restart("never"), {"X": "1"}, 3) == (
        web.instances,
        web.argv,
        web.restart,
        web.extra_env,
        other.nice,
    )
    assert ("other", 2) == (config.name, config.overseer_options.max_starting)


@pytest.mark.parametrize(
    ("setting", "file", "message"),
    [
        ("web", "-s web", "this is no setting; write for example web.instances=2"),
        ("=3", "-s ", "this is no setting; write for example web.instances=2"),
        ("web..x=3", "-s web..x", "this is no setting; write for example web.instances=2"),
        ("web.log={path=", "-s web.log", "the value is not TOML"),
        ("web.nice=fast", "-s web.nice", "write a whole number, -20 to 19"),
        ("web=two", "-s web", "is no whole number"),
    ],
)
def test_bad_setting_is_named_without_its_value(load_text: Load, setting: str, file: str, message: str) -> None:
    ((found, _, said),) = problems(load_text, '[services.web]\ncommand = ["true"]', settings=[setting])
    assert (file, True) == (found, message in said)


# Includes.


def test_included_files_are_merged_above_the_file(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "b.toml").write_text('[services.web]\nnice = 5\n[services.b]\ncommand = ["b"]')
    (tmp_path / "services" / "a.toml").write_text('[services.web]\nnice = 4\ncwd = "sub"')
    config = load_text("""
        include = ["services/*.toml", "?local.toml"]
        [services.web]
        command = ["true"]
        nice = 3
    """)
    web, b = config
    assert (5, ("b",), str(tmp_path / "sub")) == (web.nice, b.argv, web.cwd)
    names = ["aioverseer.toml", "services/a.toml", "services/b.toml"]
    assert tuple(str(tmp_path / name) for name in names) == config.files


def test_file_that_two_others_include_is_merged_once(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('include = ["c.toml"]')
    (tmp_path / "b.toml").write_text('include = ["c.toml"]')
    (tmp_path / "c.toml").write_text('[services.c]\ncommand = ["c"]')
    config = load_text('include = ["a.toml", "b.toml"]')
    assert [["c"], 4] == [[spec.id for spec in config], len(config.files)]


def test_error_is_told_where_its_value_stands(load_text: Load, tmp_path: Path) -> None:
    """The value of the topmost layer counts, whichever file it is in."""
    (tmp_path / "more.toml").write_text('[services.web]\nnice = "low"')
    text = """
        include = ["more.toml"]
        [defaults]
        restart = { within = "soon" }
        [services.web]
        command = ["true"]
        nice = 3
        restart = "never"
        [services.first]
        command = ["true"]
        [services.second]
        command = ["true"]
        restart = { max_restarts = 3 }
        [services.other]
        command = ["true"]
        restart = "never"
        [services.set]
        command = ["true"]
        restart = "never"
        [profiles.dev.services.other]
        nice = "high"
    """
    found = problems(load_text, text, profiles=["dev"], settings=["set.cpu_max=-1"])
    assert [
        ("more.toml", ("services", "web", "nice")),
        ("aioverseer.toml", ("defaults", "restart", "within")),
        ("aioverseer.toml", ("profiles", "dev", "services", "other", "nice")),
        ("-s set.cpu_max", ("services", "set", "cpu_max")),
    ] == [(file, path[:5]) for file, path, _ in found]


# Other formats.


def test_path_of_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: does not exist; write it, or name another file"):
        load(tmp_path / "none.toml")


def test_file_of_an_unknown_format_is_no_procfile(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("web: python serve.py\n")
    with pytest.raises(ConfigError, match=r"x.yaml: its format is not known; there are supervisord, "):
        load(tmp_path / "x.yaml")


def test_unknown_option_is_an_error_in_what_is_left_out_too(load_text: Load) -> None:
    text = """
        [services.old]
        command = ["true"]
        enabled = false
        nise = 3
        [profiles.dev.services.web]
        comand = ["true"]
        [profiles.dev]
        servics = 3
    """
    found = {(path, message.partition(";")[0]) for _, path, message in problems(load_text, text)}
    assert {
        (("services", "old", "nise"), "there is no option 'nise'"),
        (("profiles", "dev", "services", "web", "comand"), "there is no option 'comand'"),
        (("profiles", "dev", "servics"), "there is no such key"),
    } == found


NAMES = st.sampled_from(
    [
        *SECTIONS,
        "command",
        "env_file",
        "enabled",
        "extra_env",
        "log",
        "cwd",
        "stdin",
        "schedule",
        "after",
        "restart",
        "x",
    ]
)
VALUES = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "?", "${X}", "{vars.x}", "{port}", "web", "1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES | st.just("web"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300 if os.environ.get("AIOVERSEER_LONG") else 40, deadline=None)
@given(data=st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_values_load_or_are_refused(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    """No shape of data leads to another error."""
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(tomli_w.dumps(data))
    found = outcome_of(file)
    assert found.problems if isinstance(found, ConfigError) else found.name


def outcome_of(file: Path) -> Config | ConfigError:
    """Return what a load returns, or its error."""
    try:
        return load(file, environ={})
    except ConfigError as error:
        return error
