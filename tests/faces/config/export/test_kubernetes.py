"""Manifests of Kubernetes: their fields, and the schemas of the cluster."""

from __future__ import annotations

import importlib
import signal
from importlib.util import find_spec
from typing import Any

import pytest

from aioverseer import Alive, Cron, Every, Restart, Roll, Spec, Stop, listen, ready
from tests.support.exports import documents, exported, said

CHECKER: Any = importlib.import_module("kubernetes_validate") if find_spec("kubernetes_validate") else None


def objects(*specs: Spec) -> dict[str, Any]:
    """Return the objects by kind and name; each of them fits its schema."""
    found = documents(exported("kubernetes", *specs))
    if CHECKER is not None:
        for each in found:
            CHECKER.validate(each, "1.33", strict=True)
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def container(**options: Any) -> dict[str, Any]:
    """Return the container of one Spec."""
    (workload, *_) = objects(Spec.of("web", ["web"], **options)).values()
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.skipif(CHECKER is None, reason="kubernetes-validate is not installed")
def test_the_checker_finds_errors() -> None:
    (workload,) = documents(exported("kubernetes", Spec.of("web", ["web"])))
    workload["spec"]["replicaz"] = 2
    with pytest.raises(CHECKER.ValidationError):
        CHECKER.validate(workload, "1.33", strict=True)


def test_a_service_as_a_whole() -> None:
    spec = Spec.of(
        "web",
        ["python", "serve.py", "$(date) costs $5"],
        extra_env={"N": "1"},
        instances=3,
        roll=Roll(surge="25%", unavailable=1, min_ready=2.5, deadline=60),
        ready=ready.http("http://127.0.0.1:8000/health?full=1"),
        alive=Alive(ready.tcp(8000), every=7.5, grace=3),
        stop=Stop(signal.SIGTERM, 20),
        memory_max=1 << 30,
        cpu_max=0.5,
        group="front",
    )
    labels = {"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop", "aioverseer/group": "front"}
    selector = {"app.kubernetes.io/name": "web"}
    assert objects(spec) == {
        "Deployment/web": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "labels": labels},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": selector},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
                "minReadySeconds": 3,
                "progressDeadlineSeconds": 60,
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "terminationGracePeriodSeconds": 20,
                        "containers": [
                            {
                                "name": "web",
                                "image": "shop:latest",
                                "command": ["python", "serve.py", "$$(date) costs $5"],
                                "workingDir": "/app",
                                "env": [{"name": "N", "value": "1"}],
                                "ports": [{"containerPort": 8000}],
                                "resources": {"limits": {"memory": "1073741824", "cpu": "500m"}},
                                "startupProbe": {
                                    "httpGet": {"path": "/health?full=1", "port": 8000},
                                    "periodSeconds": 1,
                                    "failureThreshold": 30,
                                },
                                "livenessProbe": {
                                    "tcpSocket": {"port": 8000},
                                    "periodSeconds": 8,
                                    "timeoutSeconds": 3,
                                    "failureThreshold": 3,
                                    "initialDelaySeconds": 3,
                                },
                            }
                        ],
                    },
                },
            },
        },
        "Service/web": {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "labels": labels},
            "spec": {"selector": selector, "ports": [{"name": "tcp-8000", "port": 8000, "targetPort": 8000}]},
        },
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"ready": ready.command("ok")},
            {"startupProbe": {"exec": {"command": ["ok"]}, "periodSeconds": 1, "failureThreshold": 30}},
        ),
        (
            {"ready": ready.file("/a") & ready.file("/b"), "ready_timeout": None},
            {
                "readinessProbe": {
                    "exec": {"command": ["bash", "-c", "{ test -e /a; } && { test -e /b; }"]},
                    "periodSeconds": 1,
                }
            },
        ),
        (
            {"alive": Alive(ready.http("https://localhost/"), action="mark", successes=2)},
            {
                "readinessProbe": {
                    "httpGet": {"path": "/", "port": 443, "scheme": "HTTPS"},
                    "periodSeconds": 10,
                    "timeoutSeconds": 3,
                    "failureThreshold": 3,
                    "successThreshold": 2,
                }
            },
        ),
        (
            {"user": "1000:1001", "no_new_privileges": True, "ambient_capabilities": ["net_bind_service"]},
            {
                "securityContext": {
                    "runAsUser": 1000,
                    "runAsGroup": 1001,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"add": ["NET_BIND_SERVICE"]},
                }
            },
        ),
        (
            {"stop": Stop(signal.SIGINT, 5)},
            {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "kill -2 1; sleep 5"]}}}},
        ),
        (
            {"stop": Stop(steps=[Stop.command(["bye", "{pid}"], 5)])},
            {"lifecycle": {"preStop": {"exec": {"command": ["bye", "1"]}}}},
        ),
        ({"pty": True}, {"tty": True, "stdin": True}),
        ({"port": range(9000, 9005)}, {"ports": [{"containerPort": 9000}]}),
        ({"listen": {"http": listen.tcp(8000)}}, {"ports": [{"containerPort": 8000}]}),
    ],
)
def test_options_become_fields(options: dict[str, Any], expected: dict[str, Any]) -> None:
    found = container(**options)
    assert {key: found.get(key) for key in expected} == expected


def test_a_lone_service_is_never_there_twice() -> None:
    (workload,) = objects(Spec.of("web", ["web"])).values()
    assert workload["spec"]["strategy"] == {"type": "Recreate"}


def test_numbered_instances_are_a_stateful_set() -> None:
    found = objects(Spec.of("web", ["web", "--id={id}", "$(x)"], instances=2, extra_env={"I": "{index}"}))
    assert list(found) == ["StatefulSet/web", "Service/web"]
    (one,) = found["StatefulSet/web"]["spec"]["template"]["spec"]["containers"]
    assert one["command"] == ["web", "--id=web.$(POD_INDEX)", "$$(x)"]
    assert [each["name"] for each in one["env"]] == ["POD_INDEX", "I"]
    assert found["Service/web"]["spec"]["clusterIP"] == "None"


def test_a_task_is_a_job_that_a_stop_does_not_fail() -> None:
    found = objects(
        Spec.of("db", ["db"], ready=ready.tcp(5432)),
        Spec.of("migrate", ["migrate"], after="db", max_runtime=90, restart=Restart(max_restarts=2, prevent_codes={7})),
        Spec.of("web", ["web"], after={"migrate": "success"}),
    )
    job = found["Job/migrate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (2, 90)
    assert [
        (rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in job["podFailurePolicy"]["rules"]
    ] == [
        ("Ignore", None),
        ("Ignore", [143]),
        ("FailJob", [7]),
    ]
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert [each["command"][-1] for each in pod["initContainers"]] == [
        "until (: </dev/tcp/db/5432) 2>/dev/null; do sleep 1; done"
    ]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (
            Cron("@weekly", timezone="Europe/Berlin", overlap="replace", within=60),
            {
                "schedule": "0 0 * * 0",
                "timeZone": "Europe/Berlin",
                "concurrencyPolicy": "Replace",
                "startingDeadlineSeconds": 60,
            },
        ),
        (Cron("*/20 9-17 1 jan,mar-may 7"), {"schedule": "0,20,40 9-17 1 1,3-5 0", "concurrencyPolicy": "Forbid"}),
        (Cron("0 0 1-31 * mon"), {"schedule": "0 0 * * *"}),
        (Every(300), {"schedule": "*/5 * * * *"}),
        (Every(7200), {"schedule": "0 */2 * * *"}),
        (Every(86400), {"schedule": "0 0 */1 * *"}),
    ],
)
def test_schedules_become_cron_jobs(schedule: Cron | Every, expected: dict[str, Any]) -> None:
    spec = objects(Spec.of("job", ["job"], schedule=schedule))["CronJob/job"]["spec"]
    assert {key: spec.get(key) for key in expected} == expected


def test_days_that_must_both_match_are_told() -> None:
    export = exported("kubernetes", Spec.of("job", ["job"], schedule=Cron("0 0 */2 * mon")))
    assert said(export, "schedule") == [("changed", "one of the two days is enough there")]


def test_preparation_comes_first() -> None:
    (workload,) = objects(Spec.of("web", ["web"], prepare=["initdb", "$(x)"])).values()
    (first,) = workload["spec"]["template"]["spec"]["initContainers"]
    assert (first["name"], first["command"]) == ("prepare", ["initdb", "$$(x)"])


def test_names_are_those_of_a_cluster() -> None:
    long = "x" * 60
    found = objects(
        Spec.of("Web_1", ["a"]),
        Spec.of("web-1", ["b"]),
        Spec.of("1st", ["c"]),
        Spec.of(long, ["d"]),
        Spec.of(f"{long}y", ["e"]),
    )
    assert list(found) == [
        "Deployment/web-1",
        "Deployment/web-1-2",
        "Deployment/service-1st",
        f"Deployment/{'x' * 52}",
        f"Deployment/{'x' * 50}-2",
    ]


def test_names_of_users_are_told() -> None:
    export = exported("kubernetes", Spec.of("web", ["web"], user="www:33", extra_groups=["video"]))
    assert [what for what, _ in said(export, "user") + said(export, "extra_groups")] == ["lost", "lost"]
