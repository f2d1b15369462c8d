"""Names of the units of a service."""

from __future__ import annotations

from aioverseer import Spec
from aioverseer.config.export.app import App
from aioverseer.config.export.placeholders import uses
from aioverseer.config.export.systemd.unit_text import INSTANCE, escape_name

__all__ = ["FIRST_PORT", "end_unit_of", "forms_of", "target_of", "unit_name", "units_of"]

FIRST_PORT = 8000
"""Value of ``{port}`` for the first instance, where no range is given."""
_FIRST_DESCRIPTOR = 3


def target_of(app: App) -> str:
    """Return the target of all services."""
    return f"{escape_name(app.name)}.target"


def end_unit_of(app: App) -> str:
    """Return the unit that stops everything."""
    return f"{escape_name(app.name)}.end.service"


def unit_name(app: App, spec: Spec) -> str:
    """Return the name of the units of a service, without their endings."""
    return f"{escape_name(app.name)}-{escape_name(spec.id)}"


def forms_of(app: App, spec: Spec) -> list[tuple[str, dict[str, str], list[str]]]:
    """Return the service files of a Spec: name, values of placeholders, and the units that it gives.

    Instances are a template. With ``{port}`` each has a file, as a template cannot compute a port.
    """
    name = unit_name(app, spec)
    sockets = {f"fd.{each}": str(number) for number, each in enumerate(spec.listen, _FIRST_DESCRIPTOR)}
    first = spec.port[0] if spec.port else FIRST_PORT
    if spec.instances is None:
        is_template = spec.port is not None or spec.listen
        own = {"id": spec.id, "index": "0", "port": str(first), **sockets}
        return [(name, own if is_template else {}, [f"{name}.service"])]
    if "port" not in uses(_texts_of(spec)):
        values = {"id": f"{spec.id}.{INSTANCE}", "index": INSTANCE, **sockets}
        return [(f"{name}@", values, [f"{name}@{number}.service" for number in range(spec.instances)])]
    return [
        (
            f"{name}-{number}",
            {"id": f"{spec.id}.{number}", "index": str(number), "port": str(first + number), **sockets},
            [f"{name}-{number}.service"],
        )
        for number in range(spec.instances)
    ]


def units_of(app: App, id: str) -> list[str]:
    """Return the units of the service, the set of instances, or the one instance of this name."""
    for spec in app.specs:
        units = [unit for _, _, units in forms_of(app, spec) for unit in units]
        if spec.id == id:
            return units
        if spec.instances is not None:
            for number, unit in enumerate(units):
                if f"{spec.id}.{number}" == id:
                    return [unit]
    return []


def _texts_of(spec: Spec) -> list[str]:
    return [*spec.argv, *spec.extra_env.values(), spec.cwd or "", repr(spec.to_dict().get("ready", ""))]
