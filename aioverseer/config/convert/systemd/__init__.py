"""Reader of the units of systemd: one, or a folder of them with their drop-in files, sockets and timers.

``service.py`` reads the program of a unit, ``ordering.py`` its dependencies, ``lost.py`` names what has no counterpart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aioverseer.config.convert.conversion import Conversion, Notes
from aioverseer.config.convert.keys import Problems
from aioverseer.config.convert.source import Source
from aioverseer.config.convert.systemd.directives import Directives
from aioverseer.config.convert.systemd.lost import INSTALL, SOCKET, TIMER, UNIT
from aioverseer.config.convert.systemd.ordering import Ordering
from aioverseer.config.convert.systemd.policy import STOP_SECONDS, USUAL_RESTART
from aioverseer.config.convert.systemd.reactions import Reactions
from aioverseer.config.convert.systemd.schedule import read_schedule
from aioverseer.config.convert.systemd.service import UnitService, service_name
from aioverseer.config.convert.systemd.sockets import read_sockets
from aioverseer.config.convert.systemd.unit_file import UnitFile, read_unit

__all__ = ["read_systemd", "read_units"]

_KINDS = ("service", "socket", "timer", "target", "path", "slice", "mount", "automount", "swap", "scope", "device")
_NO_KIND = "there are services, sockets and timers alone"
_NO_SERVICE = "the service of this unit is missing: convert the folder of both"


def read_systemd(source: Source) -> Conversion:
    """Return the service of a unit. Its drop-in files, and its socket and timer, are read where they can be found.

    Args:
        source: The unit.

    Raises:
        ConfigError: With everything that is wrong.
    """
    texts = {source.path: source.text}
    if source.included is not None:
        name = _unit_of(source.path)
        stem = name.rpartition(".")[0]
        # A pattern finds nothing where a name would have to exist: the last letter of each ending is one.
        for ending in ("service", "socket", "timer"):
            if name != f"{stem}.{ending}":
                texts |= source.included(f"{stem}.{ending[:-1]}[{ending[-1]}]")
        texts |= source.included(f"{name}.d/*.conf")
    return read_units(texts)


def read_units(texts: Mapping[str, str]) -> Conversion:
    """Return the services of several units.

    Args:
        texts: Text by path. A path such as ``web.service.d/memory.conf`` is a drop-in file of ``web.service``.

    Raises:
        ConfigError: With everything that is wrong.
    """
    units: dict[str, UnitFile] = {}
    # Drop-in files come after the units, in the order of their names.
    for path in sorted(texts, key=lambda each: (_is_drop_in(each), each.rpartition("/")[2])):
        name = _unit_of(path)
        read_unit(texts[path], path, units.setdefault(name, UnitFile(name)))
    return _UnitsReader(units, next(iter(texts), "")).read()


def _is_drop_in(path: str) -> bool:
    folder = path.rpartition("/")[0].rpartition("/")[2]
    return folder.endswith(".d") and folder.removesuffix(".d").rpartition(".")[2] in _KINDS


def _unit_of(path: str) -> str:
    """Return the name of the unit that a file describes or changes."""
    folder, _, name = path.rpartition("/")
    if _is_drop_in(path):
        return folder.rpartition("/")[2].removesuffix(".d")
    stem, dot, kind = name.rpartition(".")
    return name if kind in _KINDS else f"{stem if dot else name}.service"


class _UnitsReader:
    """A set of units, and what has been read of them."""

    def __init__(self, units: Mapping[str, UnitFile], path: str) -> None:
        self._units = units
        self._notes = Notes()
        self._problems = Problems(path)
        self._services: dict[str, UnitService] = {}
        self._reactions = Reactions(units)

    def read(self) -> Conversion:
        ordering = Ordering()
        for name, unit in self._units.items():
            if name in self._reactions.names:
                for section in unit.sections:
                    self._reactions.note(name, self._keys(unit, section), section)
            elif name.endswith(".service"):
                self._service(unit, ordering)
        for name, unit in self._units.items():
            kind = name.rpartition(".")[2]
            if kind == "timer":
                self._timer(unit)
            elif kind == "socket":
                self._socket(unit)
            elif kind != "service":
                for section in unit.sections:
                    self._keys(unit, section).lose_rest(_NO_KIND)
        ordering.apply(self._services, {name for name in self._units if name.endswith((".socket", ".timer"))})
        self._problems.raise_any()
        services = {service.name: service.options for service in self._services.values()}
        defaults = {"defaults": self._usual()} if services else {}
        hooks = {"hooks": self._reactions.hooks} if self._reactions.hooks else {}
        return Conversion(data={"version": 1, **defaults, "services": services, **hooks}, notes=self._notes.all())

    def _keys(self, unit: UnitFile, section: str) -> Directives:
        values = unit.sections.get(section, {})
        return Directives(f"{unit.name} [{section}]", values, self._notes, self._problems)

    def _service(self, unit: UnitFile, ordering: Ordering) -> None:
        head, install = self._keys(unit, "Unit"), self._keys(unit, "Install")
        wanted = self._head(head, install)
        service = UnitService(unit.name, self._keys(unit, "Service"), head, wanted=wanted)
        if unit.name.partition("@")[2] == ".service":
            service.options["instances"] = 1
            text = "a template: %i is {index}, the number of an instance, from 0 on"
            self._notes.changed(f"{unit.name} [Service]", "%i", text)
        self._services[unit.name] = service
        ordering.read(service, head)
        self._reactions.read(service, head)
        head.lose_rest_of(UNIT)
        for section in unit.sections:
            if section not in ("Unit", "Service", "Install"):
                why = "systemd ignores it as well" if section.startswith("X-") else "no section of a service"
                self._keys(unit, section).lose_rest(why)

    def _head(self, head: Directives, install: Directives) -> bool:
        """Read what all kinds of units have, and return whether a target wants the unit."""
        for key in ("Description", "Documentation"):
            if head.take(key) is not None:
                head.lost(key, "a comment in the file says it")
        wanted = False
        for key in ("WantedBy", "RequiredBy", "UpheldBy"):
            if install.take(key) is not None:
                wanted = True
                install.carried(key, "all services of a file are started")
        install.lose_rest_of(INSTALL)
        return wanted

    def _timer(self, unit: UnitFile) -> None:
        keys = self._keys(unit, "Timer")
        service = self._named(keys, unit, "Unit")
        self._rest_of_helper(unit)
        if service is None:
            keys.lose_rest(_NO_SERVICE)
            return
        schedule = read_schedule(keys, f"services.{service.name}")
        if schedule is not None:
            service.options["schedule"] = schedule
        keys.lose_rest_of(TIMER)

    def _socket(self, unit: UnitFile) -> None:
        keys = self._keys(unit, "Socket")
        service = self._named(keys, unit, "Service")
        self._rest_of_helper(unit)
        if service is None:
            keys.lose_rest(_NO_SERVICE)
            return
        sockets = read_sockets(keys, unit.name, f"services.{service.name}")
        if sockets:
            service.options["listen"] = {**service.options.get("listen", {}), **sockets}
            if not service.wanted:
                service.options["on_demand"] = True
                text = f"the first connection starts it: services.{service.name}.on_demand"
                self._notes.carried(unit.name, "on_demand", text)
        keys.lose_rest_of(SOCKET, "it is for commands of the socket, of which there are none")

    def _named(self, keys: Directives, unit: UnitFile, key: str) -> UnitService | None:
        """Return the service of a timer or socket."""
        name = keys.value(key)
        service = self._services.get(name or f"{service_name(unit.name)}.service")
        if name is not None and service is not None:
            keys.take(key)
            keys.carried(key, f"services.{service.name}")
        return service

    def _rest_of_helper(self, unit: UnitFile) -> None:
        head, install = self._keys(unit, "Unit"), self._keys(unit, "Install")
        self._head(head, install)
        for key in head.rest():
            head.take(key)
            head.lost(key, "it is part of the service, which has an order of its own")
        for section in unit.sections:
            if section not in ("Unit", "Install", "Timer", "Socket"):
                self._keys(unit, section).lose_rest("no section of such a unit")

    def _usual(self) -> dict[str, Any]:
        """Return what systemd does with a unit that says nothing about it."""
        place = "*.service [Service]"
        self._notes.carried(place, "Restart", 'without it: defaults.restart.when = "never"')
        self._notes.carried(place, "SuccessExitStatus", "without it: defaults.restart.success_signals")
        self._notes.changed(place, "StartLimitBurst", "without it: defaults.restart.max_restarts counts restarts")
        self._notes.carried(place, "TimeoutStartSec", "without it: defaults.ready_timeout")
        self._notes.carried(place, "TimeoutStopSec", "without it: defaults.stop.timeout")
        self._notes.carried(place, "WorkingDirectory", "without it: defaults.cwd")
        inherits = "a service inherits the variables of aioverseer, and not those of the machine's manager"
        self._notes.changed(place, "Environment", inherits)
        return {"cwd": "/", "restart": USUAL_RESTART, "ready_timeout": STOP_SECONDS, "stop": {"timeout": STOP_SECONDS}}
