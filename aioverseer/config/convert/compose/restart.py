"""Restart policies and rolls of compose."""

from __future__ import annotations

from typing import Any

from aioverseer.config.convert.references import References
from aioverseer.config.convert.restarts import NO_LIMIT
from aioverseer.config.convert.table_keys import TableKeys
from aioverseer.config.convert.units import go_duration, number, plain

__all__ = ["restart_of", "roll_of"]

_WORDS = {"no": "never", "always": "always", "unless-stopped": "always", "on-failure": "on-failure"}
_POLICIES = {"none": "never", "any": "always", "on-failure": "on-failure"}
_BACKOFF = {"min": 0.1, "max": 60}
"""Delays of Docker: from 100 ms on, twice as long each time, a minute at most."""
_POLICY_DELAY = 5.0
_FAILURES = {"continue": "continue", "pause": "pause", "rollback": "rollback"}


def restart_of(service: TableKeys, deploy: TableKeys | None, references: References, owner: str) -> Any:
    """Return ``restart`` of a service.

    Args:
        service: Keys of the service.
        deploy: Its keys below ``deploy``; None without them.
        references: Translation of variables.
        owner: Our name of the service.
    """
    policy = None if deploy is None else deploy.table("restart_policy")
    if policy is not None:
        service.lost("restart", "deploy.restart_policy comes before it")
        return _policy(policy, f"{owner}.restart")
    given = service.get("restart")
    if not isinstance(given, str):
        return "never"
    text = references.default(given)
    word, _colon, most = text.partition(":")
    if word not in _WORDS:
        service.lost("restart", f"is unknown, so never is taken: there are {', '.join(_WORDS)}")
        return "never"
    if text != given:
        service.changed("restart", f"{owner}.restart, with the default of its variable")
    service.carried("restart", f"{owner}.restart")
    if word == "no":
        return "never"
    limit = {"max_restarts": int(most), "within": NO_LIMIT} if most.isdecimal() else {"max_restarts": NO_LIMIT}
    return {"when": _WORDS[word], **limit, "backoff": dict(_BACKOFF)}


def _policy(policy: TableKeys, owner: str) -> Any:
    word = str(policy.get("condition") or "any")
    if word not in _POLICIES:
        policy.lost("condition", f"is unknown, so any is taken: there are {', '.join(_POLICIES)}")
    when = _POLICIES.get(word, "always")
    delay = go_duration(str(policy.get("delay") or f"{_POLICY_DELAY}s"))
    window = go_duration(str(policy.get("window") or ""))
    most = number(str(policy.get("max_attempts") or ""))
    for key, value in (("delay", delay), ("window", window), ("max_attempts", most)):
        if value is None and key in policy:
            policy.lost(key, "is not understood, so it is left out")
    policy.carried("condition", f"{owner}.when")
    policy.carried("delay", f"{owner}.backoff")
    policy.carried("max_attempts", f"{owner}.max_restarts")
    policy.changed("window", f"{owner}.within, the time in which restarts are counted")
    policy.close({})
    if when == "never":
        return "never"
    pause = plain(_POLICY_DELAY if delay is None else delay)
    limit: dict[str, Any] = {"max_restarts": NO_LIMIT if most is None else int(most)}
    if most is not None:
        limit["within"] = window or NO_LIMIT
    return {"when": when, **limit, "backoff": {"min": pause, "max": pause}}


def roll_of(update: TableKeys, owner: str) -> dict[str, Any]:
    """Return ``roll`` of a service.

    Args:
        update: Its keys below ``deploy.update_config``.
        owner: Our name of the service.
    """
    many = int(number(str(update.get("parallelism") or "")) or 1)
    first = update.get("order") == "start-first"
    made: dict[str, Any] = {"surge": many, "unavailable": 0} if first else {"surge": 0, "unavailable": many}
    seconds = go_duration(str(update.get("monitor") or ""))
    if seconds:
        made["min_ready"] = seconds
        update.carried("monitor", f"{owner}.roll.min_ready")
    action = str(update.get("failure_action") or "pause")
    made["on_failure"] = _FAILURES.get(action, "pause")
    update.carried("parallelism", f"{owner}.roll.{'surge' if first else 'unavailable'}")
    update.carried("order", f"{owner}.roll")
    update.carried("failure_action", f"{owner}.roll.on_failure")
    lost = {
        "delay": "the next instance follows when the one before it has been ready for min_ready",
        "monitor": "is no duration",
        "max_failure_ratio": "one failure ends a roll, by on_failure",
    }
    update.close(lost, ("parallelism", "order", "failure_action"))
    return made
