"""The one unit of systemd that runs ``aioverseer up`` itself, with all services below it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from aioverseer.config.convert.conversion import Notes
from aioverseer.config.export.app import App
from aioverseer.config.export.systemd.unit_text import Unit, escape_name, exec_line, literal

__all__ = ["up_unit"]

_SPARE = 5.0
"""Seconds that the end of the overseer itself may take."""


def up_unit(app: App, notes: Notes, *, shutdown_timeout: float | None, arguments: Sequence[str]) -> dict[str, str]:
    """Return the unit by its file name.

    Args:
        app: The services.
        notes: Notes about the surroundings that the programs have there.
        shutdown_timeout: Seconds that the stop of all services may take; None for the sum of their ladders.
        arguments: Words after ``aioverseer up -f FILE``, for example those of profiles.
    """
    _note_surroundings(app, notes)
    unit = Unit(f"Made from {app.path} by: aioverseer export systemd-up")
    unit.set("Unit", "Description", literal(f"{app.name}, run by aioverseer"))
    unit.set("Unit", "Wants", "network-online.target")
    unit.set("Unit", "After", "network-online.target")
    unit.set("Service", "Type", "notify")
    words = ["-m", "aioverseer", "up", "-f", app.path, *arguments]
    unit.set("Service", "ExecStart", exec_line(sys.executable, words))
    unit.set("Service", "WorkingDirectory", literal(app.folder))
    # Each half of this time the event loop tells that it goes on.
    unit.set("Service", "WatchdogSec", "30")
    unit.set("Service", "Restart", "on-failure")
    unit.set("Service", "SuccessExitStatus", "143")
    # The overseer stops its programs itself, in order; systemd kills what is left of the cgroup.
    unit.set("Service", "KillMode", "mixed")
    longest = sum(step.timeout for spec in app.specs for step in spec.stop.steps)
    limit = longest if shutdown_timeout is None else shutdown_timeout
    unit.set("Service", "TimeoutStopSec", str(math.ceil(limit + _SPARE)))
    unit.set("Service", "Delegate", "yes")
    unit.set("Install", "WantedBy", "multi-user.target")
    return {f"{escape_name(app.name)}.service": unit.text()}


def _note_surroundings(app: App, notes: Notes) -> None:
    """Add the notes about what systemd gives to the overseer, and so to its programs."""
    if any(spec.env is None for spec in app.specs):
        text = "systemd passes few variables on: write those of your shell to a file, and name it in env_files"
        notes.changed("", "env", text)
    text = (
        "without User= the unit runs as root, with all services that have no user: add it, or install the unit for one "
        "user, in ~/.config/systemd/user and with WantedBy=default.target"
    )
    notes.changed("", "user", text)
    for spec in app.specs:
        if "/" not in spec.argv[0] and "PATH" not in (spec.env or {}) and "PATH" not in spec.extra_env:
            text = (
                f"{spec.argv[0]!r} is looked for in /usr/local/bin, /usr/bin and the like alone, not in a virtual "
                "environment: write its path, or add Environment=PATH=... to the unit"
            )
            notes.changed(f"services.{spec.id}", "command", text)
