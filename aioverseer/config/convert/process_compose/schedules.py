"""Schedules of process-compose, and the files whose change restarts a process."""

from __future__ import annotations

from typing import Any

from aioverseer.config.convert.process_compose.texts import Texts
from aioverseer.config.convert.table_keys import TableKeys, is_list, is_table, texts
from aioverseer.config.convert.truth import truth
from aioverseer.config.convert.units import go_duration, number

__all__ = ["add_schedule", "add_watch"]


def add_schedule(process: TableKeys, options: dict[str, Any], owner: str) -> None:
    """Add ``schedule`` to the options of a service.

    Args:
        process: Keys of the process.
        options: Options of the service.
        owner: Our name of the service.
    """
    keys = process.table("schedule")
    if keys is None:
        return
    owner = f"{owner}.schedule"
    cron, zone = keys.get("cron"), keys.get("timezone")
    interval = keys.get("interval")
    seconds = go_duration(interval) if isinstance(interval, str) else None
    at_start = truth(keys.get("run_on_start")) is True
    if isinstance(cron, str) and cron:
        made: dict[str, Any] = {"cron": cron}
        if isinstance(zone, str) and zone:
            made["timezone"] = zone
        keys.carried("cron", f"{owner}.cron")
        keys.carried("timezone", f"{owner}.timezone")
        keys.lost("interval", "process-compose takes cron where both are there")
        if at_start:
            keys.lost("run_on_start", "the first run comes at its time; write an every with first = 'at_start'")
    elif seconds:
        made = {"every": seconds}
        if at_start:
            made["first"] = "at_start"
        keys.carried("interval", f"{owner}.every")
        keys.carried("run_on_start", f"{owner}.first")
        keys.lost("timezone", "an interval has no zone")
    else:
        keys.close(dict.fromkeys(keys.data, "is no time that is understood, so there is no schedule"))
        return
    options["schedule"] = made
    most = keys.get("max_concurrent")
    if isinstance(most, str) and (number(most) or 0) > 1:
        keys.lost("max_concurrent", "one run at a time; overlap tells what becomes of a time that comes meanwhile")
    keys.carried("max_concurrent", f"{owner}.overlap, which is skip")
    keys.carried("run_on_start", "nothing, as it is false")
    keys.close({}, ("cron", "timezone", "interval", "run_on_start", "max_concurrent"))


def add_watch(process: TableKeys, options: dict[str, Any], say: Texts, owner: str) -> None:
    """Add ``watch`` to the options of a service.

    Args:
        process: Keys of the process.
        options: Options of the service.
        say: Translation of its texts.
        owner: Our name of the service.
    """
    keys = process.table("watch")
    if keys is None:
        return
    owner = f"{owner}.watch"
    paths: list[str] = []
    filters: dict[str, list[str]] = {"include": [], "exclude": []}
    given = keys.get("paths")
    entries = [each for each in given if is_table(each)] if is_list(given) else []
    for entry in entries:
        if isinstance(entry.get("path"), str):
            paths.append(say.text(entry["path"]))
            for name, found in filters.items():
                found += [say.text(each) for each in texts(entry.get(name)) or [] if say.text(each) not in found]
    if not paths:
        keys.close(dict.fromkeys(keys.data, "there is no path to watch"))
        return
    made: dict[str, Any] = {"paths": paths, **{name: found for name, found in filters.items() if found}}
    settled = keys.get("debounce")
    seconds = go_duration(settled) if isinstance(settled, str) else None
    if seconds is not None:
        made["debounce"] = seconds
        keys.carried("debounce", f"{owner}.debounce")
    options["watch"] = made
    apart = len(entries) > 1 and any(filters.values())
    if apart:
        keys.changed("paths", f"{owner}; include and exclude count for all paths, not for one")
    keys.carried("paths", f"{owner}.paths")
    if truth(keys.get("cascade")) is True:
        keys.lost("cascade", "write on_restart = 'restart' for those that come after it")
    keys.carried("cascade", "nothing, as it is false")
    lost = {
        "debounce": "is no duration",
        "max_entries": "there is no limit of folders",
        "buffer_size": "it is for Windows",
        "disable_default_excludes": "folders of version control, caches and editors are always left out",
    }
    keys.close(lost, ("paths", "cascade"))
