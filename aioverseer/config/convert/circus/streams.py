"""Output of a watcher of circus: the keys ``stdout_stream.*``, ``stderr_stream.*`` and ``close_child_*``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioverseer.config.convert.circus.words import NO, YES
from aioverseer.config.convert.keys import Keys

__all__ = ["read_streams"]

_TO_FILE = ("FileStream", "WatchedFileStream", "TimedRotatingFileStream")
_SHOWN = ("StdoutStream", "FancyStdoutStream")
_SECONDS = {"S": 1, "M": 60, "H": 3600, "D": 86_400, "MIDNIGHT": 86_400}


def read_streams(keys: Keys, place: str, text: Callable[[str], str]) -> dict[str, Any]:
    """Return the options about output, and about input where it is not the null device.

    Args:
        keys: Keys of the watcher.
        place: Path of the service in our file.
        text: Function that replaces the variables in the path of a log.
    """
    options: dict[str, Any] = {}
    logs: list[dict[str, Any]] = []
    for name in ("stdout", "stderr"):
        log = _read_stream(keys, place, name, text)
        if log is not None:
            logs.append(log)
    if len(logs) > 1 and logs[0] | {"stream": ""} == logs[1] | {"stream": ""}:
        logs = [{key: value for key, value in logs[0].items() if key != "stream"}]
    for name, closes, word in (("stdin", True, "inherit"), ("stdout", False, "null"), ("stderr", False, "null")):
        closed = keys.boolean(f"close_child_{name}", yes=YES, no=NO)
        if closed is None:
            continue
        if closed is closes:
            keys.carried(f"close_child_{name}", "as without it")
        else:
            options[name] = word
            keys.carried(f"close_child_{name}", f'{place}.{name} = "{word}"')
    if options.get("stdout") == options.get("stderr") == "null":
        options = {key: value for key, value in options.items() if key == "stdin"} | {"output": "null"}
    logs = [log for log in logs if options.get("output") != "null" and options.get(log.get("stream", "")) != "null"]
    if logs:
        options["log"] = logs[0] if len(logs) == 1 else logs
    return options


def _read_stream(keys: Keys, place: str, name: str, text: Callable[[str], str]) -> dict[str, Any] | None:
    """Return the arguments of a LogFile for one stream; None if it writes no file."""
    prefix = f"{name}_stream."
    given = {key.removeprefix(prefix): keys.value(key) or "" for key in keys.rest() if key.startswith(prefix)}
    if not given:
        return None
    for part in given:
        keys.take(prefix + part)
    kind = given.get("class", "FileStream" if "filename" in given else "")
    if kind in _TO_FILE and "filename" in given:
        log = {"path": text(given["filename"]), "stream": name}
        for part, value in given.items():
            log |= _read_part(keys, f"{place}.log", prefix + part, part, value, given)
        return log
    for part in given:
        if part == "class" and kind in _SHOWN:
            keys.carried(prefix + part, "aioverseer up shows the lines, with the name of the service in front")
        elif kind in _SHOWN:
            keys.lost(prefix + part, "aioverseer up chooses colours, and shows no time")
        else:
            keys.lost(prefix + part, "a Python class of circus: an application reads the lines with service.lines()")
    return None


def _read_part(keys: Keys, place: str, key: str, part: str, value: str, given: dict[str, str]) -> dict[str, Any]:
    """Return the arguments of a LogFile of one key, and note what becomes of it."""
    has_size = given.get("max_bytes", "0").strip() not in ("", "0")
    rotates = has_size or "rotate_when" in given
    match part:
        case "class" | "filename":
            keys.carried(key, f"{place}.path")
        case "max_bytes" if value.strip().isdecimal():
            keys.carried(key, f"{place}.max_bytes" if has_size else "no limit, as without max_bytes")
            return {"max_bytes": int(value)} if has_size else {}
        case "backup_count" if value.strip().isdecimal():
            kept = int(value)
            if kept and rotates:
                keys.carried(key, f"{place}.keep")
                return {"keep": min(kept, 999)}
            keys.carried(key, "nothing, as nothing is rotated") if not rotates else keys.changed(
                key, f"{place}.keep = 1"
            )
            return {"keep": 1} if rotates else {}
        case "max_bytes" | "backup_count":
            keys.refuse(key, "is no whole number")
        case "time_format":
            keys.changed(key, f"{place}.timestamps: its form is fixed")
            return {"timestamps": True}
        case "rotate_when":
            return _read_period(keys, place, key, value, given)
        case "rotate_interval":
            keys.carried(key, f"{place}.every")
        case "utc":
            keys.changed(key, f"{place}.every begins its periods in UTC")
        case _:
            keys.lost(key, "circus has no such key here, and ignores it")
    return {}


def _read_period(keys: Keys, place: str, key: str, value: str, given: dict[str, str]) -> dict[str, Any]:
    word = value.strip().upper()
    seconds = 7 * 86_400 if word[:1] == "W" and word[1:] in tuple("0123456") else _SECONDS.get(word)
    interval = given.get("rotate_interval", "1").strip()
    if seconds is None or not interval.isdecimal() or int(interval) == 0:
        keys.refuse(key, "is none of S, M, H, D, midnight and W0 to W6 with a whole rotate_interval")
        return {}
    if word in ("MIDNIGHT", "D") or word.startswith("W"):
        keys.changed(key, f"{place}.every: its periods begin at midnight in UTC")
    else:
        keys.carried(key, f"{place}.every")
    times = 1 if word == "MIDNIGHT" or word.startswith("W") else int(interval)
    return {"every": seconds * times}
