"""Health checks of compose: ``ready`` and ``alive``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioverseer.config.convert.references import References
from aioverseer.config.convert.table_keys import TableKeys, texts
from aioverseer.config.convert.truth import truth
from aioverseer.config.convert.units import go_duration, number, plain

__all__ = ["add_health"]

_INTERVAL, _TIMEOUT, _RETRIES = 30.0, 30.0, 3.0
"""Values of Docker without these keys."""
_KEYS = ("test", "interval", "timeout", "retries", "start_period", "start_interval", "disable")


def add_health(service: TableKeys, options: dict[str, Any], references: References, owner: str) -> None:
    """Add ``ready`` and ``alive`` to the options of a service.

    Args:
        service: Keys of the service.
        options: Options of the service.
        references: Translation of variables.
        owner: Our name of the service.
    """
    check = service.table("healthcheck")
    if check is None:
        return
    command = _command(check, references)
    disabled = truth(check.get("disable")) is True
    if command is None or disabled:
        check.carried("disable", "nothing, as there is no probe")
        reason = "the check is turned off" if disabled else "there is no command to ask"
        check.close(dict.fromkeys(_KEYS, reason))
        return
    interval = _read(check, "interval", references, go_duration, _INTERVAL)
    timeout = _read(check, "timeout", references, go_duration, _TIMEOUT)
    retries = int(max(1, _read(check, "retries", references, number, _RETRIES)))
    grace = _read(check, "start_period", references, go_duration, 0)
    probe = {"command": command}
    options["ready"] = probe
    options["ready_timeout"] = plain(grace + interval * retries) or None
    if options["ready_timeout"] is None:
        del options["ready_timeout"]
    alive: dict[str, Any] = {"probe": probe, "every": plain(interval) or 1, "timeout": plain(timeout) or 1}
    options["alive"] = {**alive, "failures": retries, "action": "mark"}
    check.carried("test", f"{owner}.ready.command and {owner}.alive.probe")
    check.changed("interval", f"{owner}.alive.every, once the service is ready")
    check.carried("timeout", f"{owner}.alive.timeout")
    check.changed("retries", f"{owner}.alive.failures, and a part of {owner}.ready_timeout, after which it is stopped")
    check.changed("start_period", f"a part of {owner}.ready_timeout; the first attempt comes at once")
    check.carried("disable", "nothing, as it is false")
    check.close({"start_interval": "attempts come often until the service is ready"}, _KEYS)


def _command(check: TableKeys, references: References) -> list[str] | None:
    test = check.get("test")
    if isinstance(test, str):
        return ["sh", "-c", references.translated(test)] if test.strip() else None
    words = texts(test) or []
    match words:
        case ["CMD", _, *_]:
            return [references.translated(word) for word in words[1:]]
        case ["CMD-SHELL", line, *_]:
            return ["sh", "-c", references.translated(line)]
        case _:
            return None


def _read(
    check: TableKeys, key: str, references: References, parse: Callable[[str], float | None], default: float
) -> float:
    text = check.get(key)
    if not isinstance(text, str):
        return default
    shown = references.default(text)
    value = parse(shown)
    if value is None:
        check.lost(key, f"is not understood, so {plain(default)} is taken")
        return default
    if shown != text:
        check.changed(key, "the default of its variable is taken")
    return value
