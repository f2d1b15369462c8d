"""Advice about values of another type: an example as a file writes it, and the place that is meant."""

from __future__ import annotations

from typing import Any

import pytest

from aioverseer import Spec, SpecError
from aioverseer.forms import DataError

PROBES = (
    "write one of all, any, tcp, unix, http, line, prompt, file, command, notify, fd, check, for example { tcp = 8000 }"
)

NO_LIMIT = "is no whole number: write a whole number of restarts, 0 or more"


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (
            {"listen": {"http": 8071}},
            ['listen.http is no socket: write for example "127.0.0.1:8000" or { tcp = 8000 }'],
        ),
        ({"listen": "127.0.0.1:80"}, ['listen is no table: write for example listen = { http = "127.0.0.1:8000" }']),
        ({"ready": 8000}, [f"ready is no probe: {PROBES}"]),
        (
            {"log": 3},
            ['log is no log: write for example "web.log" or { path = "web.log" }'],
        ),
        (
            {"restart": {"backoff": 5}},
            ['restart.backoff is no table: write for example backoff = { min = "1s", max = "1m" }'],
        ),
        ({"alive": {"tcp": 80}}, ["alive: there is no option 'tcp'; write probe = { tcp = ... }"]),
        ({"alive": {"tcp": 80, "every": 5}}, ["alive: there is no option 'tcp'; write probe = { tcp = ... }"]),
        (
            {"ready": {"tcp": 80, "line": "x"}},
            ["ready: 'line' cannot go with 'tcp'; write all = [{ tcp = ... }, { line = ... }]"],
        ),
        ({"ready": {"all": [{"tcp": 80}], "line": "x"}}, ["ready: 'line' cannot go with 'all'"]),
        ({"ready": {"tpc": 80}}, ["ready: there is no probe 'tpc'; did you mean 'tcp'?"]),
        ({"listen": {"http": {"unxi": "x"}}}, ["listen.http: there is no socket 'unxi'; did you mean 'unix'?"]),
        ({"restart": {"max_restarts": "unlimited"}}, [f'restart.max_restarts {NO_LIMIT}; write "none" for no limit']),
        ({"watch": {"path": ["src"]}}, ["watch: there is no option 'path'; did you mean 'paths'?"]),
    ],
)
def test_message_shows_what_to_write(data: dict[str, Any], messages: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        Spec.from_dict({"id": "web", "command": ["true"], **data})
    assert messages == [str(flaw) for flaw in caught.value.flaws]


def test_mistyped_command_is_told_once() -> None:
    with pytest.raises(DataError) as caught:
        Spec.from_dict({"id": "web", "comand": ["true"]})
    assert ["there is no option 'comand'; did you mean 'command'?"] == [str(flaw) for flaw in caught.value.flaws]


def test_service_that_is_after_itself_is_told_what_to_write() -> None:
    with pytest.raises(SpecError, match="names the service itself: leave it out"):
        Spec.from_dict({"id": "web", "command": ["true"], "after": "web"})
