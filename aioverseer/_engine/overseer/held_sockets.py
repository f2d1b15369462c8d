"""The listening sockets of an overseer. They outlive programs, and services that name the same socket share it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from aioverseer._system.host.listening import OpenListener, open_listening
from aioverseer.core.options.held_socket import HeldSocket
from aioverseer.core.options.spec import Spec

__all__ = ["HeldSockets"]


class HeldSockets:
    """The open sockets of all services. A socket is open while a service holds it."""

    def __init__(self, *, are_real: bool) -> None:
        """Begin without sockets.

        Args:
            are_real: Whether sockets are opened. If not, their descriptors are -1.
        """
        self._are_real = are_real
        self._open: dict[HeldSocket, OpenListener] = {}
        self._holders: dict[HeldSocket, set[str]] = {}
        self._of: dict[str, set[HeldSocket]] = {}

    def hold(self, spec: Spec) -> Mapping[str, int]:
        """Open the sockets of a service, in addition to those that it holds already.

        Returns:
            The descriptors by name.

        Raises:
            SpawnError: If a socket cannot be opened. The service then holds what it held before.
        """
        if not self._are_real:
            return dict.fromkeys(spec.listen, -1)
        wanted = _by_name(spec)
        fresh: list[HeldSocket] = []
        try:
            for name, held in wanted.items():
                if held not in self._open:
                    self._open[held] = open_listening(spec.id, name, held, os.environ)
                    fresh.append(held)
        except BaseException:
            for held in fresh:
                self._open.pop(held).close()
            raise
        for held in wanted.values():
            self._holders.setdefault(held, set()).add(spec.id)
            self._of.setdefault(spec.id, set()).add(held)
        return {name: self._open[held].descriptor for name, held in wanted.items()}

    def release(self, id: str, *, keeping: Spec | None = None) -> None:
        """Close the sockets of a service that no other service holds. Idempotent.

        Args:
            id: The name of the service.
            keeping: A Spec whose sockets it goes on to hold; None for none.
        """
        kept = () if keeping is None else _by_name(keeping).values()
        before = self._of.pop(id, set())
        if still := before.intersection(kept):
            self._of[id] = still
        for held in before - still:
            holders = self._holders[held]
            holders.discard(id)
            if not holders:
                del self._holders[held]
                self._open.pop(held).close()


def _by_name(spec: Spec) -> dict[str, HeldSocket]:
    return {name: held.below(spec.cwd) for name, held in spec.listen.items()}
