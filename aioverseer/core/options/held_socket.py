"""The base of listening sockets that an overseer holds, and the checks of ``listen`` and ``on_demand``.

Every Spec needs this file to check its options; the kinds of sockets are in ``listen.py``, which few programs need.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.checker import Checker
from aioverseer.core.options.composition import Probe, leaves

__all__ = ["FIRST_DESCRIPTOR", "HeldSocket", "check_listen", "check_listening", "check_on_demand"]

FIRST_DESCRIPTOR = 3
"""Descriptor of the first socket in the program (SD_LISTEN_FDS_START)."""

_LONGEST_NAME = 255
"""Characters of a name, as in systemd.socket(5) under FileDescriptorName."""
_HINT = 'pass names and sockets, for example {"http": listen.tcp(8000)}'


@exported_from("aioverseer.listen")
class HeldSocket:
    """A listening socket that the overseer holds; made by the functions of ``aioverseer.listen``."""

    __slots__ = ()

    def is_reached_by(self, probe: Probe) -> bool:
        """Return whether a probe connects to this socket, as far as its address tells."""
        raise NotImplementedError

    def below(self, folder: str | None) -> HeldSocket:
        """Return the same socket with its path below a folder, if it has a relative path."""
        del folder
        return self

    def takes_connections_for(self, probe: Probe) -> bool:
        """Return whether a probe succeeds by a connection to this socket alone, which needs no program."""
        raise NotImplementedError


def check_listen(check: Checker, value: object) -> object:
    """Return the sockets by name, in the order of their descriptors in the program."""
    given: object = value
    if not isinstance(given, Mapping):
        raise check.refuse("listen", value, f"is no dict: {_HINT}")
    sockets = cast("Mapping[object, object]", given)
    for name, held in sockets.items():
        if (why := _unfit_name(name)) is not None:
            raise check.refuse("listen", value, f"has the name {name!r}, which {why}")
        if not isinstance(held, HeldSocket):
            raise check.refuse("listen", value, f"has {held!r} for {name!r}, which is no socket: {_HINT}")
    if len(set(sockets.values())) < len(sockets):
        raise check.refuse("listen", value, "has one socket under two names: leave one out")
    return MappingProxyType(dict(sockets))


def _unfit_name(name: object) -> str | None:
    if not isinstance(name, str) or not name:
        return "is no text: pass a str such as 'http'"
    if not (name.isascii() and name.isprintable()) or ":" in name or len(name) > _LONGEST_NAME:
        # Variables hold the names joined by ":", see sd_listen_fds(3).
        return f"no variable can pass on: use printable ASCII without ':', {_LONGEST_NAME} characters at most"
    return None


def check_listening(check: Checker, values: Mapping[str, Any]) -> None:
    """Check that probes tell of the program, and not of a socket that takes connections without one."""
    sockets: Mapping[str, HeldSocket] = values["listen"]
    is_shared = values["instances"] is not None
    for option, probe in _probes(values):
        for leaf in leaves(probe):
            for name, held in sockets.items():
                if held.takes_connections_for(leaf):
                    why = (
                        f"the overseer holds that socket (listen[{name!r}]), and it takes connections without a program"
                    )
                elif is_shared and held.is_reached_by(leaf):
                    why = f"all instances share that socket (listen[{name!r}]), and any of them answers"
                else:
                    continue
                raise SpecError(
                    f"service {check.id!r}: {option}={str(leaf)!r} says nothing about the program: {why}; take "
                    f"ready.notify(), fd(), line(), file() or check(){'' if is_shared else ', or http()'}",
                    option=option,
                    value=leaf,
                )
    _check_descriptors(check, values, len(sockets))


def _check_descriptors(check: Checker, values: Mapping[str, Any], sockets: int) -> None:
    """Check that no readiness probe uses the descriptor of a socket."""
    used = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + sockets)
    for option, probe in _probes(values):
        for leaf in leaves(probe):
            number: object = getattr(leaf, "number", None)
            if number in used:
                free = used.stop
                hint = f"pass ready.fd({free})" if free < 10 else "take another probe"  # noqa: PLR2004  # see ready.fd
                raise SpecError(
                    f"service {check.id!r}: {option}={str(leaf)!r} is the descriptor of a socket of listen=: {hint}",
                    option=option,
                    value=leaf,
                )


def _probes(values: Mapping[str, Any]) -> list[tuple[str, Probe]]:
    found: list[tuple[str, Probe]] = []
    if values["ready"] is not None:
        found.append(("ready", values["ready"]))
    if values["alive"] is not None:
        found.append(("alive", values["alive"].probe))
    return found


def check_on_demand(check: Checker, values: Mapping[str, Any]) -> None:
    """Check that there is a socket to wait on, and nothing that needs the program all the time."""
    on_demand = values["on_demand"]
    if not values["listen"]:
        raise check.refuse("on_demand", on_demand, "waits for a connection, and there is no socket: pass listen=")
    if values["critical"]:
        raise check.refuse("on_demand", on_demand, "cannot go with critical=True: between connections it is down")
