"""PortPool: gives each run a port that no other run of the overseer has."""

from __future__ import annotations

import errno
import os

from aioverseer._system.host.free_ports import is_free, quiet_ports
from aioverseer.core.errors import SpawnError

__all__ = ["PortPool"]

_SHOWN = 3
"""Holders of ports that the message about an exhausted range names."""


class PortPool:
    """The ports of the runs of one overseer.

    Ports of a range are handed out in a cycle. A port that was given back comes last, because its last program may
    still be ending.
    """

    def __init__(self) -> None:
        self._held: dict[int, str] = {}
        self._next: dict[range, int] = {}

    def take(self, ports: range | None, owner: str) -> int:
        """Return a free port, held until ``give_back``.

        Args:
            ports: Ports to choose from; None for any port.
            owner: Name of the service, for the message of a later error.

        Raises:
            SpawnError: If none is free.
        """
        chosen_from = quiet_ports() if ports is None else ports
        count = len(chosen_from)
        # Two overseers of one machine begin at different ports.
        begin = self._next.get(chosen_from, os.getpid() * 97 if ports is None else 0)
        for step in range(count):
            place = (begin + step) % count
            port = chosen_from[place]
            if port not in self._held and is_free(port, reuse=ports is not None):
                self._next[chosen_from] = place + 1
                self._held[port] = owner
                return port
        raise self._exhausted(chosen_from, owner)

    def give_back(self, port: int) -> None:
        """Let other runs have a port."""
        self._held.pop(port, None)

    def _exhausted(self, ports: range, owner: str) -> SpawnError:
        holders = [f"{port} by {self._held[port]!r}" for port in ports if port in self._held]
        shown = ", ".join(holders[:_SHOWN]) + (", ..." if len(holders) > _SHOWN else "")
        other = len(ports) - len(holders)
        parts = [f"{len(holders)} held: {shown}"] if holders else []
        parts += [f"{other} in use by programs outside of this overseer"] if other else []
        return SpawnError(
            f"{owner!r} gets no port: none of {ports} is free ({'; '.join(parts)}): pass a larger port=range(...)",
            errno=errno.EADDRINUSE,
        )
