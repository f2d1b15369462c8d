"""``OnCalendar=`` comes at the times of the cron expression, as systemd itself computes them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from aioverseer import Cron
from aioverseer.config.export.calendar import calendar_events, five_fields
from aioverseer.core.machine.cron import next_time

ANALYZE = shutil.which("systemd-analyze")
EXPRESSIONS = [
    "30 2 * * *",
    "*/20 * * * *",
    "0 9-17 * * 1-5",
    "5,10,11,12 0 1 * *",
    "0 0 * * 7",
    "0 0 1 * mon",
    "0 0 */2 * mon",
    "0 0 29 2 *",
    "59 23 31 * *",
    "15 10 * jan-mar,dec sat",
    "* * * * *",
    "@hourly",
    "@weekly",
    "@monthly",
    "1-58/3 4 * * *",
]
START = datetime(2026, 2, 26, 12, 30, tzinfo=UTC)
COUNT = 6


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_computes_the_same_times() -> None:
    events = {expression: calendar_events(Cron(expression)) for expression in EXPRESSIONS}
    flat = [event for each in events.values() for event in each]
    options = ["calendar", f"--iterations={COUNT}", f"--base-time={START:%Y-%m-%d %H:%M:%S}"]
    done = subprocess.run(
        [ANALYZE or "", *options, "--", *flat],
        env=os.environ | {"TZ": "UTC"},
        capture_output=True,
        text=True,
        check=True,
    )
    blocks = iter(done.stdout.strip().split("\n\n"))
    for expression, each in events.items():
        found = {time for _ in each for time in re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?= UTC)", next(blocks))}
        assert sorted(found)[:COUNT] == times_of(expression), expression


def times_of(expression: str) -> list[str]:
    """Return the next times of an expression, as the library computes them."""
    fields, now, found = Cron(expression).fields, START, list[str]()
    while len(found) < COUNT:
        moment = next_time(fields, now, UTC)
        assert moment is not None
        now = moment
        found.append(f"{now:%Y-%m-%d %H:%M:%S}")
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_common_form_has_the_same_times(expression: str) -> None:
    common = five_fields(Cron(expression))
    if common is None:
        assert expression == "0 0 */2 * mon"  # both days must match
    else:
        assert times_of(common) == times_of(expression)
