"""The limit on warnings of one service and of all together."""

from __future__ import annotations

from aioverseer.core.machine.log_limit import LogLimit


def test_a_loop_has_ten_warnings_and_then_one_in_ten_seconds() -> None:
    """Another service is not affected."""
    limit = LogLimit()
    assert [True] * 10 + [False] * 90 == [limit.admit("loop", n / 100) for n in range(100)]
    assert 90 == limit.held_back
    assert limit.admit("web", 1)
    assert [False, True, False] == [limit.admit("loop", now) for now in (9.0, 11.0, 12.0)]


def test_a_crash_of_all_has_a_hundred_warnings() -> None:
    """And then one a second; errors share that."""
    limit = LogLimit()
    admitted = [limit.admit(f"web.{n}", 0) for n in range(3000)]
    assert (100, 2900) == (admitted.count(True), limit.held_back)
    assert [False, True] == [limit.admit_lines("db", now) for now in (0.5, 1.5)]


def test_an_error_of_a_loop_has_its_lines() -> None:
    """The warnings before it do not count."""
    limit = LogLimit()
    for _ in range(50):
        limit.admit("loop", 0)
    assert limit.admit_lines("loop", 0)
