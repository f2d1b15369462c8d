"""Reader of the INI files of supervisord 4; ``program.py`` reads one program, this file all else.

The names of the keys are those of http://supervisord.org/configuration.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from aioverseer.config.convert.conversion import Conversion, Notes
from aioverseer.config.convert.ini import read_ini
from aioverseer.config.convert.keys import Keys, Problems
from aioverseer.config.convert.order import PRIORITY, order_by
from aioverseer.config.convert.source import Source
from aioverseer.config.convert.supervisord.environment import with_itself
from aioverseer.config.convert.supervisord.expressions import Expressions
from aioverseer.config.convert.supervisord.fastcgi import with_socket
from aioverseer.config.convert.supervisord.policy import USUAL_RESTART, USUAL_STOP
from aioverseer.config.convert.supervisord.program import LAST, Program, read_program
from aioverseer.config.convert.supervisord.words import NO, YES

__all__ = ["read_supervisord"]

_OWN_LOG = "aioverseer up writes its messages to standard error: redirect them where it is started"
_LIMIT = "raise the limit where aioverseer is started, or of one service by rlimits ="
_AUTO = "there are no AUTO log files: log = names a file"
_MAIN: dict[str, str] = {
    "logfile": _OWN_LOG,
    "logfile_maxbytes": _OWN_LOG,
    "logfile_backups": _OWN_LOG,
    "loglevel": _OWN_LOG,
    "pidfile": "aioverseer up writes no pid file",
    "minfds": _LIMIT,
    "minprocs": _LIMIT,
    "childlogdir": _AUTO,
    "nocleanup": _AUTO,
    "profile_options": "there is no profiler",
}
"""Keys of the section supervisord that have no counterpart."""
_SERVER = "there is no XML-RPC server: aioverseer has a control interface of its own"
_CLIENT = "supervisorctl is for supervisord alone"
_LISTENER = (
    "an event listener speaks the protocol of supervisord: [[hooks]] starts a command for each event, with the event "
    "as JSON on its input"
)
_PLUGIN = "a plugin of supervisord"
_FOREIGN: dict[str, str] = {
    "unix_http_server": _SERVER,
    "inet_http_server": _SERVER,
    "supervisorctl": _CLIENT,
    "eventlistener": _LISTENER,
    "rpcinterface": _PLUGIN,
    "ctlplugin": _PLUGIN,
}
"""Sections without a counterpart, by the part of their name before the colon."""
_ON = {
    "PROCESS_STATE_FATAL": "fatal",
    "PROCESS_STATE_BACKOFF": "backoff",
    "PROCESS_STATE_EXITED": "finished",
    "PROCESS_STATE_RUNNING": "running",
    "PROCESS_STATE_STARTING": "starting",
    "PROCESS_STATE_STOPPING": "stopping",
    "PROCESS_STATE_STOPPED": "interrupted",
}


def read_supervisord(source: Source) -> Conversion:
    """Return the services of a configuration file.

    Args:
        source: The file.

    Raises:
        ConfigError: With everything that supervisord would refuse, too.
    """
    return _SupervisordReader(source).read()


class _SupervisordReader:
    """One file, and what has been read of it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._notes = Notes()
        self._problems = Problems(source.path)
        self._words = {"here": source.folder}
        self._sections = self._parsed(source.text, source.path)
        self._data: dict[str, Any] = {}
        self._defaults: dict[str, Any] = {}
        self._programs: list[Program] = []

    def read(self) -> Conversion:
        self._include()
        groups = self._groups()
        main = self._sections.get("supervisord")
        if main is not None:  # its variables are those of all programs
            self._main(Keys("supervisord", main, self._notes, self._problems))
        for section, values in self._sections.items():
            kind, _, name = section.partition(":")
            keys = Keys(section, values, self._notes, self._problems)
            if kind in ("program", "fcgi-program"):
                self._program(keys, kind, name, *groups.get(name, ("", None)))
            elif kind not in ("group", "include", "supervisord"):
                self._foreign(keys, kind)
        self._usual()
        self._problems.raise_any()
        order_by((program.priority, program.services) for program in self._programs)
        services = {name: options for program in self._programs for name, options in program.services.items()}
        defaults = {"defaults": self._defaults} if self._defaults else {}
        return Conversion(data={"version": 1, **self._data, **defaults, "services": services}, notes=self._notes.all())

    def _parsed(self, text: str, path: str) -> dict[str, dict[str, str]]:
        return read_ini(text, path, inline_comments=(";", "#"), small=True)

    def _include(self) -> None:
        values = self._sections.get("include")
        if values is None:
            return
        keys = Keys("include", values, self._notes, self._problems)
        files = keys.take("files")
        if files is None:
            keys.refuse("files", "is missing: name the files to include")
        elif self._source.included is None:
            keys.lost("files", "convert these files as well, and name the results in include =")
        else:
            for pattern in Expressions(self._words).plain(files).split():
                for path, text in self._source.included(pattern).items():
                    for section, more in self._parsed(text, path).items():
                        self._sections.setdefault(section, {}).update(more)
            keys.carried("files", "the services of these files are part of this one")
        _drop_rest(keys, "supervisord has no such key here, and ignores it")

    def _groups(self) -> dict[str, tuple[str, int]]:
        """Return the name and the priority of the group of each program."""
        groups: dict[str, tuple[str, int]] = {}
        for section, values in self._sections.items():
            kind, _, name = section.partition(":")
            if kind != "group":
                continue
            keys = Keys(section, values, self._notes, self._problems)
            priority = keys.whole("priority", least=-(2**31))
            if priority is not None:
                keys.changed("priority", PRIORITY)
            members = [each for each in re.split(r"[\s,]+", keys.take("programs") or "") if each]
            if not members:
                keys.refuse("programs", "is missing: name the programs of the group")
            for member in members:
                if not {f"program:{member}", f"fcgi-program:{member}"} & set(self._sections):
                    keys.refuse("programs", f"names {member!r}, and there is no such program")
                groups[member] = (name, LAST if priority is None else priority)
            keys.carried("programs", f'group = "{name}" of each of them')
            _drop_rest(keys, "supervisord has no such key here, and ignores it")
        return groups

    def _main(self, keys: Keys) -> None:
        for key, why in _MAIN.items():
            if keys.take(key) is not None:
                keys.lost(key, why)
        foreground = keys.boolean("nodaemon", yes=YES, no=NO)
        if foreground is True:
            keys.carried("nodaemon", "aioverseer up stays in the foreground")
        elif foreground is False:
            keys.lost("nodaemon", "aioverseer up stays in the foreground: start it by systemd or in a container")
        for key, shown in (("silent", "the lines of the services"), ("strip_ansi", "colours")):
            wanted = keys.boolean(key, yes=YES, no=NO)
            if wanted is True:
                keys.lost(key, f"{shown} are not taken out")
            elif wanted is False:
                keys.carried(key, "off, as without it")
        identifier = keys.take("identifier")
        if identifier is not None:
            self._data["name"] = identifier
            keys.carried("identifier", "name")
        self._main_options(keys, foreground=foreground is True)
        _drop_rest(keys, "supervisord has no such key here, and ignores it")

    def _main_options(self, keys: Keys, *, foreground: bool) -> None:
        """Read what all programs inherit from supervisord."""
        expressions = Expressions(self._words)
        umask = keys.take("umask")
        if umask is not None:
            self._defaults["umask"] = umask
            keys.carried("umask", "defaults.umask")
        user = keys.take("user")
        if user == "root":
            keys.carried("user", "the services run as the user who starts aioverseer")
        elif user is not None:
            self._defaults["user"] = int(user) if user.isdecimal() else user
            keys.changed("user", "defaults.user: aioverseer itself stays the user who starts it")
        directory = keys.take("directory")
        if directory is not None and foreground:
            keys.carried("directory", "nothing, as nodaemon = true makes supervisord ignore it")
        elif directory is not None:
            self._defaults["cwd"] = self._text(keys, "directory", expressions.text, directory)
            keys.carried("directory", "defaults.cwd")
        environment = keys.take("environment")
        if environment is not None:
            variables = self._text(keys, "environment", lambda text: with_itself(text, expressions)[0], environment)
            self._defaults["extra_env"] = variables or {}
            keys.carried("environment", "defaults.extra_env")

    def _text(self, keys: Keys, key: str, read: Callable[[str], Any], value: str) -> Any:
        try:
            return read(value)
        except ValueError as error:
            keys.refuse(key, str(error))
            return None

    def _program(self, keys: Keys, kind: str, name: str, group: str, priority: int | None) -> None:
        read = with_socket if kind == "fcgi-program" else read_program
        variables = self._defaults.get("extra_env", {})
        self._programs.append(
            read(keys, name, group=group, group_priority=priority, words=self._words, variables=variables)
        )

    def _foreign(self, keys: Keys, kind: str) -> None:
        why = _FOREIGN.get(kind, "supervisord has no such section, and ignores it")
        events = keys.take("events") if kind == "eventlistener" else None
        if events is not None:
            words = [each.strip().upper() for each in events.split(",")]
            on = ", ".join(f'"{_ON[each]}"' for each in words if each in _ON)
            keys.lost("events", f"{why}; here on = [{on}]" if on else why)
        _drop_rest(keys, why)

    def _usual(self) -> None:
        """Add what supervisord does with a program that says nothing about it."""
        if not self._programs:
            return
        self._defaults["restart"] = USUAL_RESTART
        self._defaults["stop"] = USUAL_STOP
        retries = f"defaults.restart counts the restarts of {USUAL_RESTART['within']} s, those after a good start too"
        self._notes.changed("program:*", "startretries", f"without it supervisord tries 3 times: {retries}")
        alone = "without it the program alone is signalled: defaults.stop.scope"
        self._notes.carried("program:*", "stopasgroup", alone)


def _drop_rest(keys: Keys, why: str) -> None:
    for key in keys.rest():
        keys.take(key)
        keys.lost(key, why)
