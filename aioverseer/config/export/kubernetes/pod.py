"""The pod of a service: its container, and what comes before it."""

from __future__ import annotations

import math
import signal as signals
from collections.abc import Mapping
from typing import Any

from aioverseer import RunCommand, Step
from aioverseer.config.export.containers import folder_in_image, image_name, listening_ports
from aioverseer.config.export.kubernetes.draft import INDEX, WorkloadDraft
from aioverseer.config.export.kubernetes.probes import probes_of
from aioverseer.config.export.placeholders import fill, uses

__all__ = ["pod_template"]


def pod_template(m: WorkloadDraft, restart: str) -> dict[str, Any]:
    """Return the template of the pods.

    Args:
        m: The service.
        restart: ``"Always"`` for a program that lives on, ``"Never"`` for one that runs to its end.
    """
    given, spec = m.given, m.spec
    container = _container(m, is_job=restart == "Never")
    pod: dict[str, Any] = {"restartPolicy": restart}
    if restart == "Always":
        del pod["restartPolicy"]  # the default, and the only one of a Deployment
    given.take("stop")
    asked = spec.stop.steps[:-1]
    pod["terminationGracePeriodSeconds"] = max(1, math.ceil(sum(step.timeout for step in asked) or 1))
    if context := _pod_rights(m):
        pod["securityContext"] = context
    if first := _init_containers(m, container):
        pod["initContainers"] = first
    pod["containers"] = [container]
    return {"metadata": {"labels": dict(m.labels)}, "spec": pod}


def _container(m: WorkloadDraft, *, is_job: bool) -> dict[str, Any]:
    given, spec = m.given, m.spec
    data: dict[str, Any] = {
        "name": m.name[:63].strip("-"),
        "image": image_name(m.app),
        "command": [m.text(word) for word in given.command()],
        "workingDir": fill(folder_in_image(m.app, given), given.values),
    }
    if variables := _variables(m):
        data["env"] = variables
    if ports := listening_ports(spec):
        data["ports"] = [{"containerPort": port} for port in ports]
    limits: dict[str, Any] = {}
    if (memory := given.take("memory_max")) is not None:
        limits["memory"] = str(memory)
    if (share := given.take("cpu_max")) is not None:
        limits["cpu"] = f"{math.ceil(share * 1000)}m"
    if limits:
        data["resources"] = {"limits": limits}
    if context := _container_rights(m):
        data["securityContext"] = context
    if given.take("pty"):
        data |= {"tty": True, "stdin": True}
    given.take("merge_stderr")
    data |= probes_of(m, is_job=is_job)
    data |= _lifecycle(m)
    return data


def _variables(m: WorkloadDraft) -> list[dict[str, Any]]:
    given, spec = m.given, m.spec
    variables = given.variables()
    first: list[dict[str, Any]] = []
    used = uses([*spec.argv, *variables.values()])
    if spec.instances is not None and used & {"index", "id"}:
        path = "metadata.labels['apps.kubernetes.io/pod-index']"
        first.append({"name": INDEX, "valueFrom": {"fieldRef": {"fieldPath": path}}})
    return first + [{"name": name, "value": m.text(value)} for name, value in variables.items()]


def _pod_rights(m: WorkloadDraft) -> dict[str, Any]:
    given = m.given
    groups: list[Any] = given.take("extra_groups") or []
    if names := [group for group in groups if not isinstance(group, int)]:
        given.lost("extra_groups", f"a pod has numbers of groups alone, and {', '.join(names)} is a name")
    numbers = [group for group in groups if isinstance(group, int)]
    return {"supplementalGroups": numbers} if numbers else {}


def _container_rights(m: WorkloadDraft) -> dict[str, Any]:
    given = m.given
    context: dict[str, Any] = {}
    if (user := given.take("user")) is not None:
        for key, part in zip(("runAsUser", "runAsGroup"), str(user).split(":"), strict=False):
            if part.isdecimal():
                context[key] = int(part)
            else:
                given.lost("user", f"a pod has numbers of users and groups alone, and {part!r} is a name")
    if given.take("no_new_privileges"):
        context["allowPrivilegeEscalation"] = False
    if names := given.take("ambient_capabilities"):
        context["capabilities"] = {"add": [name.upper() for name in names]}
        given.changed("ambient_capabilities", "a container that does not run as root does not keep them")
    return context


def _init_containers(m: WorkloadDraft, container: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what comes before the program: its preparation, and the wait for others."""
    given = m.given
    like = {key: container[key] for key in ("image", "workingDir", "env") if key in container}
    found: list[dict[str, Any]] = []
    given.take("after")
    for each in m.spec.after:
        other = m.app.find(each.name)
        ports = [] if other is None else listening_ports(other)
        if each.until in {"started", "ready"} and other is not None and ports:
            address = f"{m.names[other.id]}/{ports[0]}"
            script = f"until (: </dev/tcp/{address}) 2>/dev/null; do sleep 1; done"
            name = f"wait-for-{m.names[other.id]}"[:63].strip("-")
            found.append({"name": name, **like, "command": ["bash", "-c", script]})
            given.changed("after", f"waits for port {ports[0]} of {each.name!r} before the first start; it needs bash")
        else:
            given.lost("after", f"a cluster starts all at once: let the program wait for {each.name!r}")
        if each.on_restart == "restart" or each.on_end == "stop":
            given.lost("after", f"an end or a restart of {each.name!r} changes nothing")
    if words := given.words("prepare"):
        found.append({"name": "prepare", **like, "command": [m.text(word) for word in words]})
        given.changed("prepare", "it comes before the first run of a pod, not before each run")
    return found


def _lifecycle(m: WorkloadDraft) -> dict[str, Any]:
    given = m.given
    asked = m.spec.stop.steps[:-1]
    sent = [step for step in asked if isinstance(step, Step)]
    commands = [step for step in asked if isinstance(step, RunCommand)]
    words: list[str] | None = None
    if commands:
        words = [word.replace("{pid}", "1") for word in commands[0].argv]
        given.changed("stop", "the command comes before SIGTERM")
    elif sent and sent[0].signal != signals.SIGTERM:
        words = ["sh", "-c", f"kill -{int(sent[0].signal)} 1; sleep {math.ceil(sent[0].timeout)}"]
        given.changed("stop", "a cluster sends SIGTERM: the signal comes before, by a command")
    if len(asked) > len(commands) + min(1, len(sent)):
        given.changed("stop", "SIGTERM and SIGKILL are left of the ladder")
    return {"lifecycle": {"preStop": {"exec": {"command": [m.text(word) for word in words]}}}} if words else {}
