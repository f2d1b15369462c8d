"""The sections Service and Unit of a unit as the options of one service."""

from __future__ import annotations

import re
from typing import Any

from aioverseer.config.convert.signals import signal_name
from aioverseer.config.convert.systemd.commands import UnitCommand, as_words, read_commands, split_words
from aioverseer.config.convert.systemd.directives import Directives
from aioverseer.config.convert.systemd.limits import read_limits
from aioverseer.config.convert.systemd.lost import SERVICE
from aioverseer.config.convert.systemd.policy import STOP_SECONDS, read_restart, read_watchdog
from aioverseer.config.convert.systemd.specifiers import Specifiers
from aioverseer.config.convert.systemd.streams import read_streams

__all__ = ["UnitService", "service_name"]

_LONGEST = 31_536_000
"""Seconds of a stop without a limit: a ladder has an end."""
_BY_SHELL = "a shell is between, which expands the variables and joins the commands"


class UnitService:
    """The program of a unit, read.

    Attributes:
        name: Name of the service.
        options: Its options, in the form of our file.
        specifiers: Values of the specifiers.
        after_start: Words of the command that follows a start; empty without one.
        oneshot: Whether the unit is a one-shot, so that dependents wait for its success.
        wanted: Whether a target wants it, so that it starts with all.
    """

    def __init__(self, unit: str, service: Directives, head: Directives, *, wanted: bool) -> None:
        """Read the sections.

        Args:
            unit: Name of the unit.
            service: Keys of the section Service.
            head: Keys of the section Unit.
            wanted: Whether a target wants it.
        """
        self.unit = unit
        self.name = service_name(unit)
        self.wanted = wanted
        self._keys = service
        self._place = f"services.{self.name}"
        user, group = service.take("User"), service.take("Group")
        self.specifiers = Specifiers(unit, user=user or "", group=group or "")
        self.options: dict[str, Any] = {}
        kind = (service.take("Type") or "").strip().lower()
        self.oneshot = kind == "oneshot"
        self._environ = self._environment()
        self._commands()
        self._kind(kind)
        self._identity(user, group)
        self._times()
        if restart := read_restart(service, head, self._place, oneshot=self.oneshot):
            self.options["restart"] = restart
        self._stop()
        self.options |= read_watchdog(service, self._place)
        self.options |= read_streams(service, self._place, self.specifiers)
        self.options |= read_limits(service, self._place)
        service.lose_rest_of(SERVICE)

    def _text(self, key: str, value: str) -> str:
        unknown = self.specifiers.unknown(value)
        if unknown:
            self._keys.refuse(key, f"holds {', '.join(unknown)}, which means nothing here: write the value")
        return self.specifiers.text(value)

    def _environment(self) -> dict[str, str]:
        """Read the variables, and return those that nothing else can change."""
        keys = self._keys
        variables: dict[str, str] = {}
        for value in keys.take_all("Environment"):
            try:
                words = split_words(value)
            except ValueError as error:
                keys.refuse("Environment", str(error))
                continue
            for word in words:
                name, equals, text = word.partition("=")
                if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
                    keys.refuse("Environment", 'is no list of variables: write "NAME=value"')
                    continue
                variables[name] = text
        if variables:
            shown = {name: self._text("Environment", text) for name, text in variables.items()}
            itself = {name for name, text in shown.items() if re.search(rf"\$(?:{name}(?!\w)|\$\{{{name}\}})", text)}
            for name in itself:
                shown[name] = re.sub(rf"\$(?:{name}(?!\w)|\$\{{{name}\}})", f"${{{name}}}", shown[name])
            self.options["extra_env"] = shown
            if itself:
                text = f"{self._place}.extra_env: a variable that holds its own name, as $PATH, is expanded"
                keys.changed("Environment", text)
            else:
                keys.carried("Environment", f"{self._place}.extra_env")
        files = [self._text("EnvironmentFile", value) for value in keys.take_all("EnvironmentFile")]
        if files:
            self.options["env_file"] = [f"?{each[1:]}" if each.startswith("-") else each for each in files]
            keys.changed("EnvironmentFile", f"{self._place}.env_file is read when aioverseer starts, not at each start")
        passed = keys.take_all("PassEnvironment")
        if passed:
            keys.carried("PassEnvironment", "a service inherits all variables of aioverseer")
        return {} if files else variables

    def _commands(self) -> None:
        keys = self._keys
        main = self._read("ExecStart")
        if not main:
            keys.refuse("ExecStart", "is missing: name the program")
        if len(main) > 1 and not self.oneshot:
            keys.refuse("ExecStart", "comes more than once, which only Type=oneshot can have")
        if main:
            self.options["command"] = self._words("ExecStart", main, "command")
        before = self._read("ExecStartPre")
        if before:
            self.options["prepare"] = self._words("ExecStartPre", before, "prepare")
        after = self._read("ExecStopPost")
        if after:
            self.options["cleanup"] = self._words("ExecStopPost", after, "cleanup")
        self._reload(self._read("ExecReload"))
        self.after_start = self._after_start(self._read("ExecStartPost"))

    def _read(self, key: str) -> list[UnitCommand]:
        try:
            return read_commands(self._keys.take_all(key))
        except ValueError as error:
            self._keys.refuse(key, str(error))
            return []

    def _words(self, key: str, commands: list[UnitCommand], option: str, *, pid: bool = False) -> list[str]:
        words, by_shell = as_words(commands, self.specifiers, self._environ, pid=pid)
        for command in commands:
            for word in command.words:
                self._text(key, word)
        signs = sorted({sign for command in commands for sign in command.prefixes} - set("-:"))
        place = f"{self._place}.{option}"
        if signs:
            self._keys.changed(key, f"{place}: the sign {' and '.join(signs)} before the program has no effect")
        elif by_shell:
            self._keys.changed(key, f"{place}: {_BY_SHELL}")
        else:
            self._keys.carried(key, place)
        return words

    def _after_start(self, commands: list[UnitCommand]) -> list[str]:
        """Return the words of the command that follows a start, as a hook runs it; an empty list without one."""
        if not commands:
            return []
        words, _ = as_words(commands, self.specifiers, self._environ)
        if any("MAINPID" in word for word in words) or self.specifiers.is_template:
            self._keys.lost("ExecStartPost", "a hook knows no process id: it gets the event as JSON on its input")
            return []
        self._keys.changed("ExecStartPost", 'hooks, on = ["running"]: its failure changes nothing')
        return words

    def _reload(self, commands: list[UnitCommand]) -> None:
        if not commands:
            return
        signal = _killed(commands)
        if signal is not None:
            self.options["reload"] = signal
            self._keys.carried("ExecReload", f'{self._place}.reload = "{signal}"')
        else:
            self.options["reload"] = self._words("ExecReload", commands, "reload", pid=True)

    def _kind(self, kind: str) -> None:
        keys, place = self._keys, self._place
        pid_file = keys.take("PIDFile")
        match kind:
            case "notify" | "notify-reload":
                self.options["ready"] = {"notify": True}
                if kind == "notify-reload":
                    self.options["reload"] = "notify"
                keys.carried("Type", f"{place}.ready{' and reload' if kind == 'notify-reload' else ''}")
            case "forking" if pid_file is not None:
                self.options["main_pid"] = {"path": self._text("PIDFile", pid_file)}
                keys.changed("Type", f"{place}.main_pid: the program is ready when the file names one of its processes")
            case "forking":
                self.options["leftovers"] = "keep"
                keys.lost("Type", "let the program stay in the foreground, or name its PIDFile=")
            case "oneshot":
                keys.carried("Type", "those after it wait for its success")
            case "dbus":
                keys.lost("Type", "a name on D-Bus says nothing here: ready = takes a probe")
            case "simple" | "exec" | "idle":
                keys.carried("Type", "the program is ready once it runs, as without ready =")
            case "":
                pass
            case _:
                keys.refuse("Type", "is unknown: there are simple, exec, forking, oneshot, notify, notify-reload, dbus")
        if pid_file is not None:
            if kind == "forking":
                keys.carried("PIDFile", f"{place}.main_pid")
            else:
                keys.lost("PIDFile", "only a program that goes into the background needs it")
        remains = keys.switch("RemainAfterExit")
        if remains is not None:
            keys.carried("RemainAfterExit", "a service that has finished well is good for those after it")

    def _identity(self, user: str | None, group: str | None) -> None:
        keys, place = self._keys, self._place
        if user is not None:
            shown = self._text("User", user)
            number = int(shown) if shown.isdecimal() else shown
            self.options["user"] = f"{shown}:{self._text('Group', group)}" if group else number
            keys.carried("User", f"{place}.user")
        if group is not None:
            if user is None:
                keys.lost("Group", 'user = "name:group" sets both')
            else:
                keys.carried("Group", f"{place}.user")
        groups = " ".join(keys.take_all("SupplementaryGroups")).split()
        if groups:
            self.options["extra_groups"] = [int(each) if each.isdecimal() else each for each in groups]
            keys.carried("SupplementaryGroups", f"{place}.extra_groups")
        folder = keys.take("WorkingDirectory")
        if folder is not None:
            path = folder.removeprefix("-")
            self.options["cwd"] = "${HOME}" if path == "~" else self._text("WorkingDirectory", path)
            if path == folder and path != "~":
                keys.carried("WorkingDirectory", f"{place}.cwd")
            elif path == "~":
                keys.changed("WorkingDirectory", f"{place}.cwd: ${{HOME}} is that of aioverseer, not of the user")
            else:
                keys.changed("WorkingDirectory", f"{place}.cwd: the folder must exist")
        umask = keys.take("UMask")
        if umask is not None:
            if re.fullmatch("0?[0-7]{1,3}", umask):
                self.options["umask"] = umask
                keys.carried("UMask", f"{place}.umask")
            else:
                keys.refuse("UMask", "is no mask: write octal digits, for example 0022")

    def _times(self) -> None:
        keys, place = self._keys, self._place
        both = keys.span("TimeoutSec")
        start = keys.span("TimeoutStartSec")
        if both is not None:
            keys.carried("TimeoutSec", f"{place}.{'max_runtime' if self.oneshot else 'ready_timeout'} and stop.timeout")
        if start is not None:
            if self.oneshot:
                keys.carried("TimeoutStartSec", f"{place}.max_runtime")
            else:
                keys.carried("TimeoutStartSec", f"{place}.ready_timeout")
        start = both if start is None else start
        if start is not None:
            endless = start in (0, float("inf"))
            if not self.oneshot:
                self.options["ready_timeout"] = "none" if endless else start
            elif not endless:
                self.options["max_runtime"] = start
        runtime = keys.span("RuntimeMaxSec")
        if runtime is not None:
            if 0 < runtime < float("inf"):
                self.options["max_runtime"] = runtime
                keys.carried("RuntimeMaxSec", f"{place}.max_runtime")
            else:
                keys.carried("RuntimeMaxSec", "no limit, as without max_runtime")
        stop = keys.span("TimeoutStopSec")
        if stop is not None:
            if 0 < stop < float("inf"):
                keys.carried("TimeoutStopSec", f"{place}.stop.timeout")
            else:
                keys.changed("TimeoutStopSec", f"{place}.stop.timeout is a year: a ladder has an end")
        stop = both if stop is None else stop
        self._stop_seconds = STOP_SECONDS if stop is None else stop if 0 < stop < float("inf") else _LONGEST

    def _stop(self) -> None:
        keys, place = self._keys, self._place
        stop: dict[str, Any] = {} if self._stop_seconds == STOP_SECONDS else {"timeout": self._stop_seconds}
        word = keys.take("KillSignal")
        if word is not None:
            name = signal_name(word)
            if name is None:
                keys.refuse("KillSignal", "is no signal: write for example SIGTERM")
            else:
                stop["signal"] = name
                keys.carried("KillSignal", f"{place}.stop.signal")
        mode = keys.take("KillMode")
        match mode:
            case None:
                pass
            case "control-group":
                keys.carried("KillMode", f'{place}.stop.scope = "tree"')
            case "mixed":
                stop["scope"] = "leader"
                keys.carried("KillMode", f'{place}.stop.scope = "leader"')
            case "process":
                stop["scope"] = "leader"
                self.options["leftovers"] = "keep"
                keys.changed("KillMode", f'{place}.stop.scope and leftovers = "keep": those left end with aioverseer')
            case "none":
                keys.lost("KillMode", "a stop always ends the program")
            case _:
                keys.refuse("KillMode", "is unknown: there are control-group, mixed, process and none")
        commands = self._read("ExecStop")
        if commands:
            stop = self._stop_by(commands, stop)
        if stop:
            self.options["stop"] = stop

    def _stop_by(self, commands: list[UnitCommand], stop: dict[str, Any]) -> dict[str, Any]:
        signal = _killed(commands)
        if signal is not None:
            self._keys.carried("ExecStop", f'{self._place}.stop.signal = "{signal}"')
            return {**stop, "signal": signal}
        words, _ = as_words(commands, self.specifiers, self._environ, pid=True)
        text = f"{self._place}.stop.steps: the signal comes if the command has not ended the program in its time"
        self._keys.changed("ExecStop", text)
        seconds = self._stop_seconds
        steps = [{"command": words, "timeout": seconds}, [stop.get("signal", "SIGTERM"), seconds]]
        return {"steps": steps, **({"scope": stop["scope"]} if "scope" in stop else {})}


def service_name(unit: str) -> str:
    """Return the name of the service of a unit: of ``web@.service`` it is ``web``."""
    return unit.rpartition(".")[0].removesuffix("@")


def _killed(commands: list[UnitCommand]) -> str | None:
    """Return the signal of a command that does nothing but send one to the main process; None for any other."""
    if len(commands) != 1:
        return None
    program, *words = commands[0].words
    if program.rpartition("/")[2] != "kill" or not words or words[-1] not in ("$MAINPID", "${MAINPID}"):
        return None
    match words[:-1]:
        case []:
            return "SIGTERM"
        case [("-s" | "--signal" | "-n"), word]:
            return signal_name(word)
        case [word] if word.startswith("-"):
            return signal_name(word.removeprefix("-").removeprefix("-signal=").removeprefix("s"))
        case _:
            return None
