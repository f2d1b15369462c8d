"""All manifests of a file."""

from __future__ import annotations

import re
from typing import Any

from aioverseer.config.convert.conversion import Notes
from aioverseer.config.export.app import App
from aioverseer.config.export.containers import note_addresses, note_containers, note_program, unique_names
from aioverseer.config.export.given import Given
from aioverseer.config.export.kubernetes.draft import WorkloadDraft, values_of
from aioverseer.config.export.kubernetes.workloads import workload_of
from aioverseer.config.export.yaml_text import yaml_documents

__all__ = ["REASONS_OF_OVERSEER", "manifests"]

REASONS_OF_OVERSEER: dict[str, str] = {
    "groups": "each pod restarts alone; containers of one pod share its fate",
    "hooks": "events are objects of the cluster: kubectl get events --watch",
    "control": "kubectl is the control of a cluster",
    "log": "the cluster keeps the output: kubectl logs",
    "shutdown_timeout": "each pod has its own terminationGracePeriodSeconds",
    "restart_rate": "each container waits longer after each failure",
    "containment": "each service is a container",
    "notify_systemd": "no unit of systemd is there to be notified",
}
"""Advice about the parts of a file that belong to the overseer."""

_LONGEST = 52
"""Characters of the longest name of a CronJob, which adds eleven for its jobs."""


def manifests(app: App, notes: Notes) -> dict[str, str]:
    """Return one file with all manifests.

    Args:
        app: The services.
        notes: Notes about everything that Kubernetes cannot do.
    """
    note_containers(app, notes)
    notes.changed(
        "",
        "restart",
        "a Deployment starts a container again after each end, without a limit, and with delays from 10 s to 5 min",
    )
    notes.changed(
        "",
        "stop",
        "the program is the first process of its container, and ignores SIGTERM unless it handles it: put an init such "
        "as tini into the image",
    )
    names = unique_names((spec.id for spec in app.specs), r"[^a-z0-9-]+", notes, longest=_LONGEST)
    documents: list[dict[str, Any]] = []
    for spec in app.specs:
        given = Given(spec, notes, values_of(spec))
        note_addresses(app, given, names)
        note_program(given)
        documents += workload_of(WorkloadDraft.of(app, given, names))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", app.name)
    return {f"{name}.yaml": yaml_documents(documents, comment=f"Made from {app.path} by: aioverseer export kubernetes")}
