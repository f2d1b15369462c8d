"""One app of pm2 as a service."""

from __future__ import annotations

import json
from typing import Any

from aioverseer.config.convert.escapes import escaped
from aioverseer.config.convert.pm2.command import command_of
from aioverseer.config.convert.pm2.logs import add_logs
from aioverseer.config.convert.pm2.restart import add_recycling, add_watch, restart_of
from aioverseer.config.convert.table_keys import TableKeys, is_table
from aioverseer.config.convert.units import plain, pm2_duration

__all__ = ["read_app", "variables_of"]

_STOP_SECONDS = 1.6
"""Seconds of pm2 between SIGINT and SIGKILL."""


def read_app(app: TableKeys, owner: str, *, processors: int) -> dict[str, Any] | None:
    """Return the options of a service; None for an app without a script.

    Args:
        app: Keys of the app, by the names of the table.
        owner: Our name of the service.
        processors: Number of processors of this machine.
    """
    command = command_of(app, owner)
    if command is None:
        return None
    options: dict[str, Any] = {"command": command}
    folder = app.get("cwd")
    if isinstance(folder, str) and folder:
        options["cwd"] = escaped(folder)
    app.carried("cwd", f"{owner}.cwd")
    _instances(app, options, owner, processors)
    _environment(app, options, owner)
    options["restart"] = restart_of(app, owner)
    options["stop"] = _stop(app, owner)
    add_recycling(app, options, owner)
    add_watch(app, options, owner)
    add_logs(app, options, owner)
    _ready(app)
    _others(app, options, owner)
    return options


def variables_of(given: Any) -> dict[str, str]:
    """Return variables of a table as texts."""
    return {str(name): escaped(_text(value)) for name, value in given.items()} if is_table(given) else {}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return "[object Object]" if is_table(value) else ",".join(str(each) for each in value)


def _instances(app: TableKeys, options: dict[str, Any], owner: str, processors: int) -> None:
    given = app.get("instances")
    text = str(given).strip()
    number: int | None = None
    if text in {"max", "0"}:
        number = processors
        app.changed("instances", f"{owner}.instances, the number of processors of this machine")
    elif text.removeprefix("-").isdecimal():
        number = int(text) if int(text) > 0 else max(1, processors + int(text))
        if int(text) < 0:
            app.changed("instances", f"{owner}.instances, by the number of processors of this machine")
    elif given is not None:
        app.lost("instances", "is no number, so there is one")
    if number is not None and number > 1:
        options["instances"] = number
    app.carried("instances", f"{owner}.instances")
    mode = app.get("exec_mode")
    if isinstance(mode, str) and mode.startswith("cluster"):
        app.changed("exec_mode", "no socket is shared by itself: write listen for all of them, or {port} for each")
    app.carried("exec_mode", "nothing, as it is the usual one")


def _environment(app: TableKeys, options: dict[str, Any], owner: str) -> None:
    variables = variables_of(app.get("env"))
    if app.get("env") is not None and not is_table(app.get("env")):
        app.lost("env", "is no table of variables, so it is left out")
    port = app.get("port")
    if isinstance(port, int | str) and port:
        variables["PORT"] = escaped(str(port))
    if "instances" in options:
        name = app.get("instance_var")
        variables[name if isinstance(name, str) and name else "NODE_APP_INSTANCE"] = "{index}"
    if options["command"][0].rsplit("/", 1)[-1].startswith("python"):
        variables.setdefault("PYTHONUNBUFFERED", "1")  # pm2 sets it for each interpreter of this name
    if variables:
        options["extra_env"] = variables
    app.carried("env", f"{owner}.extra_env")
    app.carried("port", f"{owner}.extra_env.PORT")
    app.carried("instance_var", f"{owner}.extra_env")


def _stop(app: TableKeys, owner: str) -> dict[str, Any]:
    given = app.get("kill_timeout")
    seconds = pm2_duration(str(given)) if given is not None else None
    if given is not None and seconds is None:
        app.lost("kill_timeout", "is no number of milliseconds, so 1.6 s are taken")
    stop: dict[str, Any] = {"signal": "SIGINT", "timeout": plain(_STOP_SECONDS if seconds is None else seconds)}
    if app.get("treekill") is False:
        stop["scope"] = "leader"
    app.carried("kill_timeout", f"{owner}.stop.timeout")
    app.carried("treekill", f"{owner}.stop.scope")
    return stop


def _ready(app: TableKeys) -> None:
    if app.get("wait_ready") is True:
        app.lost("wait_ready", "process.send has no counterpart; write ready = {tcp = 3000} or another probe")
    app.carried("wait_ready", "nothing, as it is false")


def _others(app: TableKeys, options: dict[str, Any], owner: str) -> None:
    group = app.get("namespace")
    if isinstance(group, str) and group and group != "default":
        options["group"] = group
    app.carried("namespace", f"{owner}.group")
    user, team = app.get("uid"), app.get("gid")
    if user is not None:
        options["user"] = f"{user}:{team}" if team is not None else user
    elif team is not None:
        app.lost("gid", "write user = 'name:group'")
    app.carried("uid", f"{owner}.user")
    app.carried("gid", f"{owner}.user")
    if app.get("autostart") is False:
        options["enabled"] = False
        app.changed("autostart", f"{owner}.enabled; a service that is not enabled is not there to be started by hand")
    app.carried("autostart", "nothing, as it is true")
    app.carried("execute_command", "nothing, as a command is always executed")
