"""The section Timer as a schedule."""

from __future__ import annotations

from typing import Any

from aioverseer.config.convert.systemd.calendar import as_cron
from aioverseer.config.convert.systemd.directives import Directives

__all__ = ["read_schedule"]

_STARTS = ("OnBootSec", "OnStartupSec", "OnActiveSec")


def read_schedule(keys: Directives, place: str) -> dict[str, Any] | None:
    """Return the option ``schedule``; None if there is none that says it.

    Args:
        keys: Keys of the section.
        place: Path of the service in our file.
    """
    keys_of_time = ("OnCalendar", "OnUnitActiveSec", "OnUnitInactiveSec", *_STARTS)
    had = {key: keys.value(key) is not None for key in keys_of_time}
    schedule = _calendar(keys, place)
    period = keys.span("OnUnitActiveSec")
    inactive = keys.span("OnUnitInactiveSec")
    starts = [keys.span(key) for key in _STARTS if had[key]]
    if schedule is not None:
        for key in keys_of_time[1:]:
            if had[key]:
                keys.lost(key, "a service has one schedule, and it has that of OnCalendar=")
        return _extras(keys, place, schedule)
    every = inactive if period is None else period
    if every is None or not 0 < every < float("inf"):
        for key in keys_of_time[1:]:
            if had[key]:
                keys.lost(key, "delay_start = of the service waits before its first start")
        return _extras(keys, place, None)
    if had["OnUnitActiveSec"]:
        keys.carried("OnUnitActiveSec", f"{place}.schedule.every")
    if had["OnUnitInactiveSec"]:
        if period is None:
            keys.changed("OnUnitInactiveSec", f"{place}.schedule.every: it counts from start to start")
        else:
            keys.lost("OnUnitInactiveSec", "a service has one schedule, and it has that of OnUnitActiveSec=")
    first = {"first": "at_start"} if starts else {}
    for key in _STARTS:
        if had[key]:
            keys.changed(key, f"{place}.schedule.first: the first run comes when aioverseer starts")
    return _extras(keys, place, {"every": every, **first})


def _calendar(keys: Directives, place: str) -> dict[str, Any] | None:
    values = keys.take_all("OnCalendar")
    if not values:
        return None
    found = as_cron(values[0])
    if len(values) > 1:
        keys.lost("OnCalendar", "a service has one schedule: write the times as one cron expression")
    elif found is None:
        keys.lost("OnCalendar", "no cron expression says it: write schedule = { cron = ... }")
    else:
        keys.carried("OnCalendar", f"{place}.schedule.cron")
        return {"cron": found[0], **({"timezone": found[1]} if found[1] else {})}
    return None


def _extras(keys: Directives, place: str, schedule: dict[str, Any] | None) -> dict[str, Any] | None:
    is_cron = schedule is not None and "cron" in schedule
    jitter = keys.span("RandomizedDelaySec")
    if jitter is not None:
        if schedule is None:
            keys.lost("RandomizedDelaySec", "there is no schedule that it could delay")
        elif 0 < jitter < (schedule.get("every") or float("inf")):
            schedule["jitter"] = jitter
            keys.carried("RandomizedDelaySec", f"{place}.schedule.jitter")
        else:
            keys.carried("RandomizedDelaySec", "no delay, as without jitter")
    persistent = keys.switch("Persistent")
    if persistent and is_cron and schedule is not None:
        schedule["missed"] = "once"
        text = f'{place}.schedule.missed = "once": stamp = names a file, so that it counts while nothing runs, too'
        keys.changed("Persistent", text)
    elif persistent is not None:
        why = "there are no fixed times" if persistent else "it is off"
        keys.carried("Persistent", f"nothing, as {why}")
    if keys.take("AccuracySec") is not None:
        keys.carried("AccuracySec", "a run comes at its time")
    return schedule
