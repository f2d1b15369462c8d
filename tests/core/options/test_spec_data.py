"""Specs as data: what is written is JSON, and reading it makes an equal Spec."""

from __future__ import annotations

import functools
import json
import pickle
import signal
import sys
import tomllib
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from aioverseer import (
    After,
    Alive,
    Backoff,
    Group,
    LogFile,
    OverseerOptions,
    Restart,
    Spec,
    SpecError,
    SpecOptions,
    Stop,
    framing,
    ready,
)
from aioverseer.core.options.data_words import EXAMPLES, hint_for_option
from aioverseer.core.options.foreign import WORDS as FOREIGN
from aioverseer.core.options.spec_data import FORMS
from aioverseer.forms import DataError
from tests.support.spec_values import OPTIONS, on_give_up, specs

SECRET = "hunter2"


def through_json(spec: Spec) -> Spec:
    """Return what is made of the Spec as a text of JSON."""
    return Spec.from_dict(json.loads(json.dumps(spec.to_dict(), allow_nan=False)))


@given(specs())
def test_round_trip_through_json(spec: Spec) -> None:
    again = through_json(spec)
    assert again == spec
    assert again.to_dict() == spec.to_dict()


@pytest.mark.parametrize("name", sorted(OPTIONS))
@settings(max_examples=20)
@given(data=st.data())
def test_each_option_makes_the_round_trip(name: str, data: st.DataObject) -> None:
    companions: dict[str, Any] = {"significant": {"group": "workers"}, "stop": {"stdin": "pipe"}}
    options: Any = {**companions.get(name, {}), name: data.draw(OPTIONS[name])}
    try:
        spec = Spec.of("x", ["x"], **options)
    except SpecError:
        reject()
    assert getattr(through_json(spec), name) == getattr(spec, name)


def test_every_option_has_a_form_and_values() -> None:
    options = {*SpecOptions.__annotations__, "argv"}
    assert set(FORMS) == options, "add a row to FORMS in core/options/spec_data.py"
    assert set(OPTIONS) == options - {"argv"}, "add values to OPTIONS in this file"


def test_defaults_are_left_out() -> None:
    assert Spec.of("x", ["echo", "hi"]).to_dict() == {"id": "x", "command": ["echo", "hi"]}


def test_names_are_those_of_files() -> None:
    spec = Spec.of(
        "web",
        ["python", "serve.py"],
        umask=0o027,
        rlimits={"nofile": (8192, 65536)},
        ready=ready.tcp(5173) & ready.line("ready in", "stdout"),
        alive=Alive(ready.command("redis-cli", "ping"), every=5),
        restart=Restart("always", backoff=Backoff(min=0.2, max=30)),
        stop=Stop(steps=[(signal.SIGTERM, 15), Stop.command(["quit", "{pid}"], 3)], scope="leader"),
        after=[After("redis", on_restart="restart"), After("migrate", "success")],
        log=LogFile("log/{id}.log", max_bytes=100),
        on_give_up=on_give_up,
    )
    assert spec.to_dict() == {
        "id": "web",
        "command": ["python", "serve.py"],
        "umask": "027",
        "rlimits": {"nofile": [8192, 65536]},
        "ready": {"all": [{"tcp": 5173}, {"line": "ready in", "stream": "stdout"}]},
        "alive": {"probe": {"command": ["redis-cli", "ping"]}, "every": 5.0},
        "restart": {"when": "always", "backoff": {"min": 0.2, "max": 30.0, "factor": 2.0, "jitter": False}},
        "stop": {
            "steps": [["SIGTERM", 15.0], {"command": ["quit", "{pid}"], "timeout": 3.0}, ["SIGKILL", 2.0]],
            "scope": "leader",
        },
        "after": {"redis": {"on_restart": "restart"}, "migrate": "success"},
        "log": [{"path": "log/{id}.log", "max_bytes": 100}],
        "on_give_up": {"function": "tests.support.spec_values:on_give_up"},
    }


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ({"restart": "never"}, {"restart": Restart("never")}),
        ({"after": "db"}, {"after": "db"}),
        ({"after": ["db", "cache"]}, {"after": ["db", "cache"]}),
        ({"after": {"db": {"until": "ready", "on_restart": "restart"}}}, {"after": After("db", on_restart="restart")}),
        ({"stop": {"signal": "SIGINT", "timeout": 60}}, {"stop": Stop(signal.SIGINT, 60)}),
        ({"stop": {"steps": [["SIGINT", 3]]}}, {"stop": Stop(steps=[(signal.SIGINT, 3)])}),
        ({"ready": "notify"}, {"ready": ready.notify()}),
        ({"framing": "chunks", "encoding": None}, {"framing": framing.chunks(), "encoding": None}),
        ({"umask": 0o22}, {"umask": 0o22}),
        ({"log": "a.log"}, {"log": LogFile("a.log")}),
        ({"log": {"path": "a.log", "keep": 2, "every": 60}}, {"log": LogFile("a.log", keep=2, every=60)}),
        ({"stdin": None}, {}),
        ({"port": 9000, "ready": {"tcp": "{port}"}}, {"port": range(9000, 9001), "ready": ready.tcp("{port}")}),
        ({"port": "9000-9099"}, {"port": range(9000, 9100)}),
    ],
)
def test_short_forms_are_read(data: dict[str, Any], options: Any) -> None:
    assert Spec.from_dict({"id": "x", "command": ["x"], **data}) == Spec.of("x", ["x"], **options)


def test_program_of_a_pipeline_is_a_spec_itself() -> None:
    spec = Spec.of("wc", ["wc"], stdin=Spec.of("sort", ["sort"], stdin=Spec.of("seq", ["seq", "3"])))
    assert spec.to_dict()["stdin"]["program"]["stdin"]["program"]["command"] == ["seq", "3"]
    assert through_json(spec) == spec


class Host:
    """An owner of functions."""

    def method(self, _error: object) -> None:
        """Take the error."""

    @staticmethod
    def static(_error: object) -> None:
        """Take the error."""

    @classmethod
    def of_class(cls, _error: object) -> None:
        """Take the error."""


def test_static_and_class_methods_are_found_by_name() -> None:
    for function in (Host.static, Host.of_class):
        spec = Spec.of("x", ["x"], on_give_up=function)
        assert through_json(spec).on_give_up == function


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda _error: None, f"{__name__}:<lambda>"),
        (functools.partial(on_give_up), "tests.support.spec_values:on_give_up"),
        (Host().method, f"{__name__}:Host.method"),
    ],
    ids=["lambda", "partial", "bound method"],
)
def test_object_without_a_name_of_its_own_is_written_and_not_read(function: Any, name: str) -> None:
    data = Spec.of("x", ["x"], on_give_up=function).to_dict()
    assert data["on_give_up"] == {"object": name}
    with pytest.raises(SpecError, match=r"service 'x': on_give_up is '.*', an object that data cannot describe"):
        Spec.from_dict(data)


def test_open_file_is_named_and_not_read() -> None:
    file: Any = sys.__stderr__
    data = Spec.of("x", ["x"], output=file).to_dict()
    assert data["output"] == {"object": "_io:TextIOWrapper '<stderr>'"}
    with pytest.raises(SpecError, match=r"output is .* an object that data cannot describe"):
        Spec.from_dict(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"comand": ["x"]}, "there is no option 'comand'; did you mean 'command'"),
        ({"command": ["x"], "readdy": "notify"}, "service 'x': there is no option 'readdy'; did you mean 'ready'"),
        ({"command": ["x"], "argv": ["x"]}, "there is no option 'argv'"),
        ({"command": 7}, "command is of type int: write a list"),
        ({"command": "a | b"}, r"command holds '\\|', and there is no shell here"),
        ({"command": ""}, "command is no command"),
        ({"command": [""]}, r"command\[0\] is empty"),
        ({"command": ["x"], "restart": {"wenn": "never"}}, "restart: there is no option 'wenn'; did you mean 'when'"),
        ({"command": ["x"], "restart": {"backoff": {"min": -1}}}, "service 'x': restart.backoff.min is too low"),
        ({"command": ["x"], "restart": {"within": "5x"}}, 'restart.within .* write a number .* for example "5m"'),
        (
            {"command": ["x"], "restart": {"force_codes": [7], "prevent_codes": [7]}},
            "restart.force_codes is in prevent",
        ),
        (
            {"command": ["x"], "stop": {"steps": [["SIGNOPE", 1]]}},
            r"stop.steps\[0\]\[0\] is no signal: write its name",
        ),
        ({"command": ["x"], "stop": {"signal": "TERM"}}, 'stop.signal is no signal: .* did you mean "SIGTERM"'),
        ({"command": ["x"], "stop": {"steps": [7]}}, r"stop.steps\[0\] is no step: write one of"),
        ({"command": ["x"], "ready": {"tcp": 0}}, "service 'x': ready.tcp is too low"),
        ({"command": ["x"], "ready": {"udp": 1}}, "ready is no probe: write one of all, any, tcp, unix"),
        ({"command": ["x"], "ready": {"notify": 1}}, "ready.notify takes no argument"),
        ({"command": ["x"], "ready": {"all": []}}, "ready.all is an empty list"),
        ({"command": ["x"], "ready": {"all": [{"fd": 3}], "tcp": 1}}, "ready: 'tcp' cannot go with 'all'"),
        (
            {"command": ["x"], "ready": {"line": {"pattern": "x", "flags": ["NO"]}}},
            "ready.line.* is unknown: write one of",
        ),
        ({"command": ["x"], "ready": {"line": {"patern": "x"}}}, "is no pattern"),
        ({"command": ["x"], "ready": {"line": "("}}, "ready.line is no regular expression"),
        ({"command": ["x"], "umask": "rwx"}, "umask is no mode"),
        ({"command": ["x"], "framing": "words"}, "framing is no framing"),
        ({"command": ["x"], "framing": {"lines": "x"}}, "framing.lines takes no argument"),
        ({"command": ["x"], "after": {"db": {"name": "db"}}}, "after.db: there is no option 'name'"),
        ({"command": ["x"], "stdin": {"base64": "?"}}, "stdin is no base64"),
        ({"command": ["x"], "stdin": {"base64": 7}}, "stdin is no text"),
        ({"command": ["x"], "on_give_up": {"function": "app"}}, "on_give_up is no name of a function"),
        ({"command": ["x"], "on_give_up": {"function": "no_such_module_of_ours:x"}}, "cannot be found: No module"),
        ({"command": ["x"], "on_give_up": {"function": "json:x"}}, "cannot be found: module 'json' has no"),
        ({"command": ["x"], "on_give_up": {"function": "json:dumps", "and": 1}}, "names no function"),
        ({"command": ["x"], "memory_max": "512 Mibb"}, 'memory_max .* for example "512 MiB"'),
        ({"command": ["x"], "environment": {}}, "there is no option 'environment'; write extra_env = {"),
        ({"command": ["x"], "pty": "yes"}, "pty is a text: write true or false"),
    ],
)
def test_wrong_data_is_refused_by_place(data: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Spec.from_dict({"id": "x", **data})


def flaws_of(data: dict[str, Any]) -> list[tuple[str | int, ...]]:
    """Return the places of all that is wrong."""
    with pytest.raises(DataError) as caught:
        Spec.from_dict({"id": "x", "command": ["x"], **data})
    return [flaw.path for flaw in caught.value.flaws]


def test_everything_wrong_is_found_at_once() -> None:
    data = {
        "nice": 99,
        "restart": {"wenn": 1, "within": "5x", "backoff": {"jitter": 7}},
        "stop": {"steps": [["SIGTERM", "x"], ["TERM", 1], {"close_stdin": -1}]},
        "extra_env": {"A": [], "B=": "x"},
        "encoding": "no such codec",
        "on_demand": True,
        "after": "x",
    }
    assert flaws_of(data) == [
        ("nice",),
        ("restart", "wenn"),
        ("restart", "within"),
        ("restart", "backoff", "jitter"),
        ("stop", "steps", 0, 1),
        ("stop", "steps", 1, 0),
        ("stop", "steps", 2, "close_stdin"),
        ("extra_env", "A"),
        ("extra_env", "B"),
        ("encoding",),
        ("on_demand",),
        ("after",),
    ]


def test_option_that_needs_a_wrong_one_is_not_judged() -> None:
    assert flaws_of({"listen": {"http": 7}, "on_demand": True}) == [("listen", "http")]
    assert flaws_of({"group": 7, "significant": True}) == [("group",)]
    assert flaws_of({"stdin": {"x": 1}, "stop": {"steps": [{"close_stdin": 1}]}}) == [("stdin",)]


def test_groups_and_options_of_an_overseer_are_read_in_the_same_way() -> None:
    with pytest.raises(DataError) as group:
        Group.from_dict("workers", {"strategie": "one_for_all", "restart": {"within": "x"}})
    assert [flaw.path for flaw in group.value.flaws] == [("strategie",), ("restart", "within")]
    with pytest.raises(DataError, match=r"group 'workers': significant counts for a parent"):
        Group.from_dict("workers", {"significant": True})
    with pytest.raises(DataError) as overseer:
        OverseerOptions.from_dict({"restart_rate": 0, "log": {"keep": 5}})
    assert [flaw.path for flaw in overseer.value.flaws] == [("restart_rate",), ("log",)]
    assert OverseerOptions.from_dict({"shutdown_timeout": "25s"}).shutdown_timeout == 25


def test_error_of_data_can_be_pickled() -> None:
    with pytest.raises(DataError) as caught:
        Spec.from_dict({"id": "x", "command": ["x"], "nice": 99})
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.flaws, again.option) == (str(caught.value), caught.value.flaws, "nice")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("90", 90), ("1h 30m", 5400), ("1.5s", 1.5), ("250ms", 0.25), ("2 days", 172_800), ("1w", 604_800)],
)
def test_durations_are_texts_with_units(text: str, seconds: float) -> None:
    assert Spec.from_dict({"id": "x", "command": ["x"], "max_runtime": text}).max_runtime == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("512 MiB", 512 << 20), ("512M", 512 << 20), ("1.5g", 3 << 29), ("4096", 4096), ("8KB", 8192), ("4096 B", 4096)],
)
def test_sizes_are_texts_with_units(text: str, size: int) -> None:
    assert Spec.from_dict({"id": "x", "command": ["x"], "memory_max": text}).memory_max == size


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_each_example_is_read(name: str) -> None:
    data = tomllib.loads(EXAMPLES[name])
    assert list(data) == [name]
    FORMS["argv" if name == "command" else name].read(data[name])


@pytest.mark.parametrize("word", sorted(FOREIGN))
def test_word_of_another_tool_is_answered_with_toml(word: str) -> None:
    hint = hint_for_option(word, [*FORMS, "command"])
    assert "Restart(" not in hint
    assert "add(" not in hint


def test_data_must_be_an_object() -> None:
    wrong: Any = ["x"]
    with pytest.raises(SpecError, match="a Spec is of type list"):
        Spec.from_dict(wrong)


@pytest.mark.parametrize("value", [{"A": SECRET + "\0"}, {"A": [SECRET]}, SECRET, {"": SECRET}, {f"A={SECRET}": "x"}])
def test_value_of_a_variable_is_in_no_error(value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        Spec.from_dict({"id": "x", "command": ["x"], "extra_env": value})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.value)


def test_variables_are_data() -> None:
    spec = Spec.of("x", ["x"], extra_env={"TOKEN": SECRET})
    assert spec.to_dict()["extra_env"] == {"TOKEN": SECRET}
    assert SECRET not in repr(spec)
