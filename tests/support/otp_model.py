"""A supervisor as the documentation of Erlang/OTP describes it, to compare groups with: a tree, and what is done.

Written from "supervisor" of stdlib and "Supervisor Behaviour" of the design principles; of this library it knows
nothing. What is a supervisor's end there is a giving up here. What a supervisor that gives up stops, and what its
parent stops thereupon, is stopped in one go, in reverse order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Child", "Supervisor", "Tree"]

Type = Literal["always", "on-failure", "never"]
"""permanent, transient, temporary."""


@dataclass(eq=False)
class Child:
    """A worker."""

    name: str
    type: Type
    significant: bool = False
    alive: bool = False
    stopped: bool = False
    """Somebody has terminated it."""


@dataclass(eq=False)
class Supervisor:
    """A supervisor: ``type`` and ``significant`` are what it is to the one above."""

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
        """All below it, in the order of their start."""
        for child in self.children:
            if isinstance(child, Child):
                yield child
            else:
                yield from child.workers()

    @property
    def alive(self) -> bool:
        """Whether anything of it runs."""
        return any(worker.alive for worker in self.workers())

    def supervisors(self) -> Iterator[Supervisor]:
        """It and all below it."""
        yield self
        for child in self.children:
            if isinstance(child, Supervisor):
                yield from child.supervisors()


class Tree:
    """The whole of them; ``done`` is what was done, in order."""

    def __init__(self, top: Supervisor) -> None:
        """Start all children."""
        self.top = top
        self.done: list[str] = []
        self.over: list[str] = []
        self.now = 0.0
        for worker in top.workers():
            worker.alive = True

    def above(self, child: Child | Supervisor) -> Supervisor | None:
        """Whose child it is."""
        return next((one for one in self.top.supervisors() if child in one.children), None)

    def terminates(self, worker: Child, *, abnormally: bool) -> None:
        """A worker has ended by itself."""
        worker.alive = False
        supervisor = self.above(worker)
        assert supervisor is not None
        if worker.type == "always" or (worker.type == "on-failure" and abnormally):
            self._restart(supervisor, worker)
        else:
            self._has_terminated(supervisor, worker)

    def is_terminated(self, worker: Child) -> None:
        """terminate_child: nothing else happens, and no strategy brings it back."""
        self.done.append(f"stop {worker.name}")
        worker.alive = False
        worker.stopped = True

    def _restart(self, supervisor: Supervisor, child: Child | Supervisor) -> None:
        """More than intensity restarts within period, and it terminates all children and then itself."""
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
            if isinstance(one, Supervisor):  # a new one is started, which knows nothing
                for inner in one.supervisors():
                    inner.restarts = []
            if one.type == "never" and one is not child:
                continue
            for worker in _workers(one):
                if not worker.stopped:
                    self.done.append(f"start {worker.name}")
                    worker.alive = True

    def _has_terminated(self, supervisor: Supervisor, child: Child | Supervisor) -> None:
        """A significant child has terminated by itself, and is not restarted."""
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
