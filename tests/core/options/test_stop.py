from __future__ import annotations

import dataclasses
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals
from typing import Any

import pytest

from aioverseer.core.errors import SpecError
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import FINAL_TIMEOUT, Stop, as_signal_number
from aioverseer.core.options.stop_steps import CloseStdin, RunCommand, Step, WriteStdin

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
    first = written.steps[0]
    assert isinstance(first, Step)
    assert isinstance(first.signal, Signals)
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


def test_a_ladder_may_begin_with_other_steps() -> None:
    stop = Stop(
        steps=[
            Stop.close_stdin(2),
            Stop.write("quit\n", 1),
            Stop.command(["redis-cli", Path("a b"), "{pid}"], 3),
            (SIGTERM, 5),
        ]
    )
    assert (
        CloseStdin(2.0),
        WriteStdin("quit\n", 1.0),
        RunCommand(("redis-cli", "a b", "{pid}"), 3.0),
        Step(SIGTERM, 5.0),
        Step(*LAST),
    ) == stop.steps
    assert "end of input, 2 s, input 'quit\\n', 1 s, `redis-cli 'a b' '{pid}'`, 3 s, SIGTERM, 5 s, SIGKILL" == str(stop)
    assert (13, hash(stop)) == (stop.total, hash(pickle.loads(pickle.dumps(stop))))
    assert stop == dataclasses.replace(stop, scope="tree")


def test_a_ladder_without_signals_ends_with_a_kill() -> None:
    assert (CloseStdin(1.0), Step(*LAST)) == Stop(steps=[Stop.close_stdin(1)]).steps


def test_the_command_of_a_step_names_the_process() -> None:
    assert ("kill", "-s", "QUIT", "7", "{id}") == RunCommand(("kill", "-s", "QUIT", "{pid}", "{id}"), 1.0).words(7)


def test_a_long_step_is_cut_in_messages() -> None:
    assert len(WriteStdin("x" * 1000, 1.0).name) < 100 > len(RunCommand(("sh", "-c", "y" * 1000), 1.0).taken)


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Stop.close_stdin(-1), "stop.timeout"),
        (lambda: Stop.close_stdin("2"), "stop.timeout"),  # type: ignore[arg-type]  # that it is refused is the point
        (lambda: Stop.write("", 1), "stop.write"),
        (lambda: Stop.write(5, 1), "stop.write"),  # type: ignore[arg-type]  # that it is refused is the point
        (lambda: Stop.write("quit\n", math.inf), "stop.timeout"),
        (lambda: Stop.command([], 1), "stop.command"),
        (lambda: Stop.command("redis-cli shutdown", 1), "stop.command"),
        (lambda: Stop.command(["kill", 7], 1), "stop.command"),  # type: ignore[list-item]  # that it is refused is the point
        (lambda: Stop.command(["~/bin/quit"], 1), "stop.command"),
        (lambda: Stop.command(["a\0b"], 1), "stop.command"),
        (lambda: Stop(steps=Stop.close_stdin(1)), "stop.steps"),  # type: ignore[arg-type]  # that it is refused is the point
    ],
)
def test_an_invalid_step_is_refused(make: Callable[[], object], option: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert str(caught.value).startswith(option)
    assert option == caught.value.option


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: Stop(steps=[("quit\n", 3)]), r"for input write Stop.write('quit\n', 3)"),  # type: ignore[list-item]  # on purpose
        (lambda: Stop(Stop.write("quit\n", 3)), "is a step: write Stop(steps=[...]) with a list of steps"),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_a_step_in_another_form_is_answered_with_the_right_one(make: Callable[[], object], advice: str) -> None:
    with pytest.raises(SpecError, match=re.escape(advice)):
        make()


@pytest.mark.parametrize("step", [Stop.close_stdin(1), Stop.write("quit\n", 1)])
@pytest.mark.parametrize("options", [{}, {"stdin": b"data"}, {"stdin": "inherit"}, {"pty": True, "stdin": b"data"}])
def test_a_step_by_the_input_needs_a_pipe(step: CloseStdin | WriteStdin, options: Any) -> None:
    with pytest.raises(SpecError, match=r'stop.*Stop\.(close_stdin|write).*pass stdin="pipe"'):
        Spec(id="db", argv=("db",), stop=Stop(steps=[step, (SIGTERM, 1)]), **options)


@pytest.mark.parametrize("options", [{"stdin": "pipe"}, {"pty": True}, {"pty": True, "stdin": "pipe"}])
def test_a_step_by_the_input_is_taken_with_a_pipe_or_terminal(options: Any) -> None:
    stop = Stop(steps=[Stop.close_stdin(1), Stop.write("quit\n", 1)])
    assert stop == Spec(id="db", argv=("db",), stop=stop, **options).stop


def test_a_step_in_place_of_a_ladder_is_refused() -> None:
    with pytest.raises(SpecError, match=r"write stop=Stop\(steps=\[\.\.\.\]\)"):
        Spec(id="db", argv=("db",), stdin="pipe", stop=Stop.close_stdin(1))  # type: ignore[arg-type]  # that is the point
