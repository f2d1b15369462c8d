"""Log files of an app of pm2."""

from __future__ import annotations

import posixpath
from typing import Any

from aioverseer.config.convert.escapes import escaped
from aioverseer.config.convert.table_keys import TableKeys

__all__ = ["add_logs"]

_FILES = (("out_file", "stdout"), ("error_file", "stderr"), ("log_file", None))
_NOWHERE = frozenset({"/dev/null", "NULL"})


def add_logs(app: TableKeys, options: dict[str, Any], owner: str) -> None:
    """Add ``log`` to the options of a service.

    Args:
        app: Keys of the app.
        options: Options of the service.
        owner: Our name of the service.
    """
    owner = f"{owner}.log"
    shared: dict[str, Any] = {}
    if app.get("log_type") == "json":
        shared["format"] = "json"
    elif app.get("time") is True or app.get("log_date_format"):
        shared["timestamps"] = True
    many = "instances" in options and app.get("merge_logs") is not True
    files: list[dict[str, Any]] = []
    for key, stream in _FILES:
        path = app.get(key)
        if isinstance(path, str) and path and path not in _NOWHERE:
            shown = _numbered(escaped(path)) if many else escaped(path)
            files.append({"path": shown, **({"stream": stream} if stream else {}), **shared})
            app.carried(key, f"{owner}.path")
        elif path in _NOWHERE:
            app.carried(key, "nothing, as it is no file")
        elif path is True:
            app.lost(key, f"write {owner}.path; pm2 has a folder of its own for it")
        app.carried(key, "nothing, as there is no file")
    if app.get("disable_logs") is True:
        options["log"] = []
    elif files:
        options["log"] = files
    app.carried("disable_logs", owner)
    without = "" if files else "; there is no file, so write log = {path = ...}"
    if without:
        for key in ("log_type", "log_date_format", "time", "merge_logs"):
            app.lost(key, f"it is about log files{without}")
    app.carried("log_type", f"{owner}.format")
    app.carried("time", f"{owner}.timestamps")
    app.changed("log_date_format", f"{owner}.timestamps, which are in ISO 8601")
    app.carried("merge_logs", f"{owner}.path, which has the number of the instance only if this is false")


def _numbered(path: str) -> str:
    """Return a path with the number of the instance, as pm2 adds it before the ending."""
    stem, ending = posixpath.splitext(path)
    return f"{stem}-{{index}}{ending}"
