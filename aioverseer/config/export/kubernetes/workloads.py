"""The objects of a service: a Deployment, StatefulSet, Job or CronJob, and a Service for its ports."""

from __future__ import annotations

import math
import signal as signals
from typing import Any

from aioverseer import Cron, Every
from aioverseer.config.export.calendar import five_fields
from aioverseer.config.export.containers import judges_codes, listening_ports, texts_of
from aioverseer.config.export.kubernetes.draft import WorkloadDraft
from aioverseer.config.export.kubernetes.pod import pod_template
from aioverseer.config.export.placeholders import uses

__all__ = ["workload_of"]

_REASONS: dict[str, str] = {
    "containment": "a container is contained",
    "critical": "pods end one by one",
    "on_give_up": "a Deployment never gives up",
    "significant": "it belongs to a group",
    "cleanup": "nothing comes after the end of a container",
    "reload": "send the signal by kubectl exec",
    "recycle": "a limit of memory kills the container; kubectl rollout restart replaces all",
    "delay_start": "put sleep before the command",
    "umask": "set it in the command: sh -c 'umask 022; exec ...'",
    "nice": "put nice before the command",
    "io_class": "a pod has no priority on disks",
    "rlimits": "the nodes set the limits",
    "on_demand": "a pod runs from its start on",
    "cpus": "the static policy of the CPU manager pins containers to processors",
    "oom_score_adj": "the cluster computes it from requests and limits",
    "pids_max": "the kubelet has a limit for all pods: podPidsLimit",
    "main_pid": "the first process is the main one: let it stay in the foreground",
    "leftovers": "the container ends with its first process",
    "watch": "a new image is a new rollout",
    "stdin": "the null device takes its place",
    "log": "the cluster keeps the output: kubectl logs",
    "output": "the cluster keeps all output",
    "stdout": "the cluster keeps all output",
    "stderr": "the cluster keeps all output",
    "max_runtime": "put timeout(1) before the command",
    "streaming": "the cluster reads the output",
}

_DAY = 86400
_HOUR = 3600
_MINUTE = 60
_NO_LIMIT = 2**31 - 1


def workload_of(m: WorkloadDraft) -> list[dict[str, Any]]:
    """Return the workload, and the Service of its ports."""
    given, spec = m.given, m.spec
    is_numbered = bool(uses(text for _, text in texts_of(spec)) & {"index", "id"}) and spec.instances is not None
    given.take("instances")
    ports = _ports(m)
    if spec.schedule is not None:
        workload = _cron_job(m)
    elif m.app.runs_to_its_end(spec) or spec.restart.when == "never":
        workload = _job(m)
    elif is_numbered:
        workload = _stateful_set(m)
    else:
        workload = _deployment(m)
    given.finish(_REASONS)
    needs_service = ports or workload["kind"] == "StatefulSet"
    return [workload, *([_service(m, ports)] if needs_service else [])]


def _object(m: WorkloadDraft, api: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": m.name, "labels": dict(m.labels)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def _deployment(m: WorkloadDraft) -> dict[str, Any]:
    given, spec = m.given, m.spec
    data: dict[str, Any] = {
        "replicas": 1 if spec.instances is None else spec.instances,
        "selector": {"matchLabels": m.selector},
    }
    roll = spec.roll
    given.take("roll")
    if spec.instances is None:
        data["strategy"] = {"type": "Recreate"}  # two of a lone service at once could be one too many
    else:
        data["strategy"] = {
            "type": "RollingUpdate",
            "rollingUpdate": {
                "maxSurge": roll.surge if roll else 1,
                "maxUnavailable": roll.unavailable if roll else 0,
            },
        }
        if roll and roll.min_ready:
            data["minReadySeconds"] = math.ceil(roll.min_ready)
        if roll and roll.deadline is not None:
            data["progressDeadlineSeconds"] = max(math.ceil(roll.deadline), data.get("minReadySeconds", 0) + 1)
        if roll and roll.on_failure == "rollback":
            given.changed("roll", "nothing rolls back by itself: kubectl rollout undo")
    data["template"] = pod_template(m, "Always")
    _restarts(m)
    return _object(m, "apps/v1", "Deployment", data)


def _stateful_set(m: WorkloadDraft) -> dict[str, Any]:
    given, spec = m.given, m.spec
    if given.take("roll") is not None:
        given.changed("roll", "a StatefulSet replaces one pod after the other, and starts no more than it has")
    data = {
        "replicas": spec.instances,
        "serviceName": m.name,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": m.selector},
        "template": pod_template(m, "Always"),
    }
    _restarts(m)
    return _object(m, "apps/v1", "StatefulSet", data)


def _job(m: WorkloadDraft) -> dict[str, Any]:
    return _object(m, "batch/v1", "Job", _job_spec(m))


def _cron_job(m: WorkloadDraft) -> dict[str, Any]:
    given, schedule = m.given, m.spec.schedule
    given.take("schedule")
    policy = {"skip": "Forbid", "queue": "Forbid", "replace": "Replace"}[schedule.overlap if schedule else "skip"]
    data: dict[str, Any] = {"schedule": "", "concurrencyPolicy": policy}
    if schedule is not None and schedule.overlap == "queue":
        given.changed("schedule", 'overlap="queue": a time that comes while a run is under way is left out')
    if isinstance(schedule, Cron):
        fields = five_fields(schedule)
        if fields is None:
            fields = schedule.expression
            given.changed("schedule", "one of the two days is enough there")
        data["schedule"] = fields
        if schedule.timezone is not None:
            data["timeZone"] = schedule.timezone
        data["startingDeadlineSeconds"] = max(math.ceil(schedule.within), 10)
        if schedule.stamp is not None:
            given.changed("schedule", "the cluster keeps the time of the last run; no stamp is written")
    elif isinstance(schedule, Every):
        data["schedule"] = _every(m, schedule)
    if isinstance(schedule, Cron | Every) and schedule.jitter:
        given.lost("schedule", "jitter: put a sleep before the command")
    data["jobTemplate"] = {"spec": _job_spec(m)}
    return _object(m, "batch/v1", "CronJob", data)


def _every(m: WorkloadDraft, schedule: Every) -> str:
    """Return the expression that comes closest to a period."""
    m.given.changed("schedule", "a period goes by the clock, in whole minutes: times of the calendar take its place")
    minutes = max(1, round(schedule.period / _MINUTE))
    if minutes < _HOUR // _MINUTE:
        return f"*/{minutes} * * * *"
    hours = max(1, round(schedule.period / _HOUR))
    return f"0 */{hours} * * *" if hours < _DAY // _HOUR else f"0 0 */{min(31, round(hours / 24))} * *"


def _job_spec(m: WorkloadDraft) -> dict[str, Any]:
    given, restart = m.given, m.spec.restart
    given.take("restart")
    limit = 0 if restart.when == "never" else restart.max_restarts
    data: dict[str, Any] = {"backoffLimit": _NO_LIMIT if limit is None else limit}
    if m.spec.instances is not None:
        data |= {"completions": m.spec.instances, "parallelism": m.spec.instances}
    if (runtime := given.take("max_runtime")) is not None:
        data["activeDeadlineSeconds"] = math.ceil(runtime)
    # A pod that was asked to stop, by a drain or an eviction, is no failed try: SIGTERM ends many programs with 143.
    rules: list[dict[str, Any]] = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [128 + signals.SIGTERM]}},
    ]
    if codes := sorted(restart.prevent_codes - {0, 128 + signals.SIGTERM}):
        rules.append({"action": "FailJob", "onExitCodes": {"operator": "In", "values": codes}})
    data["podFailurePolicy"] = {"rules": rules}
    if restart.success_codes != frozenset({0}) or restart.success_signals or restart.force_codes:
        given.lost("restart", "exit code 0 alone is a success of a Job")
    if given.take("roll") is not None:
        given.lost("roll", "a Job is not replaced while it runs")
    data["template"] = pod_template(m, "Never")
    return data


def _restarts(m: WorkloadDraft) -> None:
    given, restart = m.given, m.spec.restart
    given.take("restart")
    if judges_codes(restart):
        given.lost("restart", "all exit codes are alike")


def _ports(m: WorkloadDraft) -> list[int]:
    given = m.given
    if given.take("listen"):
        given.lost("listen", "a pod gets no sockets: the program must listen itself, on all addresses")
    if given.take("port") is not None:
        given.changed("port", f"each pod has its ports for itself, so {{port}} is {m.given.values['port']} in all")
    return listening_ports(m.spec)


def _service(m: WorkloadDraft, ports: list[int]) -> dict[str, Any]:
    data: dict[str, Any] = {"selector": m.selector}
    if ports:
        data["ports"] = [{"name": f"tcp-{port}", "port": port, "targetPort": port} for port in ports]
    else:
        data["clusterIP"] = "None"
    return _object(m, "v1", "Service", data)
