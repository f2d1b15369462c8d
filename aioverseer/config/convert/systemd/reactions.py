"""Commands that follow an event of a unit: ``OnFailure=``, ``OnSuccess=`` and ``ExecStartPost=``, as hooks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aioverseer.config.convert.conversion import Notes
from aioverseer.config.convert.keys import Problems
from aioverseer.config.convert.systemd.directives import Directives
from aioverseer.config.convert.systemd.service import UnitService, service_name
from aioverseer.config.convert.systemd.unit_file import UnitFile

__all__ = ["Reactions"]

_EVENTS = {"OnFailure": "failed"}
_NO_UNIT = "the unit is no part of this file: [[hooks]] starts a command for an event"
_ALONE = "a hook has its command, its variables and its folder alone"

_DOUBLED = re.compile(r"\{\{(index|id|run|port|fd\.[^{}:]+)\}\}")


class Reactions:
    """Units that others start when they fail, and the hooks that take their place."""

    def __init__(self, units: Mapping[str, UnitFile]) -> None:
        """Find the units that start in no other way.

        Args:
            units: Units by their names.
        """
        self._units = units
        self.hooks: list[dict[str, Any]] = []
        named = {
            file
            for unit in units.values()
            for key in _EVENTS
            for word in " ".join(unit.sections.get("Unit", {}).get(key, ())).split()
            if (file := self._file_of(word)) is not None
        }
        self.names = {name for name in named if not units[name].sections.get("Install", {}).get("WantedBy")}
        """Units that are hooks and no services."""

    def read(self, service: UnitService, head: Directives) -> None:
        """Take the keys of one service, and add its hooks.

        Args:
            service: The service.
            head: Keys of its section Unit.
        """
        for key, event in _EVENTS.items():
            words = " ".join(head.take_all(key)).split()
            made = [hook for word in words if (hook := self._hook(service.specifiers.text(word), word)) is not None]
            self.hooks += [{"on": [event], "services": [service.name], **hook} for hook in made]
            if words and len(made) == len(words):
                head.changed(key, f'hooks, on = ["{event}"]: the command gets the event as JSON on its input')
            elif words:
                head.lost(key, _NO_UNIT)
        if service.after_start:
            folder = service.options.get("cwd", "/")
            hook = {"run": _words(service.after_start), "cwd": folder}
            variables = service.options.get("extra_env")
            extra = {"extra_env": variables} if variables else {}
            self.hooks.append({"on": ["running"], "services": [service.name], **hook, **extra})

    def note(self, name: str, keys: Directives, section: str) -> None:
        """Note the keys of a unit that is a hook.

        Args:
            name: Name of the unit.
            keys: Keys of one section of it.
            section: Name of the section.
        """
        for key in keys.rest():
            keys.take(key)
            if section == "Service" and key in ("ExecStart", "Environment", "WorkingDirectory", "Type"):
                keys.carried(key, f"hooks: {service_name(name)} is a hook, as others start it alone")
            else:
                keys.lost(key, _ALONE)

    def _file_of(self, word: str) -> str | None:
        """Return the name of the file of a unit, which may be a template."""
        prefix, at, rest = word.partition("@")
        template = f"{prefix}@.{rest.rpartition('.')[2]}" if at else word
        return next((each for each in (word, template) if each in self._units and each.endswith(".service")), None)

    def _hook(self, name: str, word: str) -> dict[str, Any] | None:
        file = self._file_of(word)
        if file is None:
            return None
        sections = self._units[file].sections
        problems, notes = Problems(file), Notes()
        service = UnitService(
            name,
            Directives(file, sections.get("Service", {}), notes, problems),
            Directives(file, {}, notes, problems),
            wanted=False,
        )
        problems.raise_any()
        variables = service.options.get("extra_env")
        extra = {"extra_env": variables} if variables else {}
        return {"run": _words(service.options["command"]), "cwd": service.options.get("cwd", "/"), **extra}


def _words(words: Iterable[str]) -> list[str]:
    """Return words of a hook, in which no braces are replaced."""
    return [_DOUBLED.sub(r"{\1}", word) for word in words]
