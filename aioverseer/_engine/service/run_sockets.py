"""RunSockets: the listening sockets of one service, opened for its runs and closed after the last of them."""

from __future__ import annotations

from collections.abc import Callable

from aioverseer._engine.service.owner import SocketHolder
from aioverseer._system.protocols import ReadinessChannels
from aioverseer.core.options.spec import Spec, names_descriptors

__all__ = ["RunSockets", "are_announced"]


class RunSockets:
    """The sockets that a service holds for its runs."""

    def __init__(self, holder: Callable[[], SocketHolder], *, has_other_runs: Callable[[], bool]) -> None:
        """Hold none yet.

        Args:
            holder: Function that returns the sockets of the overseer.
            has_other_runs: Function that returns whether a run lives beside the current one.
        """
        self._holder = holder
        self._has_other_runs = has_other_runs
        self._is_holding = False

    def hold(self, spec: Spec, *, announced: bool) -> ReadinessChannels:
        """Open the sockets of a run, or keep them open. A run beside it keeps its own.

        Args:
            spec: The options of the run.
            announced: Whether the program learns of them by variables; see ``are_announced``.

        Raises:
            SpawnError: If a socket cannot be opened.
        """
        self._is_holding = True
        holder = self._holder()
        descriptors = holder.hold(spec)
        if not self._has_other_runs():
            holder.release(spec.id, keeping=spec)
        return ReadinessChannels(sockets=descriptors, announces_sockets=announced)

    def release(self, id: str, *, keeping: Spec | None = None) -> None:
        """Close the sockets. Idempotent.

        Args:
            id: The name of the service.
            keeping: A Spec whose sockets stay open; None for none.
        """
        if self._is_holding:
            self._is_holding = bool(keeping and keeping.listen)
            self._holder().release(id, keeping=keeping)


def are_announced(spec: Spec) -> bool:
    """Return whether the program learns of its sockets by variables, as its command does not name them."""
    return not (spec.listen and names_descriptors(spec))
