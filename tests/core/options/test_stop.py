from __future__ import annotations

import dataclasses
import math
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals
from typing import Any

import pytest

from aioverseer.core.errors import SpecError
from aioverseer.core.options.stop import FINAL_TIMEOUT, Step, Stop, as_signal_number

LAST = (SIGKILL, FINAL_TIMEOUT)


@pytest.mark.parametrize(
    ("stop", "steps", "text", "total"),
    [
        (Stop(), [(SIGTERM, 10), LAST], "SIGTERM, 10 s, SIGKILL", 12),
        (Stop(SIGINT, 0.5), [(SIGINT, 0.5), LAST], "SIGINT, 0.5 s, SIGKILL", 2.5),
        (Stop(signal=1, timeout=0), [(SIGHUP, 0), LAST], "SIGHUP, 0 s, SIGKILL", 2),
        (Stop(SIGKILL, 5), [(SIGKILL, 5)], "SIGKILL", 5),
        (Stop(steps=[(SIGINT, 5), (SIGTERM, 3)]), [(SIGINT, 5), (SIGTERM, 3), LAST], None, 10),
        (Stop(steps=iter([[SIGTERM, 5], (SIGKILL, 7)])), [(SIGTERM, 5), (SIGKILL, 7)], None, 12),
        (Stop(SIGHUP, 99, steps=((SIGINT, 1),)), [(SIGINT, 1), LAST], "SIGINT, 1 s, SIGKILL", 3),
        (Stop(signal=45, timeout=1), [(45, 1), LAST], "signal 45, 1 s, SIGKILL", 3),
    ],
    ids=str,
)
def test_the_last_step_is_always_a_kill(
    stop: Stop, steps: list[tuple[int, float]], text: str | None, total: float
) -> None:
    """It is added where it is missing; the text and the time are those of the whole ladder."""
    assert tuple(Step(*step) for step in steps) == stop.steps
    assert {float} == {type(step.timeout) for step in stop.steps}
    assert total == stop.total
    if text is not None:
        assert text == str(stop)


def test_a_ladder_is_a_value() -> None:
    """Equal however it was written, a key, frozen, and a changed copy is checked again."""
    written = Stop(steps=[(15, 10), (9, 2)])
    assert (Stop(), hash(Stop())) == (written, hash(written))
    assert Stop() != Stop(scope="leader")
    assert Stop(scope="leader") == dataclasses.replace(written, scope="leader")
    assert isinstance(written.steps[0].signal, Signals)
    with pytest.raises(dataclasses.FrozenInstanceError):
        written.scope = "leader"  # type: ignore[misc]  # that it is refused is the point
    with pytest.raises(SpecError, match=r"stop\.scope"):
        dataclasses.replace(written, scope="all")  # type: ignore[arg-type]  # that it is refused is the point


@pytest.mark.parametrize(
    ("arguments", "option", "value"),
    [
        *(({"signal": bad}, "stop.signal", bad) for bad in (0, -9, 65, True, 15.0, "SIGTERM", None)),
        *(({"timeout": bad}, "stop.timeout", bad) for bad in (-1, math.inf, 10**400, True, "5", None)),
        ({"scope": "group"}, "stop.scope", "group"),
        ({"scope": None}, "stop.scope", None),
        ({"steps": []}, "stop.steps", None),
        ({"steps": 5}, "stop.steps", 5),
        ({"steps": "TERM"}, "stop.steps", "T"),
        ({"steps": [SIGTERM]}, "stop.steps", SIGTERM),
        ({"steps": [(SIGTERM, 1, 2)]}, "stop.steps", (SIGTERM, 1, 2)),
        ({"steps": [("TERM", 1)]}, "stop.signal", "TERM"),
        ({"steps": [(SIGTERM, "1")]}, "stop.timeout", "1"),
        ({"steps": [(SIGKILL, 1), (SIGTERM, 1)]}, "stop.steps", [(SIGKILL, 1), (SIGTERM, 1)]),
        ({"steps": [(SIGKILL, 1), (SIGKILL, 1)]}, "stop.steps", [(SIGKILL, 1), (SIGKILL, 1)]),
    ],
    ids=str,
)
def test_an_invalid_ladder_is_refused(arguments: Any, option: str, value: object) -> None:
    """The error names the option and has the value."""
    with pytest.raises(SpecError) as caught:
        Stop(**arguments)
    assert str(caught.value).startswith(option)
    assert (option, value) == (caught.value.option, caught.value.value)


def test_nan_is_no_time() -> None:
    """It compares with nothing, so it needs a case of its own."""
    with pytest.raises(SpecError, match=r"stop\.timeout=nan is no time"):
        Stop(timeout=math.nan)


@pytest.mark.parametrize(("value", "expected"), [(SIGTERM, SIGTERM), (15, SIGTERM), (1, SIGHUP), (64, 64)])
def test_a_signal_may_be_a_number(value: int, expected: int) -> None:
    """It becomes a named one where there is a name."""
    assert repr(expected) == repr(as_signal_number(value, "signal")) or expected == 64
    assert expected == as_signal_number(value, "signal")


@pytest.mark.parametrize(("number", "name"), [(10, "SIGUSR1"), (15, "SIGTERM"), (2, "SIGINT")])
def test_a_bare_number_may_be_meant_as_seconds(number: int, name: str) -> None:
    """Both meanings are shown; with a timeout, or as a signal.Signals, there is no doubt."""
    with pytest.raises(SpecError) as caught:
        Stop(number)
    assert f"Stop(timeout={number})" in str(caught.value)
    assert f"Stop(signal.{name})" in str(caught.value)
    assert ("stop.signal", number) == (caught.value.option, caught.value.value)
    assert Stop(number, 10) == Stop(Signals(number)) == Stop(number, 10.0)


def test_more_seconds_than_signals_are_shown_as_seconds() -> None:
    with pytest.raises(SpecError, match=r"stop\.signal=90 is no signal: for seconds write Stop\(timeout=90\)"):
        Stop(90)
