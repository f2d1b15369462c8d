from __future__ import annotations

import dataclasses
import json
import signal
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from aioverseer.core.errors import SpawnError
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.status import GaveUp, ProcessFailed, Status, StatusSnapshot, last_lines
from aioverseer.core.state import Exit, State

FRESH = Status(id="db", argv=("redis-server", "--port", "6399"))
GAVE_UP = GaveUp("gave up", id="db", status=FRESH)
BEGUN = datetime(2030, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)


def status(**changes: Any) -> Status:
    """A fresh Status, but for these fields."""
    return dataclasses.replace(FRESH, **changes)


# --- ok, exit, check


@pytest.mark.parametrize(
    ("changes", "ok", "exit"),
    [
        ({}, False, None),
        ({"state": State.RUNNING, "pid": 7}, False, None),
        ({"state": State.FINISHED, "exit_code": 0}, True, Exit(code=0)),
        ({"state": State.FINISHED, "exit_code": 1}, False, Exit(code=1)),
        ({"state": State.INTERRUPT, "exit_code": 0}, True, Exit(code=0)),  # stopped, and it obeyed
        ({"state": State.INTERRUPT, "signal": signal.SIGTERM}, False, Exit(signal=signal.SIGTERM)),
        ({"state": State.FINISHED}, False, None),  # the status was lost
        ({"state": State.FATAL, "error": SpawnError("no such program")}, False, None),
        ({"state": State.FATAL, "exit_code": 0, "error": GAVE_UP}, False, Exit(code=0)),
    ],
)
def test_ok_is_exit_code_zero_and_nothing_else(changes: dict[str, Any], ok: bool, exit: Exit | None) -> None:
    """A code, a signal and an error are three fields, none of which means two things (B15, B50)."""
    one = status(**changes)
    assert (ok, exit) == (one.ok, one.exit)
    if ok:
        assert one is one.check()
    else:
        with pytest.raises(ProcessFailed) as caught:
            one.check()
        assert ("db", one) == (caught.value.id, caught.value.status)


def test_check_says_what_happened_and_what_was_written() -> None:
    """The command as it could be typed, the state, the reason, and the last lines of stderr."""
    argv = ("sh", "-c", "echo a b")
    one = status(argv=argv, state=State.FINISHED, exit_code=3, reason="exited with code 3", stdout=["o"], stderr=["e"])
    with pytest.raises(ProcessFailed) as caught:
        one.check()
    assert "'db' (sh -c 'echo a b') is finished: exited with code 3\nlast lines:\n  e" == str(caught.value)


@pytest.mark.parametrize(
    ("stdout", "stderr", "expected"),
    [
        (None, None, []),
        (["o"], None, ["o"]),
        (["o"], [], ["o"]),
        ([], ["e"], ["e"]),
        ([b"\xffo"], [], ["\\xffo"]),
        ([str(n) for n in range(30)], None, [str(n) for n in range(10, 30)]),
    ],
)
def test_check_has_the_last_lines_there_are(stdout: Any, stderr: Any, expected: list[str]) -> None:
    """At most twenty, bytes as text."""
    with pytest.raises(ProcessFailed) as caught:
        status(exit_code=1, stdout=stdout, stderr=stderr).check()
    assert tuple(expected) == caught.value.lines


def test_last_lines_can_be_fewer() -> None:
    """The number is the caller's."""
    assert ["b", "c"] == last_lines(["a", "b", "c"], most=2)
    assert [] == last_lines([])


# --- to_json

SEED = {
    # the keys of the Go library, before the start: nothing is invented (B51)
    "cmd": "redis-server --port 6399",
    "PID": 0,
    "state": "initial",
    "exitCode": -1,
    "error": None,
    "runTime": 0.0,
    "startTime": None,
    "dir": "",
    "delayStart": 0,
    "retryTimes": 0,
}
OURS = {
    "id": "db",
    "argv": ["redis-server", "--port", "6399"],
    "signal": None,
    "reason": "",
    "restarts": 0,
    "logLost": 0,
    "containment": "",
    "by": "",
    "stopTime": None,
    "next": None,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"pid": 7, "state": State.RUNNING, "runtime": 1.5}, {"PID": 7, "state": "running", "runTime": 1.5}),
        ({"exit_code": 0}, {"exitCode": 0}),
        ({"exit_code": 3}, {"exitCode": 3}),
        ({"signal": signal.SIGKILL}, {"exitCode": -1, "signal": "SIGKILL"}),
        ({"signal": 45}, {"signal": "signal 45"}),
        ({"error": SpawnError("no program", errno=2, filename="x")}, {"error": "no program"}),
        ({"error": ValueError()}, {"error": "ValueError()"}),  # an error without words is an error all the same
        ({"started_at": BEGUN}, {"startTime": "2030-01-02T03:04:05.678900+00:00"}),
        (
            {"stopped_at": BEGUN.astimezone(timezone(timedelta(hours=2)))},
            {"stopTime": "2030-01-02T05:04:05.678900+02:00"},
        ),
        ({"cwd": "/srv", "delay_start": 0.0254, "max_restarts": 5}, {"dir": "/srv", "delayStart": 25, "retryTimes": 5}),
        ({"max_restarts": None}, {"retryTimes": None}),
        ({"restarts": 2, "reason": "is ready"}, {"restarts": 2, "reason": "is ready"}),
        (
            {"argv": ("ls", "-la", "x y", "")},
            {"cmd": "ls -la 'x y' ''", "argv": ["ls", "-la", "x y", ""]},
        ),
    ],
)
def test_to_json_has_the_keys_of_the_go_library_and_further_ones(
    changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Errors as text, times as ISO 8601 or null, argv without ambiguity (B51)."""
    got = status(**changes).to_json()
    assert SEED | OURS | expected == got
    assert got == json.loads(json.dumps(got))


def test_a_status_does_not_change() -> None:
    """It is a snapshot."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        FRESH.pid = 7  # type: ignore[misc]  # that it is refused is the point


def test_a_status_has_no_place_for_the_environment() -> None:
    """Fields taken from a Spec are listed by hand, and none of them is an environment.

    ``stdout`` and ``stderr`` of a Status are output; in a Spec they are destinations.
    """
    shared = {field.name for field in dataclasses.fields(Spec)} & {field.name for field in dataclasses.fields(Status)}
    assert {"id", "argv", "cwd", "delay_start", "containment"} == shared - {"stdout", "stderr"}


def test_a_snapshot_becomes_a_status_field_by_field() -> None:
    """Each field has the value of its name, those of the Spec and of the exit too; the Status is frozen."""
    spec = Spec(id="db", argv=("redis-server",), cwd="/tmp", delay_start=1.5)
    values: dict[str, Any] = {name: object() for name in StatusSnapshot._fields if name not in ("spec", "exit")}
    made = StatusSnapshot(spec=spec, exit=Exit(code=3), **values).status()
    assert made == Status(
        id="db",
        argv=("redis-server",),
        cwd="/tmp",
        delay_start=1.5,
        exit_code=3,
        signal=None,
        **values,
    )
    assert set(values) | {"id", "argv", "cwd", "delay_start", "exit_code", "signal"} == set(Status.__slots__)
    assert StatusSnapshot(spec=spec, exit=Exit(signal=9), **values).status().signal == 9
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.id = "web"  # type: ignore[misc]  # that is what is tried
