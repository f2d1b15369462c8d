"""The units that start a service: sockets and timers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aioverseer import Cron, Every, Spec
from aioverseer.config.export.app import App
from aioverseer.config.export.calendar import calendar_events
from aioverseer.config.export.given import Given
from aioverseer.config.export.systemd.names import target_of, unit_name, units_of
from aioverseer.config.export.systemd.unit_text import Unit, escape_name, literal, seconds

__all__ = ["note_schedule", "socket_unit", "sockets_of", "timer_unit"]


def sockets_of(app: App, spec: Spec) -> dict[str, Mapping[str, Any]]:
    """Return the sockets that need a unit, in the form of ``Spec.to_dict``, by the names of their units."""
    listen: Mapping[str, Mapping[str, Any]] = spec.to_dict().get("listen", {})
    return {
        f"{unit_name(app, spec)}-{escape_name(name)}.socket": {"name": name, **held}
        for name, held in listen.items()
        if "inherited" not in held
    }


def socket_unit(app: App, spec: Spec, held: Mapping[str, Any], comment: str) -> str:
    """Return the unit of one socket of ``sockets_of``."""
    unit = Unit(comment)
    unit.set("Unit", "Description", literal(f"Socket {held['name']} of {spec.id}"))
    unit.set("Unit", "PartOf", target_of(app))
    if "unix" in held:
        path = held["unix"]
        is_abstract = path.startswith("@")
        unit.set("Socket", "ListenStream", literal(path if is_abstract else app.absolute(spec.cwd or "", path)))
        if "mode" in held:
            unit.set("Socket", "SocketMode", f"0{held['mode']}")
        unit.set("Socket", "RemoveOnStop", "yes")
    else:
        host = held.get("host", "127.0.0.1")
        unit.set("Socket", "ListenStream", f"{f'[{host}]' if ':' in host else host}:{held['tcp']}")
    unit.set("Socket", "FileDescriptorName", held["name"])
    unit.set("Socket", "Backlog", "2048")
    unit.set("Socket", "Service", units_of(app, spec.id)[0])
    return unit.text()


def timer_unit(app: App, spec: Spec, comment: str) -> str:
    """Return the timer of a service with a schedule."""
    schedule = spec.schedule
    unit = Unit(comment)
    unit.set("Unit", "Description", literal(f"Times of {spec.id}"))
    unit.set("Unit", "PartOf", target_of(app))
    if isinstance(schedule, Cron):
        for event in calendar_events(schedule):
            unit.set("Timer", "OnCalendar", event)
        if schedule.missed == "once":
            unit.set("Timer", "Persistent", "yes")
    elif isinstance(schedule, Every):
        unit.set("Timer", "OnActiveSec", "0" if schedule.first == "at_start" else seconds(schedule.period))
        unit.set("Timer", "OnUnitActiveSec", seconds(schedule.period))
    # Timers of systemd may come a minute late, to save power.
    accuracy = min(1.0, schedule.period / 10) if isinstance(schedule, Every) else 1.0
    unit.set("Timer", "AccuracySec", seconds(accuracy))
    if isinstance(schedule, Cron | Every) and schedule.jitter:
        unit.set("Timer", "RandomizedDelaySec", seconds(schedule.jitter))
    return unit.text()


def note_schedule(given: Given) -> None:
    """Add the notes about a schedule."""
    data = given.take("schedule")
    if data is None:
        return
    if data.get("overlap", "skip") != "skip":
        given.changed("schedule", "a time that comes while a run is under way is left out")
    if "within" in data:
        given.changed("schedule", "a time is missed when the timer is off, not after some seconds")
    if "stamp" in data:
        given.changed("schedule", "systemd keeps the time of the last run itself")
    if "every" in data:
        given.changed("schedule", "the period counts from the start of the run before")
