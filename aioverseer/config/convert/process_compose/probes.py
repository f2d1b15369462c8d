"""Probes of process-compose: ``ready`` and ``alive``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from shlex import quote
from typing import Any

from aioverseer.config.convert.process_compose.texts import Texts
from aioverseer.config.convert.table_keys import TableKeys
from aioverseer.config.convert.units import number, plain

__all__ = ["add_probes"]

_TIMES: Mapping[str, tuple[float, float]] = {
    "initial_delay_seconds": (0, 0),
    "period_seconds": (10, 1),
    "timeout_seconds": (1, 1),
    "failure_threshold": (3, 1),
}
"""Default and least value; a smaller one is the default."""
_CONTAINERS = re.compile(r"\b(docker|podman|nerdctl|kubectl)\b")
_SPECIAL = re.compile(r"([\\.^$*+?{}\[\]|()])")


def add_probes(process: TableKeys, options: dict[str, Any], texts: Texts, owner: str) -> None:
    """Add ``ready`` and ``alive`` to the options of a service.

    Args:
        process: Keys of the process.
        options: Options of the service; its command is among them.
        texts: Texts of the process.
        owner: Our name of the service, such as ``services.web``.
    """
    # The port of a container is held by its engine, which is no process of ours.
    strangers = any(_CONTAINERS.search(word) for word in options["command"])
    readiness, liveness = process.table("readiness_probe"), process.table("liveness_probe")
    if readiness is not None:
        _readiness(readiness, options, texts, owner, strangers=strangers)
    if liveness is not None:
        _liveness(liveness, options, texts, owner, strangers=strangers)
    line = process.get("ready_log_line")
    if isinstance(line, str) and line:
        if "ready" in options:
            process.lost("ready_log_line", "process-compose takes it or a readiness_probe, so the probe is kept")
        else:
            options["ready"] = {"line": texts.text(_SPECIAL.sub(r"\\\1", line))}
            process.carried("ready_log_line", f"{owner}.ready")


def _readiness(probe: TableKeys, options: dict[str, Any], texts: Texts, owner: str, *, strangers: bool) -> None:
    asked = _probe(probe, texts, f"{owner}.ready", strangers=strangers)
    times = _times(probe)
    if asked is None:
        _close(probe)
        return
    delay, period, timeout, failures = times
    options["ready"] = asked
    options["ready_timeout"] = plain(delay + period * failures)
    options["alive"] = {"probe": asked, "every": plain(period), "timeout": plain(timeout), "failures": int(failures)}
    probe.changed("initial_delay_seconds", f"a part of {owner}.ready_timeout; the first attempt comes at once")
    probe.changed("period_seconds", f"the time of {owner}.alive.every, once the service is ready")
    probe.carried("timeout_seconds", f"{owner}.alive.timeout")
    probe.changed("failure_threshold", f"a part of {owner}.ready_timeout, and {owner}.alive.failures after that")
    _close(probe)


def _liveness(probe: TableKeys, options: dict[str, Any], texts: Texts, owner: str, *, strangers: bool) -> None:
    asked = _probe(probe, texts, f"{owner}.alive.probe", strangers=strangers)
    delay, period, timeout, failures = _times(probe)
    if asked is not None:
        options["alive"] = {
            "probe": asked,
            "every": plain(period),
            "timeout": plain(timeout),
            "failures": int(failures),
        }
        if delay:
            options["alive"]["grace"] = plain(delay)
        probe.carried("initial_delay_seconds", f"{owner}.alive.grace")
        probe.carried("period_seconds", f"{owner}.alive.every")
        probe.carried("timeout_seconds", f"{owner}.alive.timeout")
        probe.carried("failure_threshold", f"{owner}.alive.failures")
    _close(probe)


def _close(probe: TableKeys) -> None:
    known = ("exec", "http_get", "grpc", *_TIMES)
    asked = "there is no probe for it, so it is left out"
    lost = {"success_threshold": "process-compose ignores it too", **dict.fromkeys(_TIMES, asked)}
    probe.close(lost, (*known, "success_threshold"))


def _times(probe: TableKeys) -> tuple[float, float, float, float]:
    found: list[float] = []
    for key, (default, least) in _TIMES.items():
        text = probe.get(key)
        value = number(text) if isinstance(text, str) else None
        if text is not None and value is None:
            probe.lost(key, f"is no number, so {default} is taken")
        found.append(default if value is None or value < least else value)
    return found[0], found[1], found[2], found[3]


def _probe(probe: TableKeys, texts: Texts, owner: str, *, strangers: bool) -> dict[str, Any] | None:
    made: dict[str, Any] | None = None
    command, http = probe.table("exec"), probe.table("http_get")
    if command is not None:
        made = _command(command, texts, owner)
    if http is not None:
        made = _http(http, texts, owner, strangers=strangers) if made is None else made
        http.close(dict.fromkeys(http.data, "a probe has one way to ask, and exec is taken"))
    if "grpc" in probe:
        probe.lost("grpc", "there is no probe by gRPC; write ready = {command = ['grpc_health_probe', ...]}")
    return made


def _command(asked: TableKeys, texts: Texts, owner: str) -> dict[str, Any] | None:
    command, folder = asked.get("command"), asked.get("working_dir")
    made: dict[str, Any] | None = None
    if isinstance(command, str) and command.strip():
        if isinstance(folder, str) and folder:
            made = {"command": texts.shell(f"cd {quote(folder)} && {{ {command.rstrip()}\n}}")}
            asked.changed("working_dir", "a probe runs in the folder of the service, so it changes to this one first")
        else:
            made = {"command": texts.words(command)}
        asked.carried("command", f"{owner}.command")
    else:
        asked.lost("command", "is no command")
    asked.close({"working_dir": "there is no command"}, ("command",))
    return made


def _http(asked: TableKeys, texts: Texts, owner: str, *, strangers: bool) -> dict[str, Any]:
    part = {key: value for key, value in asked.data.items() if isinstance(value, str) and value.strip()}
    scheme, host = part.get("scheme", "http").lower(), part.get("host", "127.0.0.1")
    port = f":{part['port']}" if "port" in part else ""
    url = texts.filled(f"{scheme}://{host}{port}{part.get('path', '/')}")
    status = number(part.get("status_code", "200"))
    made: dict[str, Any] = {"http": url, "status": [int(status) if status and 0 < status < 400 else 200]}  # noqa: PLR2004  # the codes that process-compose takes
    if strangers:
        made["owner"] = "any"
    for key in ("scheme", "host", "port", "path"):
        asked.carried(key, f"{owner}.http")
    asked.carried("status_code", f"{owner}.status")
    lost = {
        "headers": "the probe sends no headers of its own; write ready = {command = ['curl', '-H', ...]}",
        "num_port": "process-compose sets it by itself; write port",
    }
    asked.close(lost, ("scheme", "host", "port", "path", "status_code"))
    return made
