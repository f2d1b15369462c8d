"""The limit on programs that start at once: places, and a queue."""

from __future__ import annotations

from aioverseer.core.errors import SpecError
from aioverseer.core.options.numbers import no_whole_number

__all__ = ["StartLimit", "check_max_starting"]


def check_max_starting(value: object) -> int:
    """Check the option ``max_starting``.

    Raises:
        SpecError: If the value is no number of programs.
    """
    if (why := no_whole_number(value, "programs", least=1)) is not None or not isinstance(value, int):
        raise SpecError(f"max_starting={value!r} {why}, or None for no limit", option="max_starting", value=value)
    return value


class StartLimit:
    """Places for programs between their start and their readiness, and a queue: first come, first served.

    Attributes:
        places: Number of places.
    """

    __slots__ = ("_queue", "_starting", "places")

    def __init__(self, places: int) -> None:
        """Begin with free places.

        Args:
            places: Number of programs that may start at once.
        """
        self.places = places
        self._starting: dict[str, None] = {}
        self._queue: dict[str, None] = {}

    def __contains__(self, id: object) -> bool:
        """Return whether a service is in the queue."""
        return id in self._queue

    @property
    def starting(self) -> tuple[str, ...]:
        """Ids of the services that have a place."""
        return tuple(self._starting)

    def ask(self, id: str) -> bool:
        """Return whether a service has a place now; else add it to the queue."""
        if id in self._starting:
            return True
        if not self._queue and len(self._starting) < self.places:
            self._starting[id] = None
            return True
        self._queue.setdefault(id)
        return False

    def leave(self, id: str) -> bool:
        """Give up the place of a service, or its place in the queue; return whether somebody may follow."""
        self._queue.pop(id, None)
        self._starting.pop(id, None)
        return bool(self._queue) and len(self._starting) < self.places

    def admit(self) -> str | None:
        """Give a free place to the first service of the queue, and return its id; None if there is none."""
        if not self._queue or len(self._starting) >= self.places:
            return None
        id = next(iter(self._queue))
        del self._queue[id]
        self._starting[id] = None
        return id

    def ahead(self, id: str) -> int:
        """Return the number of services in the queue before this one."""
        return list(self._queue).index(id)
