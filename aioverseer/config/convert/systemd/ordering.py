"""Dependencies between units as ``after``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from aioverseer.config.convert.systemd.directives import Directives
from aioverseer.config.convert.systemd.service import UnitService

__all__ = ["Ordering"]

_HARD = ("Requires", "Requisite", "BindsTo", "BindTo", "RequiresOverridable", "RequisiteOverridable")
_SOFT = ("Wants",)
_TOGETHER = ("PartOf", "StopPropagatedFrom")
_NOTHING = "nothing: what it names comes before aioverseer, or is part of the service"
_PROGRAMS = (".service", ".socket", ".timer", ".path")
"""Kinds of units that start a program."""
_KEYS = ("After", "Before", *_HARD, *_SOFT, *_TOGETHER)


@dataclass(slots=True)
class _Needs:
    """Names in the dependencies of one service, by key."""

    service: UnitService
    head: Directives
    words: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


class Ordering:
    """Dependencies of all services, which are known once all units are read."""

    def __init__(self) -> None:
        self._needs: list[_Needs] = []

    def read(self, service: UnitService, head: Directives) -> None:
        """Take the keys of one service.

        Args:
            service: The service.
            head: Keys of its section Unit.
        """
        words = {key: " ".join(values).split() for key in _KEYS if (values := head.take_all(key))}
        self._needs.append(_Needs(service, head, words))

    def apply(self, services: Mapping[str, UnitService], helpers: Collection[str]) -> None:
        """Set the option ``after`` of all services, and note what becomes of the keys.

        Args:
            services: Services by the names of their units.
            helpers: Names of sockets and timers among the units.
        """
        for needs in self._needs:
            for key, words in needs.words.items():
                self._note(needs, key, words, services, helpers)
            self._apply_one(needs, services)
        for service in services.values():
            edges = service.options.get("after")
            if edges:
                service.options["after"] = {name: _short(edge) for name, edge in edges.items()}

    def _apply_one(self, needs: _Needs, services: Mapping[str, UnitService]) -> None:
        def named(*keys: str) -> set[str]:
            return {word for key in keys for word in needs.words.get(key, ()) if word in services}

        own = needs.service
        for unit in named("Before"):
            _add(services[unit], own, {"hard": False})
        ordered, hard, together = named("After"), named(*_HARD), named(*_TOGETHER)
        for unit in sorted(ordered | hard | together):
            edge: dict[str, Any] = {} if unit in ordered else {"until": "started"}
            edge["hard"] = unit in hard
            if unit in hard | together and not services[unit].oneshot:
                edge["on_end"] = "stop"
            if unit in together:
                edge["on_restart"] = "restart"
            _add(own, services[unit], edge)

    def _note(
        self,
        needs: _Needs,
        key: str,
        words: list[str],
        services: Mapping[str, UnitService],
        helpers: Collection[str],
    ) -> None:
        head, place = needs.head, f"services.{needs.service.name}.after"
        here = [word for word in words if word in services]
        away = [word for word in words if word not in services and word not in helpers and word.endswith(_PROGRAMS)]
        if away:
            text = f"{', '.join(away)} {'is' if len(away) == 1 else 'are'} no part of this file"
            if here:
                head.changed(key, f"{place}; {text}")
            else:
                head.lost(key, f"{text}: prepare = may wait for it, or restart = tries again until it is there")
        elif not here:
            head.carried(key, _NOTHING)
        elif key in _SOFT:
            head.carried(key, "all services of a file are started")
        elif key == "Before":
            head.carried(key, "after of the other service")
        else:
            head.carried(key, place)


def _add(service: UnitService, other: UnitService, edge: dict[str, Any]) -> None:
    """Add a dependency. A service with a schedule has no dependents, as it is never done."""
    if other is service or "schedule" in other.options:
        return
    edges = service.options.setdefault("after", {})
    known = edges.get(other.name, {})
    until = edge.pop("until", "success" if other.oneshot else "ready")
    if until == "started":
        until = known.get("until", until)  # an order that another key asks for
    edges[other.name] = {**known, "until": until, **edge, "hard": edge["hard"] or known.get("hard", False)}


def _short(edge: dict[str, Any]) -> Any:
    """Return a dependency with what differs from the usual alone."""
    written = {key: value for key, value in edge.items() if (key, value) not in (("until", "ready"), ("hard", True))}
    return edge["until"] if not written or set(written) == {"until"} else written
