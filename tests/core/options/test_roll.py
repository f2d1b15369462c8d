"""The option ``roll``: its values, its percentages, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Roll, SpecError, ready
from aioverseer.core.options.shared_address import shared_address

NUMBERS = st.integers(0, 20) | st.integers(0, 100).map("{}%".format)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("surge", -1, "is no number of instances"),
        ("surge", True, "is no number of instances"),
        ("surge", 1.5, "is no number of instances"),
        ("surge", "25", "is no number of instances"),
        ("unavailable", "101%", "is no number of instances"),
        ("min_ready", -1, "is too low"),
        ("deadline", 0, "is too low"),
        ("on_failure", "roll back", "is unknown"),
    ],
)
def test_a_bad_value_is_refused_by_name(option: str, value: Any, words: str) -> None:
    """With what to do."""
    with pytest.raises(SpecError, match=words) as caught:
        Roll(**{option: value})
    assert f"{option}={value!r}" in str(caught.value)


@pytest.mark.parametrize("zero", [0, "0%"])
def test_a_roll_needs_a_way_to_begin(zero: Any) -> None:
    """One more run, or one less."""
    with pytest.raises(SpecError, match="leaves no way to begin"):
        Roll(surge=zero)


@pytest.mark.parametrize(
    ("surge", "unavailable", "wanted", "expected"),
    [
        (1, 0, 4, (1, 0)),
        ("25%", "25%", 4, (1, 1)),
        ("25%", "25%", 5, (2, 1)),  # surge rounds up, unavailable down
        ("25%", "25%", 3, (1, 0)),
        (0, "25%", 3, (0, 1)),  # both come to 0
        ("100%", 0, 3, (3, 0)),
    ],
)
def test_percentages_are_of_the_wanted(surge: Any, unavailable: Any, wanted: int, expected: tuple[int, int]) -> None:
    """Each one is rounded to the safe side."""
    assert Roll(surge=surge, unavailable=unavailable).bounds(wanted) == expected


@given(NUMBERS, NUMBERS, st.integers(0, 50))
def test_there_is_always_a_way_to_begin(surge: int | str, unavailable: int | str, wanted: int) -> None:
    """Also when both percentages come to 0."""
    try:
        roll = Roll(surge=surge, unavailable=unavailable)
    except SpecError:
        return
    assert sum(roll.bounds(wanted)) > 0


def test_min_ready_depends_on_the_probe() -> None:
    """Without one, a program that lives for a second is believed."""
    assert Roll().min_ready_of(None) == 1.0
    assert Roll().min_ready_of(ready.tcp(80)) == 0.0
    assert Roll(min_ready=3).min_ready_of(ready.tcp(80)) == 3.0


@pytest.mark.parametrize(
    ("probe", "address"),
    [
        (None, None),
        (ready.notify(), None),
        (ready.tcp(8000), "tcp 127.0.0.1:8000"),
        (ready.notify() & ready.http("http://localhost:8000/"), "http http://localhost:8000/"),
        (ready.unix("/run/web.sock"), "unix /run/web.sock"),
        (ready.tcp(8000, owner="any"), None),
    ],
)
def test_the_probe_tells_an_address_that_two_runs_would_share(probe: Any, address: str | None) -> None:
    """Only one that the program itself listens on."""
    assert shared_address(probe) == address
