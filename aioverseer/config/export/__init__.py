"""Exporters for those who outgrow one machine: units of systemd, compose and Kubernetes, and what these cannot do.

An exporter takes a ``Config`` and returns texts by the names of files. It writes no file.
"""

from __future__ import annotations

from collections.abc import Sequence

from aioverseer import SpecError
from aioverseer.config.convert.conversion import Note, Notes
from aioverseer.config.export import compose
from aioverseer.config.export.app import App, note_overseer
from aioverseer.config.export.kubernetes import manifests
from aioverseer.config.export.result import Export
from aioverseer.config.export.systemd import units
from aioverseer.config.export.systemd.up import up_unit
from aioverseer.config.loaded import Config
from aioverseer.core.export import exported_from

__all__ = ["KINDS", "Export", "Note", "export"]

KINDS: dict[str, str] = {
    "systemd": "units of systemd: a service for each program, with its sockets and timers, and a target for all",
    "systemd-up": "one unit of systemd that runs aioverseer up",
    "compose": "compose.yaml, with a container for each service",
    "kubernetes": "manifests of Kubernetes",
}
"""Each target, with what it gets."""


@exported_from("aioverseer.config.export")
def export(config: Config, kind: str, *, arguments: Sequence[str] = ()) -> Export:
    """Return the files of another supervisor that run the services of a file.

    Args:
        config: The file, as ``load`` returns it.
        kind: The target, one of ``KINDS``.
        arguments: For ``systemd-up``, further words of ``aioverseer up``, for example ``["--profile", "prod"]``.

    Raises:
        SpecError: If the kind is unknown, or the file holds no service.
        ModuleNotFoundError: If PyYAML is missing for a YAML file; it names the extra.
    """
    if kind not in KINDS:
        raise SpecError(f"kind={kind!r} is unknown: there are {', '.join(KINDS)}", option="kind", value=kind)
    app, notes = App.of(config), Notes()
    if not app.specs:
        raise SpecError(f"{app.path}: there is no service in it to export", option="services")
    if kind == "systemd-up":
        timeout = config.overseer_options.shutdown_timeout
        files = up_unit(app, notes, shutdown_timeout=timeout, arguments=arguments)
        return Export(files=files, notes=tuple(notes.made))
    make, reasons = {
        "systemd": (units.systemd_units, units.REASONS_OF_OVERSEER),
        "compose": (compose.compose_file, compose.REASONS_OF_OVERSEER),
        "kubernetes": (manifests.manifests, manifests.REASONS_OF_OVERSEER),
    }[kind]
    files = make(app, notes)
    note_overseer(config, notes, reasons)
    return Export(files=files, notes=tuple(dict.fromkeys(notes.made)))
