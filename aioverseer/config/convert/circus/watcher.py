"""One watcher of circus as one service."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from aioverseer.config.convert.circus.policy import read_restart, read_stop
from aioverseer.config.convert.circus.streams import read_streams
from aioverseer.config.convert.circus.variables import CircusVariables
from aioverseer.config.convert.circus.words import NO, YES
from aioverseer.config.convert.keys import Keys
from aioverseer.config.convert.order import PRIORITY

__all__ = ["Watcher"]

_RESOURCES = frozenset(
    "as core cpu data fsize memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)
"""Limits that both have, in small letters."""
_VARIANCE = 30
"""Seconds that circus adds to ``max_age`` at most, without a key for it."""
_AS_INPUT = ["sh", "-c", 'exec "$0" "$@" <&3 3<&-']
"""Words before the program that make descriptor 3 its standard input."""
_HOOKS = {
    "before_start": "prepare = takes a command, or a function, that comes before each run",
    "before_spawn": "prepare = takes a command, or a function, that comes before each run",
    "after_stop": "cleanup = takes a command, or a function, that comes after each run",
    "after_reap": "cleanup = takes a command, or a function, that comes after each run",
}
_OTHER_HOOK = "[[hooks]] starts a command for an event"
_LOST = {
    "copy_path": "set PYTHONPATH in extra_env =",
    "virtualenv": "let cmd name the Python of the virtualenv",
    "virtualenv_py_ver": "let cmd name the Python of the virtualenv",
    "use_papa": "there is no papa",
    "stream_backend": "there is one way to read output",
    "warmup_delay": "after = waits until another service is ready, and roll = replaces instances one by one",
    "executable": "cmd names the program",
    "shell_args": "no shell is between: write sh -c into cmd",
    "name": "the name of the section counts",
}


class Watcher:
    """A watcher, read.

    Attributes:
        name: Name of the service.
        options: Its options, in the form of our file.
        priority: Priority; the highest one starts first.
    """

    def __init__(self, keys: Keys, name: str, *, environ: Mapping[str, str], sockets: Mapping[str, Any]) -> None:
        """Read the section.

        Args:
            keys: Keys of the section.
            name: Name of the watcher.
            environ: CircusVariables that the file sets for it.
            sockets: Sockets of the file, in the form of ``listen``.
        """
        self.name = name
        self._keys = keys
        self._place = f"services.{name}"
        self._sockets = sockets
        count = self._count()
        options = {key: keys.value(key) or "" for key in keys.rest()}
        self._variables = CircusVariables(environ, options, sockets)
        self._index = "1" if count == 1 else "{index}"
        self.options: dict[str, Any] = {"command": self._command()}
        self._folder_and_user()
        self._environment(environ)
        if count > 1:
            self.options["instances"] = count
        self._start(count)
        self._listen()
        self._limits()
        if restart := read_restart(keys, self._place):
            self.options["restart"] = restart
        if stop := read_stop(keys, self._place):
            self.options["stop"] = stop
        self.options |= read_streams(keys, self._place, lambda path: self._text(path, doubled=True))
        self.priority = keys.whole("priority", least=-(2**31)) or 0
        if "priority" in options:
            keys.changed("priority", PRIORITY)
        self._age()
        self._rest()

    def _text(self, value: str, *, doubled: bool = False) -> str:
        return self._variables.text(value, index=self._index, doubled=doubled)

    def _count(self) -> int:
        keys = self._keys
        single = keys.boolean("singleton", yes=YES, no=NO)
        if single is not None:
            keys.carried("singleton", "one process, as without instances")
        text = keys.value("numprocesses")
        if text is not None and "circus.env." in text.lower():
            keys.take("numprocesses")
            keys.lost("numprocesses", "only a text can come from a variable: write the value, or set it with -s")
            return 1
        count = keys.whole("numprocesses")
        if count is None:
            return 1
        if count > 1 and single:
            keys.changed("numprocesses", "one process, as it is a singleton")
            return 1
        if count > 1:
            keys.carried("numprocesses", f"{self._place}.instances")
        else:
            keys.carried("numprocesses", "one process, as without it" if count else f"{self._place}.enabled = false")
        return count

    def _command(self) -> list[str]:
        keys = self._keys
        words: list[str] = []
        for key in ("cmd", "args"):
            value = keys.take(key)
            if value is None:
                continue
            self._variables.unknown.clear()
            self._variables.numbered = False
            try:
                words += shlex.split(self._text(value))
            except ValueError as error:
                keys.refuse(key, f"cannot be split into words: {error}")
            if self._variables.unknown:
                keys.changed(
                    key, f"{self._place}.command: {', '.join(self._variables.unknown)} does not exist, and stays"
                )
            elif self._variables.numbered:
                keys.changed(key, f"{self._place}.command: the number of a process begins with 0, and is kept")
            else:
                keys.carried(key, f"{self._place}.command")
        if not words:
            keys.refuse("cmd", "is missing: name the program")
        shell = keys.boolean("shell", yes=YES, no=NO)
        if shell is not None:
            keys.carried("shell", "nothing, as circus quotes each word")
        return words

    def _folder_and_user(self) -> None:
        keys = self._keys
        folder = keys.take("working_dir")
        if folder is not None:
            self.options["cwd"] = self._text(folder)
            keys.carried("working_dir", f"{self._place}.cwd")
        user, group = keys.take("uid"), keys.take("gid")
        if user is not None:
            self.options["user"] = f"{user}:{group}" if group else int(user) if user.isdecimal() else user
            keys.carried("uid", f"{self._place}.user")
        if group is not None:
            if user is None:
                keys.lost("gid", 'user = "name:group" sets both')
            else:
                keys.carried("gid", f"{self._place}.user")

    def _environment(self, environ: Mapping[str, str]) -> None:
        copied = self._keys.boolean("copy_env", yes=YES, no=NO)
        if copied is not None:
            option = "extra_env" if copied else "env"
            self._keys.carried("copy_env", f"{self._place}.{option}" if environ or not copied else "as without env =")
        if not copied:
            self.options["env"] = dict(environ)
        elif environ:
            self.options["extra_env"] = dict(environ)

    def _start(self, count: int) -> None:
        keys = self._keys
        starts = keys.boolean("autostart", yes=YES, no=NO)
        if starts is False:
            keys.changed("autostart", "enabled = false leaves the service out: write true to have it")
        elif starts is True:
            keys.carried("autostart", "all services of a file are started")
        if starts is False or count == 0:
            self.options["enabled"] = False

    def _listen(self) -> None:
        keys = self._keys
        uses = keys.boolean("use_sockets", yes=YES, no=NO)
        as_input = keys.take("stdin_socket")
        wanted = [*dict.fromkeys(self._variables.used)]
        if as_input is not None:
            name = as_input.strip().lower()
            if name in self._sockets:
                wanted = [name, *(each for each in wanted if each != name)]
                self.options["command"] = [*_AS_INPUT, *self.options["command"]]
                keys.changed("stdin_socket", f"{self._place}.listen: a shell makes descriptor 3 the standard input")
            else:
                keys.refuse("stdin_socket", "names a socket, and there is no such section")
        if uses and not wanted:
            wanted = [*self._sockets]
        if wanted:
            self.options["listen"] = {name: self._sockets[name] for name in wanted}
        if uses is not None:
            keys.carried("use_sockets", f"{self._place}.listen" if wanted else "no sockets, as without listen")
        on_demand = keys.boolean("on_demand", yes=YES, no=NO)
        if on_demand is not None:
            keys.carried("on_demand", f"{self._place}.on_demand")
        if on_demand:
            self.options["on_demand"] = True

    def _limits(self) -> None:
        keys = self._keys
        limits: dict[str, int] = {}
        for key in keys.rest():
            name = key.lower().removeprefix("rlimit_")
            if not key.lower().startswith("rlimit_"):
                continue
            value = keys.value(key) or ""
            if name not in _RESOURCES:
                keys.take(key)
                keys.lost(key, "prlimit has no such limit")
            elif not value.strip():
                keys.take(key)
                limits[name] = -1
                keys.carried(key, f"{self._place}.rlimits.{name}")
            elif (number := keys.whole(key, least=-1)) is not None:
                limits[name] = number
                keys.carried(key, f"{self._place}.rlimits.{name}")
        if limits:
            self.options["rlimits"] = limits

    def _age(self) -> None:
        keys = self._keys
        had_variance = keys.value("max_age_variance") is not None
        age, variance = keys.whole("max_age"), keys.whole("max_age_variance")
        if not age:
            for key, had in (("max_age", age is not None), ("max_age_variance", had_variance)):
                if had:
                    keys.carried(key, "nothing, as no age is set")
            return
        half = (_VARIANCE if variance is None else variance) / 2
        middle = age + half
        self.options["recycle"] = {
            "age": int(middle) if middle.is_integer() else middle,
            "spread": round(half / middle, 4),
        }
        keys.changed("max_age", f"{self._place}.recycle.age is the middle of the ages; instances are rolled")
        if had_variance:
            keys.changed("max_age_variance", f"{self._place}.recycle.spread is its half, as a part of the age")

    def _rest(self) -> None:
        keys = self._keys
        reloads = keys.boolean("send_hup", yes=YES, no=NO)
        if reloads is not None:
            keys.carried("send_hup", f"{self._place}.reload" if reloads else "no signal, as without reload")
        if reloads:
            self.options["reload"] = "SIGHUP"
        for key, why in _LOST.items():
            if keys.take(key) is not None:
                keys.lost(key, why)
        for key in keys.rest():
            keys.take(key)
            if key.startswith("hooks."):
                keys.lost(key, _HOOKS.get(key.removeprefix("hooks."), _OTHER_HOOK))
            else:
                keys.lost(key, "circus has no such key: it is a variable for cmd and args alone")
