"""The section [Unit]: dependencies, and what follows a failure."""

from __future__ import annotations

from aioverseer import After, Every
from aioverseer.config.export.systemd.draft import UnitDraft
from aioverseer.config.export.systemd.names import end_unit_of, units_of
from aioverseer.config.export.systemd.unit_text import seconds

__all__ = ["add_consequences", "add_order"]

_MINUTE = 60.0
"""Shortest time between two times of a cron expression, in seconds."""


def add_order(m: UnitDraft) -> None:
    """Add what the service needs and follows, of the option ``after`` and of its sockets."""
    m.given.take("after")
    for each in m.spec.after:
        names = units_of(m.app, each.name)
        if not names:
            m.given.lost("after", f"{each.name!r} is no service of this file")
            continue
        for name in names:
            for setting in _ties(m, each):
                m.unit.set("Unit", setting, name)
            m.unit.set("Unit", "After", name)
        _note_condition(m, each)
    if m.sockets:
        m.given.take("on_demand")
        for name in m.sockets.values():
            m.unit.set("Unit", "Requires", name)
            m.unit.set("Unit", "After", name)


def _ties(m: UnitDraft, each: After) -> list[str]:
    """Return the settings of a dependency, order apart."""
    if each.until == "finished" or not each.hard:
        if each.on_end == "stop" or each.on_restart == "restart":
            m.given.changed("after", f"a stop or restart of {each.name!r} counts, and its end by itself does not")
            return ["Wants", "PartOf"]
        return ["Wants"]
    if each.on_end == "stop" and each.until in {"started", "ready"}:
        m.given.changed("after", f"a restart of {each.name!r} stops it, too: see RestartMode= (systemd 254)")
        return ["BindsTo"]
    return ["Requires"]


def _note_condition(m: UnitDraft, each: After) -> None:
    other = m.app.find(each.name)
    if other is None:
        return
    if each.until == "started" and other.ready is not None:
        m.given.changed("after", f"After= waits until {each.name!r} is ready, not only started")
    if each.until in {"started", "ready"} and m.app.runs_to_its_end(other):
        m.given.changed("after", f"{each.name!r} is a oneshot, as others wait for its end; so does this one")


def add_consequences(m: UnitDraft) -> None:
    """Add what follows when the service gives up, and when it does so."""
    restart, critical = m.spec.restart, m.given.take("critical")
    stops_all = critical or (m.spec.on_give_up in ("stop", "end") and not m.spec.group)
    if stops_all:
        m.given.take("on_give_up")
        m.unit.set("Unit", "OnFailure", end_unit_of(m.app))
    if critical:
        m.given.changed("critical", "a failure stops everything, and an end as a success does not")
    if restart.max_restarts is None:
        m.unit.set("Unit", "StartLimitIntervalSec", "0")
    elif restart.when != "never" and restart.max_restarts:
        m.unit.set("Unit", "StartLimitIntervalSec", seconds(_window(m)))
        m.unit.set("Unit", "StartLimitBurst", str(restart.max_restarts + 1))


def _window(m: UnitDraft) -> float | None:
    """Return the seconds in which starts are counted. A start by a timer counts, too, and must not use the limit up."""
    within, schedule = m.spec.restart.within, m.spec.schedule
    if schedule is None:
        return within
    between = schedule.period if isinstance(schedule, Every) else _MINUTE
    return between if within is None else min(within, between)
