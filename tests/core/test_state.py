from __future__ import annotations

import dataclasses
import json
import signal
import typing

import pytest

from aioverseer.core.options.stop_steps import Step
from aioverseer.core.report.events import StopOutcome
from aioverseer.core.report.status import Status
from aioverseer.core.state import Exit, State, as_signal, signal_name

STATES = [
    # state, number, text, is_final, is_live: numbers and texts are those of the Go library
    (State.INITIAL, 0, "initial", False, False),
    (State.WAITING, 5, "waiting", False, True),
    (State.STARTING, 10, "starting", False, True),
    (State.BACKOFF, 15, "backoff", False, True),
    (State.RUNNING, 20, "running", False, True),
    (State.STOPPING, 30, "stopping", False, True),
    (State.INTERRUPT, 40, "interrupted", True, False),
    (State.FINISHED, 50, "finished", True, False),
    (State.FATAL, 60, "fatal", True, False),
    (State.UNKNOWN, 99, "unknown", False, False),
]


def test_there_are_no_other_states() -> None:
    """The table below is all of them, in the order of their numbers."""
    assert [row[0] for row in STATES] == list(State)


@pytest.mark.parametrize(("state", "number", "text", "is_final", "is_live"), STATES, ids=str)
def test_a_state_is_a_number_with_a_text(state: State, number: int, text: str, is_final: bool, is_live: bool) -> None:
    """It compares as its number, and every way to print it gives its text."""
    assert number == state
    assert (state.name, state) == (State(number).name, State(number))
    assert [text] * 3 == [str(state), f"{state}", f"{state:}"]
    assert (is_final, is_live) == (state.is_final, state.is_live)


def test_a_start_is_complete_in_two_states() -> None:
    """The program is ready, or its trigger is armed."""
    assert [State.WAITING, State.RUNNING] == [state for state in State if state.is_up]


def test_states_are_json_numbers_and_sort_by_them() -> None:
    """As values of an IntEnum do."""
    assert "[0, 99]" == json.dumps([State.INITIAL, State.UNKNOWN])
    assert list(State) == sorted(State, key=int)


def test_a_number_that_is_no_state_is_refused() -> None:
    """There is no state that nobody knows."""
    with pytest.raises(ValueError, match="7"):
        State(7)


@pytest.mark.parametrize(
    ("number", "expected", "name"),
    [
        (15, signal.SIGTERM, "SIGTERM"),
        (signal.SIGKILL, signal.SIGKILL, "SIGKILL"),
        (45, 45, "signal 45"),  # a real-time signal, for which Python has no name
    ],
)
def test_signals_have_names_where_python_knows_one(number: int, expected: int, name: str) -> None:
    """A number without a name stays a number."""
    assert (expected, type(expected)) == (as_signal(number), type(as_signal(number)))
    assert name == signal_name(number)


@pytest.mark.parametrize(
    ("returncode", "expected", "text"),
    [
        (0, Exit(code=0), "exited with code 0"),
        (3, Exit(code=3), "exited with code 3"),
        (255, Exit(code=255), "exited with code 255"),
        (-9, Exit(signal=signal.SIGKILL), "was killed by SIGKILL"),
        (-45, Exit(signal=45), "was killed by signal 45"),
    ],
)
def test_a_returncode_is_a_code_or_a_signal(returncode: int, expected: Exit, text: str) -> None:
    """Never both, and no -1 that means several things (B50)."""
    assert expected == Exit.from_returncode(returncode)
    assert text == str(expected)


def test_a_lost_status_is_neither() -> None:
    """It says so."""
    assert "ended with a status that is lost (something else in the host reaped it)" == str(Exit())


def test_an_exit_is_a_value() -> None:
    """Equal by its content, usable as a key, frozen."""
    assert 1 == len({Exit(code=1), Exit.from_returncode(1)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        Exit(code=1).code = 2  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize(
    ("kind", "field", "expected"),
    [
        (Exit, "signal", signal.Signals | int | None),
        (Status, "signal", signal.Signals | int | None),
        (StopOutcome, "signals", tuple[signal.Signals | int, ...]),
        (StopOutcome, "leftovers_signal", signal.Signals | int | None),
        (Step, "signal", signal.Signals | int),
    ],
)
def test_a_signal_has_the_type_of_its_values(kind: type, field: str, expected: object) -> None:
    """A named signal, or a number where Python has no name for it."""
    assert expected == typing.get_type_hints(kind)[field]
