"""A model of the supervisors of Erlang/OTP, with which groups are compared.

It is written from the pages "supervisor" of stdlib and "Supervisor Behaviour" of the design principles, independently
of this library. The end of a supervisor corresponds to a group that gives up. The children that a supervisor stops when
it gives up, and those that its parent stops as a result, are stopped together, in reverse order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Child", "Supervisor", "Tree"]

Type = Literal["always", "on-failure", "never"]
"""Named permanent, transient and temporary in OTP."""


@dataclass(eq=False)
class Child:
    """A worker."""

    name: str
    type: Type
    significant: bool = False
    alive: bool = False
    stopped: bool = False
    """Whether it was terminated by ``terminate_child``."""


@dataclass(eq=False)
class Supervisor:
    """A supervisor. ``type`` and ``significant`` are its role under its parent."""

    name: str
    strategy: Literal["one_for_one", "one_for_all", "rest_for_one"]
    intensity: int
    period: float
    type: Type = "on-failure"
    auto_shutdown: Literal["never", "any_significant", "all_significant"] = "never"
    significant: bool = False
    children: list[Child | Supervisor] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)

    def workers(self) -> Iterator[Child]:
        """Yield all workers below it, in the order of their start."""
        for child in self.children:
            if isinstance(child, Child):
                yield child
            else:
                yield from child.workers()

    @property
    def alive(self) -> bool:
        """Whether a worker below it runs."""
        return any(worker.alive for worker in self.workers())

    def supervisors(self) -> Iterator[Supervisor]:
        """Yield itself and all supervisors below it."""
        yield self
        for child in self.children:
            if isinstance(child, Supervisor):
                yield from child.supervisors()


class Tree:
    """A tree of supervisors. ``done`` lists its actions, in order."""

    def __init__(self, top: Supervisor) -> None:
        """Start all children."""
        self.top = top
        self.done: list[str] = []
        self.over: list[str] = []
        self.now = 0.0
        for worker in top.workers():
            worker.alive = True

    def above(self, child: Child | Supervisor) -> Supervisor | None:
        """Return the parent; None for the top."""
        return next((one for one in self.top.supervisors() if child in one.children), None)

    def terminates(self, worker: Child, *, abnormally: bool) -> None:
        """Handle a worker that has ended by itself."""
        worker.alive = False
        supervisor = self.above(worker)
        assert supervisor is not None
        if worker.type == "always" or (worker.type == "on-failure" and abnormally):
            self._restart(supervisor, worker)
        else:
            self._has_terminated(supervisor, worker)

    def is_terminated(self, worker: Child) -> None:
        """Handle ``terminate_child``: only this worker ends, and no strategy restarts it."""
        self.done.append(f"stop {worker.name}")
        worker.alive = False
        worker.stopped = True

    def _restart(self, supervisor: Supervisor, child: Child | Supervisor) -> None:
        """Restart by the strategy. After more than ``intensity`` restarts in ``period``, end the supervisor."""
        supervisor.restarts = [when for when in supervisor.restarts if self.now - when < supervisor.period]
        if len(supervisor.restarts) == supervisor.intensity:
            above = self.above(supervisor)
            if above is None or supervisor.type == "never":
                self._end(supervisor)
            else:
                self._restart(above, supervisor)
            return
        supervisor.restarts.append(self.now)
        place = supervisor.children.index(child)
        concerned = {
            "one_for_one": [child],
            "one_for_all": supervisor.children,
            "rest_for_one": supervisor.children[place:],
        }[supervisor.strategy]
        self._stop([worker for one in concerned for worker in _workers(one)])
        for one in concerned:
            if isinstance(one, Supervisor):  # a new supervisor starts without a history
                for inner in one.supervisors():
                    inner.restarts = []
            if one.type == "never" and one is not child:
                continue
            for worker in _workers(one):
                if not worker.stopped:
                    self.done.append(f"start {worker.name}")
                    worker.alive = True

    def _has_terminated(self, supervisor: Supervisor, child: Child | Supervisor) -> None:
        """Apply ``auto_shutdown`` after a significant child has ended by itself and is not restarted."""
        if not child.significant:
            return
        others = [one for one in supervisor.children if one.significant and one is not child]
        match supervisor.auto_shutdown:
            case "never":
                return
            case "all_significant" if any(one.alive for one in others):
                return
            case _:
                pass
        above = self.above(supervisor)
        if above is not None and supervisor.type == "always":
            self._restart(above, supervisor)
        else:
            self._end(supervisor)

    def _end(self, supervisor: Supervisor) -> None:
        self._stop(list(supervisor.workers()))
        self.over.append(supervisor.name)
        for inner in supervisor.supervisors():
            inner.restarts = []
        above = self.above(supervisor)
        if above is not None:
            self._has_terminated(above, supervisor)

    def _stop(self, workers: list[Child]) -> None:
        for worker in reversed(workers):
            if worker.alive:
                self.done.append(f"stop {worker.name}")
                worker.alive = False


def _workers(child: Child | Supervisor) -> list[Child]:
    return [child] if isinstance(child, Child) else list(child.workers())
