"""The limit on programs that start at once: places, and a queue."""

from __future__ import annotations

__all__ = ["StartLimit"]


class StartLimit:
    """Places for services between their start and their readiness, and a queue: first come, first served.

    Runs of one service share its place. Otherwise a version that never becomes ready would keep the place that its
    successor in a roll needs.

    Attributes:
        places: Number of places.
    """

    __slots__ = ("_queue", "_starting", "places")

    def __init__(self, places: int) -> None:
        """Begin with free places.

        Args:
            places: Number of services that may start at once.
        """
        self.places = places
        self._starting: dict[str, set[int]] = {}
        self._queue: dict[str, list[int]] = {}

    def is_queued(self, id: str, run: int) -> bool:
        """Return whether a run is in the queue."""
        return run in self._queue.get(id, ())

    @property
    def starting(self) -> tuple[str, ...]:
        """Ids of the services that have a place."""
        return tuple(self._starting)

    def ask(self, id: str, run: int) -> bool:
        """Return whether a run has a place now; else add it to the queue."""
        if id in self._starting:
            self._starting[id].add(run)
            return True
        if not self._queue and len(self._starting) < self.places:
            self._starting[id] = {run}
            return True
        self._queue.setdefault(id, []).append(run)
        return False

    def leave(self, id: str, run: int) -> bool:
        """Give up the place of a run, or its place in the queue; return whether somebody may follow."""
        if run in self._queue.get(id, ()):
            self._queue[id].remove(run)
            if not self._queue[id]:
                del self._queue[id]
        if id in self._starting:
            self._starting[id].discard(run)
            if not self._starting[id]:
                del self._starting[id]
        return bool(self._queue) and len(self._starting) < self.places

    def admit(self) -> tuple[str, list[int]] | None:
        """Give a free place to the first service of the queue; return its id and runs, or None if there is none."""
        if not self._queue or len(self._starting) >= self.places:
            return None
        id, runs = next(iter(self._queue.items()))
        del self._queue[id]
        self._starting[id] = set(runs)
        return id, runs

    def ahead(self, id: str) -> int:
        """Return the number of services in the queue before this one."""
        return list(self._queue).index(id)
