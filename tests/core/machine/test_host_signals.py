"""Requests of signals of the host."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aioverseer.core.machine.host_signals import HostSignalJudge, Request


def requests(*times: float, block_runs: bool = True, is_handled: bool = True) -> list[Request]:
    """Return what signals at these times ask for."""
    judge = HostSignalJudge()
    found: list[Request] = []
    for now in times:
        found.append(judge.judge(now, block_runs=block_runs))
        if is_handled:
            judge.on_handled()
    return found


def test_the_second_signal_kills_and_the_third_has_its_ordinary_effect() -> None:
    assert requests(5, 6, 7, 8) == [Request.STOP, Request.KILL, Request.ORDINARY, Request.ORDINARY]


def test_signals_of_one_tenth_of_a_second_are_one_request() -> None:
    assert requests(5, 5.05, 5.09) == [Request.STOP, Request.REPEATED, Request.REPEATED]


def test_the_time_since_the_first_signal_counts() -> None:
    """A signal in between does not move the window."""
    assert requests(5, 5.06, 5.12) == [Request.STOP, Request.REPEATED, Request.KILL]


def test_signals_after_the_block_ask_for_nothing_new() -> None:
    assert requests(5, 6, 7, block_runs=False) == [Request.STOP, Request.KILL, Request.REPEATED]


def test_a_loop_that_is_held_up_after_the_block_is_overruled() -> None:
    """It has had a tenth of a second to handle a signal."""
    assert requests(5, 6, 6.01, block_runs=False, is_handled=False)[-1] is Request.ORDINARY
    judge = HostSignalJudge()
    for now in (5.0, 6.0):
        judge.judge(now, block_runs=False)
        judge.on_handled()
    assert [judge.judge(now, block_runs=False) for now in (6.01, 6.05, 6.2)] == [
        Request.REPEATED,
        Request.REPEATED,
        Request.ORDINARY,
    ]


@given(st.lists(st.floats(min_value=0, max_value=2), min_size=1), st.booleans())
def test_any_signals_stop_once_and_kill_once(gaps: list[float], is_handled: bool) -> None:
    """The kill comes with the first signal that is a tenth of a second or more after the first one."""
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    found = requests(*times, is_handled=is_handled)
    later = [n for n, time in enumerate(times) if time - times[0] >= 0.1]
    expected = [Request.STOP] + [Request.REPEATED] * (len(found) - 1)
    for n in later[1:]:
        expected[n] = Request.ORDINARY
    if later:
        expected[later[0]] = Request.KILL
    assert found == expected
