"""A compose file: each service as a container."""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Iterable, Mapping
from typing import Any

from aioverseer import LogFile, RunCommand, Spec, Step
from aioverseer.config.convert.conversion import Notes
from aioverseer.config.export.app import App
from aioverseer.config.export.conditions import condition_of
from aioverseer.config.export.containers import (
    HOME,
    copies_of,
    folder_in_image,
    image_name,
    judges_codes,
    listening_ports,
    note_addresses,
    note_containers,
    note_program,
    unique_names,
)
from aioverseer.config.export.given import Given
from aioverseer.config.export.placeholders import fill
from aioverseer.config.export.yaml_text import yaml_documents
from aioverseer.config.shapes import is_list, is_table

__all__ = ["REASONS_OF_OVERSEER", "compose_file"]

REASONS_OF_OVERSEER: dict[str, str] = {
    "groups": "compose restarts each container alone; depends_on with restart: true joins two",
    "hooks": "docker events tells of the ends of containers",
    "control": "docker compose is the control of containers",
    "log": "docker keeps the output: docker compose logs",
    "shutdown_timeout": "each service has its own stop_grace_period",
    "restart_rate": "docker has no limit for all",
    "containment": "each service is a container",
    "notify_systemd": "no unit of systemd is there to be notified",
}
"""Advice about the parts of a file that belong to the overseer."""

_REASONS: dict[str, str] = {
    "containment": "a container is contained",
    "critical": "take docker compose up --abort-on-container-exit",
    "on_give_up": "docker gives up without consequences",
    "significant": "it belongs to a group",
    "prepare": "write a service that ends, and wait for it by service_completed_successfully",
    "cleanup": "nothing comes after the end of a container",
    "reload": "docker compose kill -s HUP SERVICE sends the signal",
    "recycle": "docker replaces no container by age or memory; mem_limit kills it",
    "schedule": "let cron run: docker compose run --rm SERVICE",
    "max_runtime": "put timeout(1) before the command",
    "delay_start": "put sleep before the command",
    "umask": "set it in the command: sh -c 'umask 022; exec ...'",
    "nice": "put nice before the command",
    "io_class": "blkio_config has weights for the devices",
    "main_pid": "the first process is the main one: let it stay in the foreground",
    "leftovers": "the container ends with its first process",
    "alive": "docker marks a container as unhealthy, and does not restart it",
    "on_demand": "a container runs from its start on",
    "port": "each container has its ports for itself",
    "streaming": "docker reads the output",
}


def compose_file(app: App, notes: Notes) -> dict[str, str]:
    """Return ``compose.yaml``.

    Args:
        app: The services.
        notes: Notes about everything that compose cannot do.
    """
    note_containers(app, notes)
    names = unique_names((spec.id for spec in app.specs), r"[^A-Za-z0-9._-]+", notes)
    services: dict[str, Any] = {}
    for spec in app.specs:
        for number, (ending, values) in enumerate(copies_of(spec)):
            # All copies of one service have the same notes.
            given = Given(spec, Notes() if number else notes, values)
            note_addresses(app, given, names)
            note_program(given)
            services[f"{names[spec.id]}{ending}"] = _Container(app, given, names).data()
    data = {"name": _project(app.name), "services": services}
    text = yaml_documents([_escaped(data)], comment=f"Made from {app.path} by: aioverseer export compose")
    return {"compose.yaml": text}


class _Container:
    """One service of a compose file."""

    def __init__(self, app: App, given: Given, names: Mapping[str, str]) -> None:
        self._app = app
        self._given = given
        self._spec = given.spec
        self._names = names

    def data(self) -> dict[str, Any]:
        """Return the service, in the order in which people write them."""
        given, spec = self._given, self._spec
        data: dict[str, Any] = {
            "image": image_name(self._app),
            "build": ".",
            "command": [fill(word, given.values) for word in given.command()],
            "working_dir": fill(folder_in_image(self._app, given), given.values),
            # The init process passes signals on and reaps orphans: the first process of a container ignores SIGTERM
            # unless it has a handler.
            "init": True,
        }
        given.take("instances")
        if spec.instances is not None and not {"id", "index"} & given.values.keys():
            data["scale"] = spec.instances
        if variables := given.variables():
            data["environment"] = {name: fill(value, given.values) for name, value in variables.items()}
        if spec.schedule is not None:
            data["profiles"] = ["scheduled"]  # docker compose up leaves it out
        data |= self._ports()
        data |= self._order()
        data |= self._health()
        data |= self._ends()
        data |= self._rights()
        data |= self._development()
        given.finish(_REASONS)
        return data

    def _ports(self) -> dict[str, Any]:
        given = self._given
        listen: dict[str, dict[str, Any]] = given.take("listen") or {}
        if listen:
            given.lost("listen", "docker holds no sockets: the program must listen itself, on all addresses")
        published: list[str] = []
        is_alone = self._spec.instances is None
        if listen and not is_alone:
            given.changed("listen", "several containers cannot publish one port: put a proxy in front of them")
        for held in listen.values():
            if "tcp" in held and is_alone:
                host, port = held.get("host", "127.0.0.1"), held["tcp"]
                published.append(f"{f'[{host}]' if ':' in host else host}:{port}:{port}")
        others = [str(port) for port in listening_ports(self._spec) if f":{port}:{port}" not in "".join(published)]
        given.take("port")
        return {
            **({"ports": published} if published else {}),
            **({"expose": others} if others else {}),
        }

    def _order(self) -> dict[str, Any]:
        given = self._given
        given.take("after")
        found: dict[str, Any] = {}
        for each in self._spec.after:
            other = self._app.find(each.name)
            if other is None:
                given.lost("after", f"{each.name!r} is no service of this file")
                continue
            condition = {
                "started": "service_started",
                "ready": "service_healthy" if _has_healthcheck(other) else "service_started",
                "finished": "service_completed_successfully",
                "success": "service_completed_successfully",
            }[each.until]
            if each.until == "finished":
                given.changed("after", f"{each.name!r} must end with code 0")
            if each.until == "ready" and other.ready is not None and condition == "service_started":
                given.lost("after", f"nothing shows docker that {each.name!r} is ready")
            if each.on_end == "stop":
                given.lost("after", f"an end of {each.name!r} stops nothing")
            edge: dict[str, Any] = {"condition": condition}
            if each.on_restart == "restart":
                edge["restart"] = True
                given.changed("after", f"a restart of {each.name!r} by docker itself does not count")
            if not each.hard:
                edge["required"] = False
            for ending, _ in copies_of(other):
                found[f"{self._names[other.id]}{ending}"] = edge
        return {"depends_on": found} if found else {}

    def _health(self) -> dict[str, Any]:
        given, spec = self._given, self._spec
        ready, alive, start = given.take("ready"), given.take("alive"), given.take("ready_timeout")
        probe: Any = alive["probe"] if alive else ready
        if probe is None:
            return {}
        condition = condition_of(probe)
        if missing := sorted(condition.missing):
            given.lost("alive" if alive else "ready", f"no command can ask it ({', '.join(missing)})")
        if not condition.script:
            return {}
        tools = "".join(f" and {tool}" for tool in sorted(condition.tools))
        given.changed("alive" if alive else "ready", f"asked in the container; the image needs bash{tools}")
        if alive:
            given.changed("alive", _REASONS["alive"])
        is_set = start is not None or spec.ready_timeout is not None
        check: dict[str, Any] = {"test": ["CMD", "bash", "-c", fill(condition.script, given.values)]}
        if spec.alive is not None and alive:
            check |= {
                "interval": _time(spec.alive.every),
                "timeout": _time(spec.alive.timeout),
                "retries": spec.alive.failures,
            }
        else:
            check |= {"interval": "10s", "timeout": "5s", "retries": 3}
        if is_set and ready is not None:
            check |= {"start_period": _time(spec.ready_timeout or 0.0), "start_interval": "1s"}
        return {"healthcheck": check}

    def _ends(self) -> dict[str, Any]:
        given, restart, stop = self._given, self._spec.restart, self._spec.stop
        given.take("restart")
        given.take("stop")
        when = restart.when
        if when == "on-abnormal":
            given.changed("restart", "docker knows on-failure: also after an exit code other than 0")
        limit = restart.max_restarts
        if when == "never" or limit == 0 or self._spec.schedule is not None:
            policy = "no"
        elif when == "always":
            policy = "always"
            if limit is not None:
                given.changed("restart", "always has no limit, and delays from 0.1 s to 1 min")
        else:
            policy = "on-failure" if limit is None else f"on-failure:{limit}"
            if limit is not None and restart.within is not None:
                given.changed(
                    "restart", "the limit counts all restarts of a container, with delays from 0.1 s to 1 min"
                )
        if judges_codes(restart):
            given.lost("restart", "exit code 0 alone is a success, and no other code is looked at")
        data: dict[str, Any] = {"restart": policy}
        asked = stop.steps[:-1]
        sent = [step for step in asked if isinstance(step, Step)]
        if sent and sent[0].signal != signals.SIGTERM:
            data["stop_signal"] = _signal_name(sent[0].signal)
        data["stop_grace_period"] = _time(sum(step.timeout for step in asked) or stop.steps[-1].timeout)
        commands = [step for step in asked if isinstance(step, RunCommand)]
        if commands:
            data["pre_stop"] = [{"command": [word.replace("{pid}", "1") for word in step.argv]} for step in commands]
            given.changed("stop", "pre_stop runs the command in the container before the signal (compose 2.30)")
        if len(asked) > len(commands) + min(1, len(sent)):
            given.changed("stop", "one signal and SIGKILL are left of the ladder")
        return data

    def _rights(self) -> dict[str, Any]:
        given = self._given
        data: dict[str, Any] = {}
        for option, (key, convert) in _KEYS.items():
            if option in given:
                data[key] = convert(given.take(option))
        if names := given.take("ambient_capabilities"):
            data["cap_add"] = [name.upper() for name in names]
            given.changed("ambient_capabilities", "cap_add gives them to root in the container alone")
        if limits := given.take("rlimits"):
            data["ulimits"] = {name: _ulimit(limit) for name, limit in limits.items()}
        if given.take("stdin") is not None:
            given.lost("stdin", "docker compose run --interactive has an input")
        if "null" in {given.take("output"), given.take("stdout"), given.take("stderr")}:
            data["logging"] = {"driver": "none"}
        given.take("merge_stderr")
        given.take("log")
        for log in self._spec.log or ():
            if isinstance(log, LogFile):
                given.changed("log", "docker keeps the output: docker compose logs")
                if log.max_bytes is not None:
                    options = {"max-size": str(log.max_bytes), "max-file": str(log.keep)}
                    data["logging"] = {"driver": "json-file", "options": options}
        if group := given.take("group"):
            data["labels"] = {"aioverseer.group": group}
        return data

    def _development(self) -> dict[str, Any]:
        """Return rolls and watches, which are in sections of their own."""
        given = self._given
        data: dict[str, Any] = {}
        if given.take("roll") is not None:
            given.lost("roll", "docker compose up stops a container before it starts the next one; deploy is for swarm")
        if (watch := given.take("watch")) is not None:
            rules: list[dict[str, Any]] = []
            for path in watch["paths"]:
                rule: dict[str, Any] = {"path": path, "action": "sync+restart", "target": f"{HOME}/{path}"}
                if watch.get("exclude"):
                    rule["ignore"] = watch["exclude"]
                if watch.get("include"):
                    rule["include"] = watch["include"]
                rules.append(rule)
            data["develop"] = {"watch": rules}
            given.changed("watch", "docker compose watch copies the files, and restarts")
        return data


def _joined(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))


def _without_privileges(is_set: bool) -> list[str]:  # noqa: FBT001  # the value of an option
    return ["no-new-privileges:true"] if is_set else []


_KEYS: dict[str, tuple[str, Any]] = {
    "user": ("user", str),
    "extra_groups": ("group_add", list),
    "memory_max": ("mem_limit", int),
    "pids_max": ("pids_limit", int),
    "cpu_max": ("cpus", float),
    "cpus": ("cpuset", _joined),
    "oom_score_adj": ("oom_score_adj", int),
    "no_new_privileges": ("security_opt", _without_privileges),
    "pty": ("tty", bool),
}
"""Options with a key of their own, and the value of it."""


def _has_healthcheck(spec: Spec) -> bool:
    data = spec.to_dict()
    probe: Any = data["alive"]["probe"] if "alive" in data else data.get("ready")
    return probe is not None and bool(condition_of(probe).script)


def _project(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).lstrip("-_") or "app"


def _ulimit(limit: Any) -> Any:
    return {"soft": limit[0], "hard": limit[1]} if is_list(limit) else limit


def _time(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)


def _escaped(data: Any) -> Any:
    """Return data in which compose replaces no variables."""
    if isinstance(data, str):
        return data.replace("$", "$$")
    if is_table(data):
        return {key: _escaped(value) for key, value in data.items()}
    return [_escaped(item) for item in data] if is_list(data) else data
