"""EventHook: its checks, its form as data, and which events it wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from aioverseer import EventHook, SpecError, State
from aioverseer.core.options.event_hook import is_wanted
from aioverseer.core.options.event_words import KINDS, STATES
from aioverseer.core.report.events import Kind


def test_the_words_are_those_of_states_and_events() -> None:
    """The core keeps options below reports, so the words stand twice."""
    assert set(KINDS) == set(get_args(Kind))
    assert set(STATES) == {str(state) for state in State} - {"initial", "unknown"}


def test_values_come_in_their_final_form() -> None:
    run: list[str | Path] = [Path("bin/notify.sh"), "-q"]
    hook = EventHook(on=[State.FATAL, "backoff", "fatal"], run=run, services="web", cwd=Path("a"))
    assert (("fatal", "backoff"), ("bin/notify.sh", "-q")) == (hook.on, hook.run)
    assert (("web",), "a", "hook notify.sh") == (hook.services, hook.cwd, hook.id)
    assert EventHook(on=State.FATAL, run=["a"]) == EventHook(on=("fatal",), run=("a",), extra_env={})


@pytest.mark.parametrize(
    ("options", "option", "words"),
    [
        ({"on": "failure"}, "on", "on='failure' names no event: write 'failed'"),
        ({"on": "PROCESS_STATE_FATAL"}, "on", "write 'fatal'"),
        ({"on": ["fatal", "backof"]}, "on", "on='backof' names no event: did you mean 'backoff'?"),
        ({"on": State.UNKNOWN}, "on", "on='unknown' names no event"),
        ({"on": []}, "on", "on=[] name no event: pass for example on='failed'"),
        ({"on": None}, "on", "on=None names no event: pass 'failed',"),
        ({"run": "./notify.sh -q 'a b'"}, "run", "is one text: write run=['./notify.sh', '-q', 'a b']"),
        ({"run": "echo 'a"}, "run", "is one text: write run=['echo', \"'a\"]"),
        ({"run": []}, "run", "run=[] is empty"),
        ({"run": print}, "run", "reads overseer.events()"),
        ({"run": ["~/notify.sh"]}, "run", "begins with ~"),
        ({"run": ["notify", 1]}, "run[1]", "every argument is a str"),
        ({"services": []}, "services", "services=[] names no service"),
        ({"services": [1]}, "services", "services=[1] names no service"),
        ({"services": 5}, "services", "services=5 names no service"),
        ({"timeout": 0}, "timeout", "timeout=0 is too low"),
        ({"timeout": None}, "timeout", "timeout=None is no time"),
        ({"max_running": 0}, "max_running", "max_running=0 is too low"),
        ({"cwd": ""}, "cwd", "is no path"),
        ({"extra_env": {"A": 5}}, "extra_env", "EventHook: extra_env['A'] is of type int"),
        ({"command": ["a"]}, "command", "write run=['./notify.sh']"),
        ({"max_runing": 2}, "max_runing", "did you mean 'max_running'?"),
    ],
)
def test_a_wrong_value_is_refused(options: dict[str, Any], option: str, words: str) -> None:
    given: dict[str, Any] = {"on": "fatal", "run": ["notify"], **options}
    with pytest.raises(SpecError) as caught:
        EventHook(**given)
    assert str(caught.value).startswith("EventHook: ")
    assert words in str(caught.value)
    assert option == caught.value.option


def test_data_and_back() -> None:
    full = EventHook(
        on=["fatal", "health"],
        run=["notify", "-q"],
        services=["web", "db"],
        timeout=5,
        max_running=3,
        cwd="/srv",
        extra_env={"A": "1"},
    )
    for hook in (full, EventHook(on="failed", run=["notify"])):
        assert hook == EventHook.from_dict(json.loads(json.dumps(hook.to_dict())))
    assert {"on": ["failed"], "run": ["notify"]} == EventHook(on="failed", run=["notify"]).to_dict()
    short = EventHook.from_dict({"on": "fatal", "run": "a 'b c'", "services": "web", "timeout": "5m"})
    assert EventHook(on="fatal", run=["a", "b c"], services=["web"], timeout=300) == short


@pytest.mark.parametrize(
    ("data", "option", "words"),
    [
        ({"onn": "fatal", "on": "fatal", "run": ["a"]}, "onn", "there is no option 'onn'; did you mean 'on'?"),
        ({"run": ["a"]}, None, "hook: has no on: write it"),
        ({"on": "fatal"}, None, "hook: has no run: write it"),
        ({"on": "fatal", "run": True}, "run", "run is of type bool"),
        ({"on": "fatl", "run": ["a"]}, "on", 'did you mean "fatal"?'),
        ({"on": "fatal", "run": ["~/a"]}, "run[0]", "begins with ~"),
        ([], None, "is of type list"),
    ],
)
def test_wrong_data_is_refused(data: Any, option: str | None, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        EventHook.from_dict(data)
    assert words in str(caught.value)
    assert option == caught.value.option


@pytest.mark.parametrize(
    ("words", "names", "wanted"),
    [
        ({"state", "fatal", "failed"}, {"web"}, True),
        ({"state", "running"}, {"web"}, False),
        ({"health"}, {"web.0", "web"}, True),
        ({"health"}, {"db"}, False),
    ],
)
def test_which_events_are_wanted(words: set[str], names: set[str], wanted: bool) -> None:
    assert wanted is is_wanted(EventHook(on=["fatal", "health"], run=["a"], services="web"), words, names)
    assert is_wanted(EventHook(on=["fatal", "health"], run=["a"]), {"health"}, {"any"})
