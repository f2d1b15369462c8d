"""All units of a file: a service for each program, with its sockets and its timer, and a target for all."""

from __future__ import annotations

from collections.abc import Iterable

from aioverseer import PidFile
from aioverseer.config.convert.conversion import Notes
from aioverseer.config.export.app import App
from aioverseer.config.export.conditions import leaves_of
from aioverseer.config.export.given import Given
from aioverseer.config.export.systemd.draft import Kind, UnitDraft
from aioverseer.config.export.systemd.ends import add_restarts, add_stop, add_times
from aioverseer.config.export.systemd.names import end_unit_of, forms_of, target_of
from aioverseer.config.export.systemd.order import add_consequences, add_order
from aioverseer.config.export.systemd.program import add_program
from aioverseer.config.export.systemd.rights import add_rights
from aioverseer.config.export.systemd.surroundings import add_surroundings
from aioverseer.config.export.systemd.triggers import note_schedule, socket_unit, sockets_of, timer_unit
from aioverseer.config.export.systemd.unit_text import Unit, literal

__all__ = ["REASONS_OF_OVERSEER", "systemd_units"]

REASONS_OF_OVERSEER: dict[str, str] = {
    "groups": "systemd restarts each unit alone; Requires= and BindsTo= join the fates of two",
    "hooks": "write a unit for the command, and name it in OnFailure= of the services",
    "control": "systemctl is the control of units",
    "log": "the journal keeps all output: journalctl -u UNIT",
    "shutdown_timeout": "each unit has its own TimeoutStopSec=",
    "restart_rate": "each unit has its own StartLimitBurst=",
    "containment": "each unit has a cgroup",
    "notify_systemd": "each unit reports for itself",
}
"""Advice about the parts of a file that belong to the overseer."""

_REASONS: dict[str, str] = {
    "pty": "StandardInput=tty takes a real terminal: set TTYPath= if the program needs one",
    "containment": "each unit has a cgroup, which nothing leaves",
    "recycle": "RuntimeMaxSec= ends a unit by its age, and MemoryMax= by its memory",
    "watch": "write a .path unit that restarts the service",
    "roll": "restart one instance after the other yourself",
    "group": "a unit has no label: take a target for services that belong together",
    "significant": "it belongs to a group",
    "log": "the journal keeps the output: journalctl -u UNIT",
    "on_give_up": "write a unit for it, and name it in OnFailure=",
    "streaming": "the journal reads the output",
}

_AS_ROOT = (
    "without User= a unit of the system runs as root: set user in the file, or install the units for one user, in "
    "~/.config/systemd/user and with WantedBy=default.target"
)
_READABLE = (
    "values stand in the units, which every user can read: move secrets to a file of mode 600, and name it in "
    "EnvironmentFile="
)
_CLEAN_SIGNALS = (
    "a death by SIGTERM, SIGINT, SIGHUP or SIGPIPE is a success for systemd, whoever has sent the signal, and so is "
    "the exit code of a stop, such as 143"
)
_REQUIRES = "Requires= also stops and restarts a service when systemctl stops or restarts the one that it needs"


def systemd_units(app: App, notes: Notes) -> dict[str, str]:
    """Return the units of all services, by their file names.

    Args:
        app: The services.
        notes: Notes about everything that systemd cannot do.
    """
    files: dict[str, str] = {}
    wanted: list[str] = []
    comment = f"Made from {app.path} by: aioverseer export systemd"
    for spec in app.specs:
        sockets = sockets_of(app, spec)
        for number, (name, values, units) in enumerate(forms_of(app, spec)):
            # All files of one Spec have the same notes.
            given = Given(spec, Notes() if number else notes, values)
            files[f"{name}.service"] = _service(app, given, {held["name"]: unit for unit, held in sockets.items()})
            if spec.schedule is not None:
                files[f"{name}.timer"] = timer_unit(app, spec, comment)
                wanted += [f"{unit.removesuffix('.service')}.timer" for unit in units]
            elif not spec.on_demand:
                wanted += units
        for unit, held in sockets.items():
            files[unit] = socket_unit(app, spec, held, comment)
            wanted.append(unit)
    files[target_of(app)] = _target(app, wanted)
    if any("OnFailure=" in text for text in files.values()):
        files[end_unit_of(app)] = _end_unit(app)
    _note_differences(app, notes)
    return dict(sorted(files.items()))


def _service(app: App, given: Given, sockets: dict[str, str]) -> str:
    unit = Unit(f"Made from {app.path} by: aioverseer export systemd")
    draft = UnitDraft(app=app, given=given, unit=unit, kind=_kind_of(app, given), sockets=sockets)
    given.take("instances")
    note_schedule(given)
    unit.set("Unit", "Description", literal(f"{given.spec.id} of {app.name}"))
    unit.set("Unit", "PartOf", target_of(app))
    add_order(draft)
    add_consequences(draft)
    draft.service("Type", draft.kind)
    if draft.kind == "notify":
        draft.service("NotifyAccess", "all")
    if draft.kind == "oneshot" and given.spec.schedule is None:
        draft.service("RemainAfterExit", "yes")
    add_program(draft)
    add_surroundings(draft)
    add_times(draft)
    add_restarts(draft)
    add_stop(draft)
    add_rights(draft)
    given.finish(_REASONS)
    return unit.text()


def _kind_of(app: App, given: Given) -> Kind:
    spec, data = given.spec, given.spec.to_dict()
    probes = [*leaves_of(data.get("ready", {})), data.get("alive", {}).get("probe", {})]
    notifies = any("notify" in probe for probe in probes) or "notify" in (spec.main_pid, spec.reload)
    if spec.schedule is not None or app.runs_to_its_end(spec):
        if notifies:
            given.changed("ready", "the unit is a oneshot, which does not listen to sd_notify(3)")
        return "oneshot"
    if isinstance(spec.main_pid, PidFile):
        return "forking"
    return "notify" if notifies else "exec"


def _target(app: App, wanted: Iterable[str]) -> str:
    unit = Unit(f"All of {app.name}: systemctl enable --now {target_of(app)}")
    unit.set("Unit", "Description", literal(f"Services of {app.name}"))
    for name in wanted:
        unit.set("Unit", "Wants", name)
    unit.set("Install", "WantedBy", "multi-user.target")
    return unit.text()


def _end_unit(app: App) -> str:
    """Return the unit that stops everything after the end of a critical service: its start ends the target."""
    unit = Unit("Started by OnFailure= of the services that all others need")
    unit.set("Unit", "Description", literal(f"Stop of {app.name} after a failure"))
    unit.set("Unit", "Conflicts", target_of(app))
    unit.set("Service", "Type", "oneshot")
    unit.set("Service", "ExecStart", "/bin/true")
    return unit.text()


def _note_differences(app: App, notes: Notes) -> None:
    """Add the notes that hold for all services alike."""
    specs = app.specs
    if any(spec.env is None for spec in specs):
        notes.changed("", "env", "systemd passes few variables on: those of your shell are not there")
    if any(spec.user is None for spec in specs):
        notes.changed("", "user", _AS_ROOT)
    if any(spec.extra_env or spec.env for spec in specs):
        notes.changed("", "extra_env", _READABLE)
    if any(spec.restart.when in ("on-failure", "on-abnormal") for spec in specs):
        notes.changed("", "restart", _CLEAN_SIGNALS)
    if any(each.hard and each.on_end == "ignore" for spec in specs for each in spec.after):
        notes.changed("", "after", _REQUIRES)
