"""One service of compose."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from signal import Signals
from typing import Any

from aioverseer.config.convert.compose.folders import folder_of
from aioverseer.config.convert.compose.health import add_health
from aioverseer.config.convert.compose.hosts import hosts_in
from aioverseer.config.convert.compose.keys import DEPLOY, LOST_IN_DEPLOY, LOST_IN_SERVICE, SERVICE
from aioverseer.config.convert.compose.restart import restart_of, roll_of
from aioverseer.config.convert.references import References
from aioverseer.config.convert.table_keys import TableKeys, is_list, is_table, texts
from aioverseer.config.convert.truth import truth
from aioverseer.config.convert.units import binary_size, go_duration, number, plain

__all__ = ["ComposeServiceReader", "variables_of"]

_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_CGROUPS = "it needs cgroup v2 with that controller, delegated to aioverseer"
_WATCHED = frozenset({"restart", "sync+restart"})


class ComposeServiceReader:
    """Translation of one service."""

    def __init__(self, keys: TableKeys, name: str, references: References, services: Iterable[str]) -> None:
        """Prepare.

        Args:
            keys: Keys of the service.
            name: Its name.
            references: Translation of variables.
            services: Names of all services of the file.
        """
        self._services = frozenset(services)
        self._keys = keys
        self._say = references
        self._owner = f"services.{name}"
        self.options: dict[str, Any] = {}

    def read(self) -> dict[str, Any] | None:
        """Return the options of the service, all but ``after``; None for a service without a command."""
        keys = self._keys
        command = self._command()
        if command is None:
            where = "the Dockerfile" if "build" in keys else "the image"
            for key in ("image", "build"):
                keys.lost(key, f"its command is in {where}: install the program, and write command = ['program', ...]")
            keys.close(dict.fromkeys(keys.data, "the service is left out, as there is no command"))
            return None
        self.options["command"] = command
        self._environment()
        folder = folder_of(keys, self._say, self._owner)
        if folder is not None:
            self.options["cwd"] = folder
        deploy = keys.table("deploy")
        self.options["restart"] = restart_of(keys, deploy, self._say, self._owner)
        add_health(keys, self.options, self._say, self._owner)
        self._stop()
        self._number_of(deploy)
        self._limits(deploy)
        if deploy is not None:
            deploy.close(LOST_IN_DEPLOY, DEPLOY)
        self._others()
        return self.options

    def close(self) -> None:
        """Note all keys that have no note yet."""
        self._keys.carried("extends", "the options of the service, which have those of the other one")
        self._keys.close(LOST_IN_SERVICE, SERVICE)

    def _command(self) -> list[str] | None:
        keys = self._keys
        entrypoint, command = self._words("entrypoint"), self._words("command")
        words = [*entrypoint, *command]
        if not words:
            return None
        if entrypoint:
            keys.carried("command", f"{self._owner}.command")
        keys.carried("entrypoint", f"{self._owner}.command" if entrypoint else "nothing, as it is empty")
        if "entrypoint" in keys:
            keys.carried("command", f"{self._owner}.command")
        keys.changed("command", f"{self._owner}.command; the entrypoint of the image, if it has one, comes before it")
        return words

    def _words(self, key: str) -> list[str]:
        given = self._keys.get(key)
        if isinstance(given, str):
            return self._say.words(given)
        return [self._say.translated(word) for word in texts(given) or []]

    def _environment(self) -> None:
        keys, owner = self._keys, self._owner
        variables = variables_of(keys.get("environment"))
        given = {name: self._say.translated(value) for name, value in variables.items() if value is not None}
        if given:
            self.options["extra_env"] = given
        for variable, value in variables.items():
            for host in hosts_in(variable, self._say.default(value or ""), self._services):
                text = f"its value names the service {host} as a host: write localhost"
                keys.part("environment", variable, "changed", text)
        keys.carried("environment", f"{owner}.extra_env" if given else "nothing, as variables are inherited")
        files = self._files()
        if files:
            self.options["env_file"] = files
        keys.carried("env_file", f"{owner}.env_file")

    def _files(self) -> list[str]:
        given = self._keys.get("env_file")
        files: list[str] = []
        for each in given if is_list(given) else [given]:
            path = each.get("path") if is_table(each) else each
            if isinstance(path, str) and path:
                optional = is_table(each) and truth(each.get("required")) is False
                files.append(f"{'?' if optional else ''}{self._say.translated(path)}")
            if is_table(each) and "format" in each:
                self._keys.part("env_file", "format", "lost", "files are read as .env files")
        return files

    def _stop(self) -> None:
        keys, owner = self._keys, f"{self._owner}.stop"
        stop: dict[str, Any] = {}
        signal = keys.get("stop_signal")
        if isinstance(signal, str) and signal:
            found = _signal(self._say.default(signal))
            if found is None:
                keys.lost("stop_signal", "is no signal, so SIGTERM is taken")
            else:
                stop["signal"] = found
                keys.carried("stop_signal", f"{owner}.signal")
        seconds = self._value("stop_grace_period", go_duration)
        if seconds is not None:
            stop["timeout"] = seconds
            keys.carried("stop_grace_period", f"{owner}.timeout")
        if stop:
            self.options["stop"] = stop

    def _number_of(self, deploy: TableKeys | None) -> None:
        keys, owner = self._keys, self._owner
        scale = self._value("scale", number)
        replicas = None if deploy is None else number(self._say.default(str(deploy.get("replicas") or "")))
        found = int(scale if scale is not None else replicas or 1)
        if found > 1:
            self.options["instances"] = found
        keys.carried("scale", f"{owner}.instances")
        if deploy is None:
            return
        deploy.carried("replicas", f"{owner}.instances")
        if deploy.get("mode") not in (None, "replicated"):
            deploy.lost("mode", "there is one machine")
        deploy.carried("mode", "nothing, as it is the usual one")
        update = deploy.table("update_config")
        if update is not None:
            roll = roll_of(update, owner)
            if found > 1:
                self.options["roll"] = roll

    def _limits(self, deploy: TableKeys | None) -> None:
        keys, owner = self._keys, self._owner
        resources = None if deploy is None else deploy.table("resources")
        limits = None if resources is None else resources.table("limits")
        places: tuple[tuple[TableKeys | None, str, str, Callable[[str], float | None]], ...] = (
            (keys, "mem_limit", "memory_max", binary_size),
            (keys, "cpus", "cpu_max", number),
            (keys, "pids_limit", "pids_max", number),
            (limits, "memory", "memory_max", binary_size),
            (limits, "cpus", "cpu_max", number),
            (limits, "pids", "pids_max", number),
        )
        for place, key, option, parse in places:
            if place is None or key not in place:
                continue
            found = parse(self._say.default(str(place.get(key))))
            if found is None:
                place.lost(key, "is not understood, so there is no limit")
            elif found > 0:
                self.options[option] = plain(found)
                place.changed(key, f"{owner}.{option}; {_CGROUPS}")
            place.carried(key, "nothing, as it is no limit")
        if resources is not None:
            if limits is not None:
                limits.close({}, ("cpus", "memory", "pids"))
            resources.close({"reservations": "nothing is reserved on this machine"}, ("limits",))
        self._ulimits()
        adjusted = self._value("oom_score_adj", number)
        if adjusted is not None:
            self.options["oom_score_adj"] = int(adjusted)
        keys.carried("oom_score_adj", f"{owner}.oom_score_adj")
        self._processors()

    def _ulimits(self) -> None:
        limits = self._keys.get("ulimits")
        made: dict[str, Any] = {}
        for name, given in limits.items() if is_table(limits) else ():
            parts = [given.get("soft"), given.get("hard")] if is_table(given) else [given]
            found = [number(self._say.default(str(part))) for part in parts]
            whole = [int(part) for part in found if part is not None]
            if len(whole) != len(parts):
                self._keys.part("ulimits", name, "lost", "is no number, so it is left out")
            else:
                made[name] = whole if len(whole) > 1 else whole[0]
        if made:
            self.options["rlimits"] = made
        self._keys.carried("ulimits", f"{self._owner}.rlimits")

    def _processors(self) -> None:
        given = self._keys.get("cpuset")
        if not isinstance(given, str):
            return
        parts = [_RANGE.fullmatch(part.strip()) for part in self._say.default(given).split(",")]
        if not parts or None in parts:
            self._keys.lost("cpuset", "is no list of processors, so it is left out")
            return
        ranges = [(int(part[1]), int(part[2] or part[1])) for part in parts if part is not None]
        self.options["cpus"] = sorted({number for first, last in ranges for number in range(first, last + 1)})
        self._keys.carried("cpuset", f"{self._owner}.cpus")

    def _others(self) -> None:
        keys, owner = self._keys, self._owner
        profiles = [self._say.translated(name) for name in texts(keys.get("profiles")) or []]
        if profiles:
            self.options["profiles"] = profiles
        keys.carried("profiles", f"{owner}.profiles")
        if self._truth("tty"):
            self.options["pty"] = True
        keys.carried("tty", f"{owner}.pty")
        keys.carried("init", "nothing, as what a program leaves behind is always cleaned up")
        if not self._truth("stdin_open"):
            keys.carried("stdin_open", "nothing, as it is false")
        self._privileges()
        self._logging()
        self._watch()

    def _privileges(self) -> None:
        for number_of, option in enumerate(texts(self._keys.get("security_opt")) or []):
            if re.fullmatch(r"no-new-privileges([:=]true)?", option):
                self.options["no_new_privileges"] = True
            else:
                self._keys.part("security_opt", str(number_of), "lost", "it is about the container")
        self._keys.carried("security_opt", f"{self._owner}.no_new_privileges")

    def _logging(self) -> None:
        logging = self._keys.table("logging")
        if logging is None:
            return
        driver = logging.get("driver")
        if driver == "none":
            self.options["log"] = []
            logging.carried("driver", f"{self._owner}.log")
        advice = "write log = {path = 'file', max_bytes = '10 MiB', keep = 3}, or output = 'inherit'"
        logging.close({"driver": advice, "options": advice})

    def _watch(self) -> None:
        keys, owner = self._keys, self._owner
        develop = keys.table("develop")
        if develop is None:
            return
        given = develop.get("watch")
        rules = [rule for rule in (given if is_list(given) else []) if is_table(rule)]
        wanted = [rule for rule in rules if rule.get("action") in _WATCHED and isinstance(rule.get("path"), str)]
        if wanted:
            made: dict[str, Any] = {"paths": [self._say.translated(rule["path"]) for rule in wanted]}
            for name, key in (("include", "include"), ("exclude", "ignore")):
                patterns = [self._say.translated(each) for rule in wanted for each in _patterns(rule.get(key))]
                if patterns:
                    made[name] = patterns
            self.options["watch"] = made
        if len(wanted) == len(rules):
            develop.carried("watch", f"{owner}.watch")
        elif wanted:
            develop.changed("watch", f"{owner}.watch, for the rules that restart; there is no image to build or fill")
        develop.close({"watch": "there is no image to build or fill; write watch = {paths = [...]}"})

    def _value(self, key: str, parse: Callable[[str], float | None]) -> float | None:
        """Return the value of a key, with the defaults of its variables."""
        text = self._keys.get(key)
        if not isinstance(text, str):
            return None
        shown = self._say.default(text)
        value = parse(shown)
        if value is None:
            self._keys.lost(key, "is not understood, so it is left out")
        elif shown != text:
            self._keys.changed(key, "the default of its variable is taken")
        return value

    def _truth(self, key: str) -> bool:
        given = self._keys.get(key)
        return isinstance(given, str) and truth(self._say.default(given)) is True


def variables_of(given: object) -> dict[str, str | None]:
    """Return the variables of a mapping, or of a list of ``NAME=value``; None for a value that is inherited."""
    if is_table(given):
        return {name: value if isinstance(value, str) else None for name, value in given.items()}
    pairs = (line.partition("=") for line in texts(given) or [])
    return {name: value if equals else None for name, equals, value in pairs}


def _patterns(given: object) -> list[str]:
    return [given] if isinstance(given, str) else texts(given) or []


def _signal(text: str) -> str | None:
    word = text.strip().upper()
    if word.isdecimal():
        return Signals(int(word)).name if int(word) in set(Signals) else None
    name = word if word.startswith("SIG") else f"SIG{word}"
    return name if name in Signals.__members__ else None
