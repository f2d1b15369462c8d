"""Readiness and liveness as the cluster asks for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aioverseer.config.export.conditions import condition_of
from aioverseer.config.export.kubernetes.draft import WorkloadDraft
from aioverseer.config.export.placeholders import fill

__all__ = ["probes_of"]

_PERIOD = 1
"""Seconds between two questions whether a program is ready."""


def probes_of(m: WorkloadDraft, *, is_job: bool) -> dict[str, Any]:
    """Return the probes of a container. Nobody asks a container that runs to its end."""
    given, spec = m.given, m.spec
    ready, alive, timeout = given.take("ready"), given.take("alive"), given.take("ready_timeout")
    data: dict[str, Any] = {}
    if is_job:
        for name, probe in (("ready", ready), ("alive", alive)):
            if probe is not None:
                given.lost(name, "nobody asks a Job")
        return {}
    del timeout
    if ready is not None and (action := _action(m, "ready", ready)):
        if spec.ready_timeout is None:
            data["readinessProbe"] = {**action, "periodSeconds": _PERIOD}
        else:
            failures = max(1, math.ceil(spec.ready_timeout / _PERIOD))
            data["startupProbe"] = {**action, "periodSeconds": _PERIOD, "failureThreshold": failures}
    rules = spec.alive
    if rules is not None and alive is not None and (action := _action(m, "alive", alive["probe"])):
        probe = {
            **action,
            "periodSeconds": max(1, math.ceil(rules.every)),
            "timeoutSeconds": max(1, math.ceil(rules.timeout)),
            "failureThreshold": rules.failures,
        }
        if rules.grace:
            probe["initialDelaySeconds"] = math.ceil(rules.grace)
        if rules.action == "mark":
            data["readinessProbe"] = {**probe, "successThreshold": rules.successes}
        else:
            data["livenessProbe"] = probe
            if rules.successes > 1:
                given.lost("alive", "one success is enough to be alive again")
        if rules.stop is not None:
            given.lost("alive", "a container that is not alive gets SIGTERM and SIGKILL")
    return data


def _action(m: WorkloadDraft, option: str, probe: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the cluster asks a probe; empty if it cannot."""
    given = m.given
    match probe:
        case {"tcp": port, **rest} if not rest.keys() - {"owner"}:
            given.changed(option, "asked from outside: the program must listen on all addresses")
            return {"tcpSocket": {"port": int(fill(str(port), given.values))}}
        case {"http": url, **rest} if not rest.keys() - {"owner"}:
            parts = urlsplit(fill(url, given.values))
            given.changed(option, "asked from outside: the program must listen on all addresses")
            path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
            port = parts.port or (443 if parts.scheme == "https" else 80)
            scheme = {"scheme": "HTTPS"} if parts.scheme == "https" else {}
            return {"httpGet": {"path": path, "port": port, **scheme}}
        case {"command": words, **rest} if not rest:
            return {"exec": {"command": [m.text(word) for word in words]}}
        case _:
            pass
    condition = condition_of(probe)
    if missing := sorted(condition.missing):
        given.lost(option, f"the cluster cannot ask it ({', '.join(missing)})")
    if not condition.script:
        return {}
    tools = "".join(f" and {tool}" for tool in sorted(condition.tools))
    given.changed(option, f"asked in the container; the image needs bash{tools}")
    return {"exec": {"command": ["bash", "-c", m.text(condition.script)]}}
