"""Restarts of an app of pm2: after its end, by memory, by time, and by changed files."""

from __future__ import annotations

import re
from typing import Any

from aioverseer.config.convert.escapes import escaped_variables
from aioverseer.config.convert.restarts import NO_LIMIT
from aioverseer.config.convert.table_keys import TableKeys, is_list
from aioverseer.config.convert.units import binary_size, plain, pm2_duration

__all__ = ["add_recycling", "add_watch", "restart_of"]

_MOST, _STABLE = 16, 1.0
"""``max_restarts`` and the seconds of ``min_uptime`` without these keys."""
_QUICK = 0.1
"""Least delay in seconds. pm2 has none, and a program that ends at once would keep the machine busy."""
_LONGEST, _FACTOR, _RESET = 15, 1.5, 30
"""Bounds of the growing delay of pm2."""
_DAILY = re.compile(r"\d+ \d+ \* \* \*")
_HOURLY = re.compile(r"\d+ \* \* \* \*")
_MINUTES = re.compile(r"\*/(\d+) \* \* \* \*")
_HOURS = re.compile(r"\d+ \*/(\d+) \* \* \*")
_FIELDS = (1, 5)
"""Numbers of words of an expression that is understood: pm2 also reads one with seconds."""
_PATTERN = re.compile(r"[\\()|^$+]")


def restart_of(app: TableKeys, owner: str) -> Any:
    """Return ``restart`` of a service.

    Args:
        app: Keys of the app.
        owner: Our name of the service.
    """
    owner = f"{owner}.restart"
    if app.get("autorestart") is False:
        app.carried("autorestart", owner)
        for key in ("max_restarts", "min_uptime", "restart_delay", "exp_backoff_restart_delay", "stop_exit_codes"):
            app.lost(key, "there is no restart")
        return "never"
    app.carried("autorestart", f"{owner}.when")
    made: dict[str, Any] = {"when": "always"}
    delay, growing = _milliseconds(app, "restart_delay"), _milliseconds(app, "exp_backoff_restart_delay")
    stable = _seconds(app, "min_uptime")
    most = app.get("max_restarts")
    number = most if isinstance(most, int) and not isinstance(most, bool) else _MOST
    if growing:
        made |= {"max_restarts": NO_LIMIT, "backoff": {"min": growing, "max": _LONGEST, "factor": _FACTOR}}
        made["reset_after"] = _RESET
        app.carried("exp_backoff_restart_delay", f"{owner}.backoff")
        app.lost("max_restarts", "restarts with a growing delay have no limit here; write max_restarts and within")
        app.lost("min_uptime", "restarts with a growing delay have no limit here; write max_restarts and within")
    else:
        pause = max(delay or 0, _QUICK)
        made |= {"max_restarts": number, "within": plain(max(1, number) * (stable + pause))}
        made["backoff"] = {"min": plain(pause), "max": plain(pause)}
        why = f"{owner}.max_restarts counts every restart within {plain(max(1, number) * (stable + pause))} s"
        app.changed("max_restarts", f"{why}, so also those of runs that were longer than min_uptime")
        app.changed("min_uptime", f"a part of {owner}.within")
        app.carried("exp_backoff_restart_delay", "nothing, as it is zero")
    app.carried("restart_delay", f"{owner}.backoff")
    codes = app.get("stop_exit_codes")
    listed = codes if is_list(codes) else [codes]
    wanted = sorted({code for code in listed if isinstance(code, int) and not isinstance(code, bool)})
    if wanted:
        made["prevent_codes"] = wanted
    app.carried("stop_exit_codes", f"{owner}.prevent_codes")
    return made


def add_recycling(app: TableKeys, options: dict[str, Any], owner: str) -> None:
    """Add ``recycle`` or ``schedule`` to the options of a service.

    Args:
        app: Keys of the app.
        options: Options of the service, with ``restart``.
        owner: Our name of the service.
    """
    recycle: dict[str, Any] = {}
    memory = app.get("max_memory_restart")
    size = memory if isinstance(memory, int) else binary_size(memory) if isinstance(memory, str) else None
    if size:
        recycle["memory"] = size
        app.changed("max_memory_restart", f"{owner}.recycle.memory, when the use was above it for hold seconds")
    app.lost("max_memory_restart", "is no size, so it is left out")
    cron = app.get("cron_restart")
    if isinstance(cron, str) and cron.strip() not in {"", "0"}:
        if options["restart"] == "never" and len(cron.split()) in _FIELDS:
            options["schedule"] = {"cron": cron.strip(), "overlap": "replace"}
            app.changed("cron_restart", f"{owner}.schedule; the first run comes at its time, not at the start")
        else:
            age = _period(cron.strip())
            if age is None:
                app.lost("cron_restart", "write recycle = {age = '1d'}, or a schedule for a program that ends")
            else:
                recycle |= {"age": age, "spread": 0}
                app.changed("cron_restart", f"{owner}.recycle.age, which counts from the start of each run")
    app.carried("cron_restart", "nothing, as it is off")
    if recycle:
        options["recycle"] = recycle


def add_watch(app: TableKeys, options: dict[str, Any], owner: str) -> None:
    """Add ``watch`` to the options of a service.

    Args:
        app: Keys of the app.
        options: Options of the service.
        owner: Our name of the service.
    """
    owner = f"{owner}.watch"
    given = app.get("watch")
    paths = ["."] if given is True else [given] if isinstance(given, str) and given else given if is_list(given) else []
    if not paths:
        app.carried("watch", "nothing, as it is off")
        app.carried("ignore_watch", "nothing, as no file is watched")
        app.carried("watch_delay", "nothing, as no file is watched")
        return
    made: dict[str, Any] = {"paths": [escaped_variables(str(path)) for path in paths]}
    ignored = app.get("ignore_watch")
    patterns = [str(each) for each in (ignored if is_list(ignored) else [ignored] if ignored else [])]
    plain_ones = [each.removeprefix("./").rstrip("/") for each in patterns if not _PATTERN.search(each)]
    if plain_ones:
        made["exclude"] = plain_ones
    for each in patterns:
        if _PATTERN.search(each):
            app.part("ignore_watch", each, "lost", "a regular expression has no form here; write a pattern with *")
    delay = _milliseconds(app, "watch_delay")
    if delay is not None:
        made["debounce"] = delay
    options["watch"] = made
    app.carried("watch", f"{owner}.paths")
    app.carried("ignore_watch", f"{owner}.exclude")
    app.carried("watch_delay", f"{owner}.debounce")


def _period(cron: str) -> int | None:
    """Return the seconds between the times of an expression; None where they differ."""
    if _DAILY.fullmatch(cron) or cron == "@daily":
        return 86_400
    if _HOURLY.fullmatch(cron) or cron == "@hourly":
        return 3600
    for pattern, unit in ((_MINUTES, 60), (_HOURS, 3600)):
        found = pattern.fullmatch(cron)
        if found is not None and int(found[1]) > 0:
            return int(found[1]) * unit
    return None


def _milliseconds(app: TableKeys, key: str) -> int | float | None:
    value = app.get(key)
    if value is None or value is False:
        return None
    found = pm2_duration(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if found is None:
        app.lost(key, "is no number of milliseconds, so it is left out")
    return found


def _seconds(app: TableKeys, key: str) -> float:
    found = _milliseconds(app, key)
    return _STABLE if found is None else found
