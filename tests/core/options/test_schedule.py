"""Cron and Every as options: what they take, and what goes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aioverseer import Cron, Every, Process, Spec, SpecError


def test_values_are_kept_in_their_final_form() -> None:
    """Frozen, comparable, usable as keys."""
    cron = Cron("@daily", timezone="Europe/Berlin", missed="once", within=60, stamp=Path("/run/x"))
    assert ("@daily", "Europe/Berlin", "skip", 60.0, 0.0, "/run/x") == (
        cron.expression,
        cron.timezone,
        cron.overlap,
        cron.within,
        cron.jitter,
        cron.stamp,
    )
    assert {cron} == {cron, Cron("@daily", timezone="Europe/Berlin", missed="once", within=60, stamp="/run/x")}
    assert (300.0, "after_period") == (Every(300).period, Every(300).first)


CRON: Any = Cron
EVERY: Any = Every


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: CRON(5), "Cron: expression=5 is no text"),
        (lambda: CRON("61 * * * *"), r"Cron: expression='61 \* \* \* \*' has no minute '61'"),
        (lambda: CRON("@daily", timezone="Mars/Base"), "Cron: timezone='Mars/Base' is no zone known here"),
        (lambda: CRON("@daily", timezone="../etc/passwd"), "is no zone known here"),
        (lambda: CRON("@daily", timezone=2), "timezone=2 is no name of a zone"),
        (lambda: CRON("@daily", overlap="never"), "overlap='never' is unknown"),
        (lambda: CRON("@daily", overlap="allow"), "a service has one run at a time: pass 'queue'"),
        (lambda: CRON("@daily", missed="all"), 'missed=\'all\' is unknown: pass "skip" or "once"'),
        (lambda: CRON("@daily", within=-1), "within=-1 is too low"),
        (lambda: CRON("@daily", jitter="5m"), "jitter='5m' is no time: .*write 300"),
        (lambda: CRON("@daily", stamp="/run/x"), "stamp='/run/x' is for missed=\"once\" alone"),
        (lambda: CRON("@daily", missed="once", stamp=""), "stamp='' is no path"),
        (lambda: CRON("@daily", missed="once", stamp="~/x"), "begins with ~"),
        (lambda: CRON("@daily", tz="UTC"), "there is no option 'tz'; write timezone='Europe/Berlin'"),
        (lambda: EVERY(0), "Every: period=0 is too low"),
        (lambda: EVERY("5m"), "period='5m' is no time: .*write 300"),
        (lambda: EVERY(5, first="now"), "first='now' is unknown"),
        (lambda: EVERY(5, overlap="allow"), "one run at a time"),
        (lambda: EVERY(5, jitter=5), "jitter=5 is too high: pass less than the period of 5 s"),
        (lambda: EVERY(5, jitter=-5), "jitter=-5 is too low"),
        (lambda: EVERY(5, missed="once"), "it goes by real time: take a Cron"),
    ],
)
def test_other_values_are_refused(make: Any, why: str) -> None:
    """The message names the option and the value, and says what to write."""
    with pytest.raises(SpecError, match=why):
        make()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"schedule": "@daily"}, r"schedule='@daily' is no schedule: pass Cron\('30 2 \* \* \*'\) or Every\(300\)"),
        ({"schedule": Every(5), "critical": True}, "critical=True cannot go with schedule="),
        ({"schedule": Every(5), "significant": True, "group": "g"}, "significant=True cannot go with schedule="),
        ({"max_runtime": 0}, "max_runtime=0 is too low: pass seconds, more than 0, or None for no limit"),
        ({"max_runtime": "1h"}, "max_runtime='1h' is no time: .*write 3600"),
        ({"cron": "@daily"}, "there is no option 'cron'; write schedule=Cron"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], why: str) -> None:
    """By the Spec, before anything is added."""
    with pytest.raises(SpecError, match=why):
        Spec.of("job", ["job"], **options)


def test_a_lone_process_has_no_schedule() -> None:
    """Only a service runs again; a limit of its time is for both."""
    with pytest.raises(SpecError, match=r"schedule=Every\(.*\) is for a Service: use Overseer.add"):
        Process("job", schedule=Every(5))
    assert 5.0 == Process("job", max_runtime=5).spec.max_runtime


@pytest.mark.parametrize(
    ("schedule", "data"),
    [
        (Cron("30 2 * * *"), {"cron": "30 2 * * *"}),
        (
            Cron("@daily", timezone="UTC", overlap="queue", missed="once", within=60, jitter=5, stamp="/x"),
            {
                "cron": "@daily",
                "timezone": "UTC",
                "overlap": "queue",
                "missed": "once",
                "within": 60.0,
                "jitter": 5.0,
                "stamp": "/x",
            },
        ),
        (Every(300), {"every": 300.0}),
        (
            Every(9, first="at_start", overlap="replace", jitter=1),
            {"every": 9.0, "first": "at_start", "overlap": "replace", "jitter": 1.0},
        ),
    ],
)
def test_a_schedule_is_data(schedule: Any, data: dict[str, Any]) -> None:
    """With the names of files."""
    spec = Spec.of("job", ["job"], schedule=schedule, max_runtime=60)
    assert {"id": "job", "command": ["job"], "max_runtime": 60.0, "schedule": data} == spec.to_dict()
    assert spec == Spec.from_dict(spec.to_dict())


@pytest.mark.parametrize("data", [{"at": "noon"}, {"every": 5, "cron": "@daily"}, {"cron": "x"}])
def test_other_data_is_refused(data: dict[str, Any]) -> None:
    """With the place of the mistake."""
    with pytest.raises(SpecError, match=r"schedule|Cron"):
        Spec.from_dict({"id": "job", "command": ["job"], "schedule": data})
