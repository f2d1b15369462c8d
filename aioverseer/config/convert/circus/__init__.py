"""Reader of the INI files of circus 0.19; ``watcher.py`` reads one watcher, ``sockets.py`` one socket.

The names of the keys are those of https://circus.readthedocs.io/en/latest/for-ops/configuration/.
"""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

from aioverseer.config.convert.circus.policy import USUAL_RESTART, USUAL_STOP
from aioverseer.config.convert.circus.sockets import read_socket
from aioverseer.config.convert.circus.variables import CircusVariables, with_shell_variables
from aioverseer.config.convert.circus.watcher import Watcher
from aioverseer.config.convert.conversion import Conversion, Notes
from aioverseer.config.convert.ini import read_ini
from aioverseer.config.convert.keys import Keys, Problems
from aioverseer.config.convert.order import order_by
from aioverseer.config.convert.source import Source

__all__ = ["read_circus"]

_ENDPOINT = "there is no ZeroMQ: aioverseer has a control interface of its own"
_STATS = "there is no circusd-stats: an application asks overseer.usage()"
_HTTPD = "there is no circushttpd"
_OWN_LOG = "aioverseer up writes its messages to standard error: redirect them where it is started"
_LOST: dict[str, str] = {
    **dict.fromkeys(
        ("endpoint", "endpoint_owner", "pubsub_endpoint", "multicast_endpoint", "papa_endpoint", "fqdn_prefix"),
        _ENDPOINT,
    ),
    **dict.fromkeys(("statsd", "stats_endpoint", "statsd_close_outputs"), _STATS),
    **dict.fromkeys(("httpd", "httpd_host", "httpd_port", "httpd_close_outputs"), _HTTPD),
    **dict.fromkeys(("debug", "debug_gc", "loglevel", "logoutput", "loggerconfig"), _OWN_LOG),
    "check_delay": "nothing is polled: an end is seen at once",
    "stream_backend": "there is one way to read output",
    "warmup_delay": "after = waits until another service is ready",
    "pidfile": "aioverseer up writes no pid file",
}
"""Keys of the section circus that have no counterpart."""
_PLUGIN = "a plugin is a Python class of circus: restart =, recycle = and [[hooks]] do what most of them are for"
_IGNORED = "circus has no such section, and ignores it"
_UNKNOWN = "circus has no such key here, and ignores it"


def read_circus(source: Source) -> Conversion:
    """Return the services of a configuration file.

    Args:
        source: The file.

    Raises:
        ConfigError: With everything that circus would refuse, too.
    """
    return _CircusReader(source).read()


class _CircusReader:
    """One file, and what has been read of it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._notes = Notes()
        self._problems = Problems(source.path)
        self._sections = self._parsed(source.text, source.path)
        self._defaults: dict[str, Any] = {}

    def read(self) -> Conversion:
        self._include()
        watchers = {
            section.partition(":")[2]: self._keys(section)
            for section in self._sections
            if section.startswith("watcher:")
        }
        sockets = self._sockets()
        environs = self._environs([*watchers])
        read: list[Watcher] = []
        for name, keys in watchers.items():
            read.append(Watcher(keys, name, environ=environs[name], sockets=sockets))
        for section in self._sections:
            kind = section.partition(":")[0]
            if section == "circus":
                self._main(self._keys(section))
            elif kind not in ("watcher", "socket", "env"):
                _drop_rest(self._keys(section), _PLUGIN if kind == "plugin" else _IGNORED)
        if read:
            self._usual()
        self._problems.raise_any()
        order_by((-watcher.priority, {watcher.name: watcher.options}) for watcher in read)
        defaults = {"defaults": self._defaults} if self._defaults else {}
        services = {watcher.name: watcher.options for watcher in read}
        return Conversion(data={"version": 1, **defaults, "services": services}, notes=self._notes.all())

    def _parsed(self, text: str, path: str) -> dict[str, dict[str, str]]:
        return read_ini(text, path, inline_comments=(";",), small=False)

    def _keys(self, section: str) -> Keys:
        return Keys(section, self._sections[section], self._notes, self._problems)

    def _include(self) -> None:
        main = self._sections.get("circus", {})
        for key, ending in (("include", ""), ("include_dir", "/*.ini")):
            value = main.pop(key, None)
            if value is None:
                continue
            if self._source.included is None:
                self._notes.lost("circus", key, "convert these files as well, and name the results in include =")
                continue
            for pattern in value.split():
                for path, text in self._source.included(f"{pattern}{ending}").items():
                    for section, more in self._parsed(text, path).items():
                        here = self._sections.setdefault(section, {})
                        here.update({name: each for name, each in more.items() if name not in here})
            self._notes.carried("circus", key, "the services of these files are part of this one")

    def _sockets(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for section in self._sections:
            if section.startswith("socket:"):
                name = section.partition(":")[2].lower()
                socket = read_socket(self._keys(section), CircusVariables({}, {}))
                if socket is not None:
                    found[name] = socket
        return found

    def _environs(self, names: list[str]) -> dict[str, dict[str, str]]:
        """Return the variables that the file sets for each watcher."""
        environs: dict[str, dict[str, str]] = {name: {} for name in names}
        ordered = sorted(self._sections, key=lambda section: section != "env")  # the general one comes first
        for section in ordered:
            kind, _, patterns = section.partition(":")
            if kind != "env":
                continue
            keys = self._keys(section)
            wanted = [each.strip() for each in patterns.split(",")] if patterns else ["*"]
            users = [name for name in names if any(fnmatch(name, pattern) for pattern in wanted)]
            for key in keys.rest():
                text = with_shell_variables(keys.take(key) or "")
                for name in users:
                    environs[name][key] = text
                if users:
                    keys.carried(key, f"{_of(users, names)}.env or extra_env")
                else:
                    keys.lost(key, "no watcher has such a name")
        return environs

    def _main(self, keys: Keys) -> None:
        for key, why in _LOST.items():
            if keys.take(key) is not None:
                keys.lost(key, why)
        umask = keys.take("umask")
        if umask is not None:
            self._defaults["umask"] = umask
            keys.carried("umask", "defaults.umask")
        _drop_rest(keys, _UNKNOWN)

    def _usual(self) -> None:
        """Add what circus does with a watcher that says nothing about it."""
        self._defaults |= {"restart": USUAL_RESTART, "stop": USUAL_STOP}
        text = "without it a process is run again without a limit: defaults.restart waits a second before it"
        self._notes.changed("watcher:*", "respawn", text)
        self._notes.carried("watcher:*", "graceful_timeout", "without it 30 s: defaults.stop.timeout")
        alone = "without it the process alone is signalled: defaults.stop.scope"
        self._notes.carried("watcher:*", "stop_children", alone)
        whole = "without it a process gets the variables of the file alone: services.*.env"
        self._notes.carried("watcher:*", "copy_env", whole)


def _of(users: list[str], names: list[str]) -> str:
    return (
        "services.*" if len(users) == len(names) and len(names) > 1 else ", ".join(f"services.{name}" for name in users)
    )


def _drop_rest(keys: Keys, why: str) -> None:
    for key in keys.rest():
        keys.take(key)
        keys.lost(key, why)
