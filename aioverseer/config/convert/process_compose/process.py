"""One process of process-compose as a service."""

from __future__ import annotations

import re
from signal import Signals
from typing import Any

from aioverseer.config.convert.process_compose.keys import LOST_IN_PROCESS, PROCESS
from aioverseer.config.convert.process_compose.logs import log_file
from aioverseer.config.convert.process_compose.probes import add_probes
from aioverseer.config.convert.process_compose.schedules import add_schedule, add_watch
from aioverseer.config.convert.process_compose.texts import Texts
from aioverseer.config.convert.restarts import NO_LIMIT
from aioverseer.config.convert.table_keys import TableKeys, is_list, is_table, texts
from aioverseer.config.convert.truth import truth
from aioverseer.config.convert.units import number, plain

__all__ = ["ProcessReader"]

_REPLICA = re.compile(r"\{PC_REPLICA_NUM\}")
_AT_RUN_TIME = re.compile(r"(?<!\.)\b(PC_REPLICA_NUM|PC_PROC_NAME)\b")
_RESTARTS = {"no": "never", "always": "always", "on_failure": "on-failure", "exit_on_failure": "on-failure"}
_USUAL_STOP = 10


class ProcessReader:
    """Translation of one process."""

    def __init__(self, keys: TableKeys, name: str, data: dict[str, Any], say: Texts, *, replicas: int) -> None:
        """Prepare.

        Args:
            keys: Keys of the process.
            name: Its name.
            data: Its values, with those of the process that it extends.
            say: Translation of its texts.
            replicas: Number of its replicas.
        """
        self._keys = keys
        self._data = data
        self._say = say
        self._name = name
        self._replicas = replicas
        self._owner = f"services.{name}"
        self.options: dict[str, Any] = {}

    def read(self) -> dict[str, Any] | None:
        """Return the options of the service, all but ``after``; None for a process without a command."""
        keys = self._keys
        command = self._command()
        if command is None:
            keys.close(dict.fromkeys(keys.data, "there is no command to run, so the process is left out"))
            return None
        self.options["command"] = command
        self._environment()
        self._folder_and_terminal()
        self._availability()
        add_probes(keys, self.options, self._say, self._owner)
        self._shutdown()
        self._log()
        add_schedule(keys, self.options, self._owner)
        add_watch(keys, self.options, self._say, self._owner)
        self._start()
        self._group()
        return self.options

    def _command(self) -> list[str] | None:
        keys, say = self._keys, self._say
        command, entrypoint = keys.get("command"), texts(keys.get("entrypoint"))
        made: list[str] | None = None
        if isinstance(command, str) and command.strip():
            made = say.words(command)
            keys.carried("command", f"{self._owner}.command")
            keys.lost("entrypoint", "process-compose takes command where both are there")
        elif entrypoint:
            made = [say.text(word) for word in entrypoint]
            keys.carried("entrypoint", f"{self._owner}.command")
        if made is not None and truth(keys.get("is_elevated")) is True:
            made = ["sudo", *made]
            keys.changed("is_elevated", "sudo comes before the command, and nobody is asked for a password")
        keys.carried("is_elevated", "nothing, as it is false")
        return made

    def _environment(self) -> None:
        keys, owner = self._keys, self._owner
        variables: dict[str, str] = {}
        for line in texts(keys.get("environment")) or []:
            name, equals, value = line.partition("=")
            if equals:
                variables[name] = self._say.text(value)
        read = {key: value for key, value in self._data.items() if key != "log_location"}
        told = _AT_RUN_TIME.findall(" ".join(_all_texts(read)))
        if "PC_REPLICA_NUM" in told:
            variables.setdefault("PC_REPLICA_NUM", "{index}" if self._replicas > 1 else "0")
        if "PC_PROC_NAME" in told:
            variables.setdefault("PC_PROC_NAME", self._name)
        if variables:
            self.options["extra_env"] = variables
        if keys.get("environment") is not None and texts(keys.get("environment")) is None:
            keys.lost("environment", "is no list of NAME=value, so it is left out")
        keys.carried("environment", f"{owner}.extra_env")
        file = keys.get("env_file")
        if isinstance(file, str) and file:
            self.options["env_file"] = self._say.text(file)
        keys.carried("env_file", f"{owner}.env_file")
        if truth(keys.get("is_dotenv_disabled")) is True:
            keys.lost("is_dotenv_disabled", "all services get the variables of .env")
        keys.carried("is_dotenv_disabled", "nothing, as it is false")

    def _folder_and_terminal(self) -> None:
        keys, owner = self._keys, self._owner
        folder = keys.get("working_dir")
        if isinstance(folder, str) and folder:
            self.options["cwd"] = self._say.filled(folder)
        keys.carried("working_dir", f"{owner}.cwd")
        terminal = truth(keys.get("is_tty")) is True
        if truth(keys.get("is_interactive")) is True:
            terminal = True
            keys.changed("is_interactive", f"{owner}.pty; nobody can type into it from a screen")
        if terminal:
            self.options["pty"] = True
        keys.carried("is_tty", f"{owner}.pty")
        keys.carried("is_interactive", "nothing, as it is false")

    def _availability(self) -> None:
        options, owner = self.options, self._owner
        rules = self._keys.table("availability")
        codes = texts(self._keys.get("success_exit_codes")) or []
        success = sorted({0, *(int(code) for code in codes if code.isdecimal())})
        self._keys.carried("success_exit_codes", f"{owner}.restart.success_codes")
        given = "no" if rules is None else rules.get("restart")
        word = self._say.without_variables(given) if isinstance(given, str) else "no"
        if word not in _RESTARTS:
            if rules is not None:
                rules.lost("restart", f"is unknown, so never is taken: there are {', '.join(_RESTARTS)}")
            word = "no"
        restart: dict[str, Any] = {"when": _RESTARTS[word]}
        if rules is not None:
            if word != given:
                rules.changed("restart", f"{owner}.restart.when, with the default of its variable")
            self._budget(rules, restart, word)
            self._ends(rules, word)
            rules.close({}, ("restart", "backoff_seconds", "max_restarts", "exit_on_end", "exit_on_skipped"))
        if success != [0]:
            restart["success_codes"] = success
        options["restart"] = restart["when"] if len(restart) == 1 else restart

    def _budget(self, rules: TableKeys, restart: dict[str, Any], word: str) -> None:
        owner = f"{self._owner}.restart"
        if word == "exit_on_failure":
            restart["max_restarts"] = 0
            self.options["on_give_up"] = "end"
            rules.changed("restart", f"{owner}.max_restarts and {self._owner}.on_give_up: a failure ends everything")
            reason = "there is no restart"
            rules.lost("backoff_seconds", reason)
            rules.lost("max_restarts", reason)
            return
        if word == "no":
            rules.carried("restart", f"{owner}.when")
            rules.lost("backoff_seconds", "there is no restart")
            rules.lost("max_restarts", "there is no restart")
            return
        rules.carried("restart", f"{owner}.when")
        most = self._number(rules, "max_restarts", 0)
        restart["max_restarts"] = int(most) if most >= 1 else NO_LIMIT
        if most >= 1:
            restart["within"] = NO_LIMIT
        delay = plain(max(1, self._number(rules, "backoff_seconds", 1)))
        restart["backoff"] = {"min": delay, "max": delay}
        rules.carried("backoff_seconds", f"{owner}.backoff")
        rules.carried("max_restarts", f"{owner}.max_restarts")

    def _ends(self, rules: TableKeys, word: str) -> None:
        given = rules.get("exit_on_end")
        said = truth(self._say.without_variables(given)) if isinstance(given, str) else None
        if said is True:
            self.options["critical"] = True
            if word == "exit_on_failure":
                del self.options["on_give_up"]
        if isinstance(given, str) and said is not truth(given):
            rules.changed("exit_on_end", f"{self._owner}.critical, with the default of its variable")
        if said:
            rules.changed("exit_on_end", f"{self._owner}.critical; aioverseer itself then ends with code 1")
        rules.carried("exit_on_end", "nothing, as it is false")
        if truth(rules.get("exit_on_skipped")) is True:
            skipped = "a service whose dependency has failed ends by itself; write critical = true to end everything"
            rules.lost("exit_on_skipped", f"{self._owner}.critical covers it" if said else skipped)
        rules.carried("exit_on_skipped", "nothing, as it is false")

    def _number(self, keys: TableKeys, key: str, default: float) -> float:
        text = keys.get(key)
        if text is None:
            return default
        shown = self._say.without_variables(text) if isinstance(text, str) else ""
        value = number(shown)
        if value is None:
            keys.lost(key, f"is no number, so {default} is taken")
            return default
        if shown != text:
            keys.changed(key, "the default of its variable is taken")
        return value

    def _shutdown(self) -> None:
        rules, owner = self._keys.table("shutdown"), f"{self._owner}.stop"
        if rules is None:
            return
        seconds = plain(self._number(rules, "timeout_seconds", _USUAL_STOP)) or _USUAL_STOP
        command, signal = rules.get("command"), self._number(rules, "signal", 15)
        stop: dict[str, Any] = {}
        if isinstance(command, str) and command.strip():
            stop["steps"] = [{"command": self._say.words(command), "timeout": seconds}]
            rules.carried("command", f"{owner}.steps")
            rules.lost("signal", "process-compose sends it only without a command")
        elif int(signal) in set(Signals):
            if "signal" in rules:
                stop["signal"] = Signals(int(signal)).name
            if "timeout_seconds" in rules:
                stop["timeout"] = seconds
            rules.carried("signal", f"{owner}.signal")
        else:
            rules.lost("signal", "is no signal, so SIGTERM is taken")
        rules.carried("timeout_seconds", f"{owner}.timeout")
        if truth(rules.get("parent_only")) is True:
            stop["scope"] = "leader"
        rules.carried("parent_only", f"{owner}.scope")
        lost = {
            "send_keys": "a ladder has no keys; write stop = {steps = [{write = 'text', timeout = 5}]}",
            "command": "is no command",
        }
        rules.close(lost, ("timeout_seconds", "signal", "parent_only"))
        if stop:
            self.options["stop"] = stop

    def _log(self) -> None:
        keys = self._keys
        path = keys.get("log_location")
        if isinstance(path, str) and path:
            shown = _REPLICA.sub("\ue000index\ue001", path)
            if self._replicas > 1 and shown == path:
                shown += ".\ue000index\ue001"
            self.options["log"] = log_file(keys, self._say.filled(shown), f"{self._owner}.log")
        else:
            keys.lost("log_configuration", "there is no log_location")
        keys.lost("log_location", "is no path")

    def _start(self) -> None:
        keys, owner = self._keys, self._owner
        disabled = truth(keys.get("disabled")) is True
        expression = keys.get("is_disabled")
        if isinstance(expression, str):
            shown = truth(self._say.without_variables(expression))
            disabled = shown is True or disabled
            if shown is None:
                keys.lost("is_disabled", "is an expression; write enabled, or profiles")
        foreground = truth(keys.get("is_foreground")) is True
        if disabled or foreground:
            self.options["enabled"] = False
        for key in ("disabled", "is_disabled", "is_foreground"):
            if key in keys and self.options.get("enabled") is False and truth(keys.get(key)) is not False:
                keys.changed(key, f"{owner}.enabled; a service that is not enabled is not there to be started by hand")
            keys.carried(key, "nothing, as it is false")
        if truth(keys.get("is_daemon")) is True:
            keys.lost("is_daemon", "run it in the foreground, or tell its process id by main_pid = {path = ...}")
        keys.carried("is_daemon", "nothing, as it is false")
        if self._replicas > 1:
            self.options["instances"] = self._replicas
            keys.changed("replicas", f"{owner}.instances, with the names {self._name}.0, {self._name}.1 and so on")
        keys.carried("replicas", "nothing, as it is one")

    def _group(self) -> None:
        keys = self._keys
        given = keys.get("namespace")
        names = [given] if isinstance(given, str) else texts(given) or []
        if names and names[0]:
            self.options["group"] = names[0]
            if len(names) > 1:
                keys.changed("namespace", f"{self._owner}.group, which is one: the first")
        keys.carried("namespace", f"{self._owner}.group")

    def close(self) -> None:
        """Note all keys that have no note yet."""
        keys = self._keys
        keys.carried("vars", "the texts that use them")
        keys.carried("is_template_disabled", "the texts, which stay as they are")
        keys.carried("extends", "the options of the service, which have those of the other process")
        for number_of, problem in enumerate(self._say.problems):
            keys.part("command", f"template {number_of + 1}", "changed", problem)
        keys.close(LOST_IN_PROCESS, PROCESS)


def _all_texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if is_list(value):
        return [text for each in value for text in _all_texts(each)]
    if is_table(value):
        return [text for each in value.values() for text in _all_texts(each)]
    return []
