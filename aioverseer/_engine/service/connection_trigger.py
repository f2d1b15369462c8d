"""ConnectionTrigger: starts a run of a service at the first connection to one of its listening sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from aioverseer._aio.timers import OneShotTimer
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpawnError
from aioverseer.core.machine.start_rate import StartRate
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.why import AwaitedKind

__all__ = ["ConnectionTrigger"]


class ConnectionTrigger:
    """A ``TriggerSource`` that watches sockets while the service has no run. It never accepts a connection.

    Attributes:
        kind: The kind of the next occasion.
        due: None: nobody knows when a connection comes.
        due_at: None.
        awaited: The next occasion, as words that follow "waits for".
        outlives_give_up: False: a spent budget ends the watch.
    """

    kind: AwaitedKind = "connection"
    due = None
    due_at = None
    awaited = "a connection"
    outlives_give_up = False

    def __init__(
        self, *, clock: Clock, open_sockets: Callable[[], Iterable[int]], on_occasion: Callable[[str], None]
    ) -> None:
        """Watch nothing yet.

        Args:
            clock: The source of time.
            open_sockets: Function that opens the sockets, or finds them open, and returns their descriptors; -1 for
                those of scripted children, which nobody can connect to.
            on_occasion: Called with the reason of a start, as the beginning of a sentence.
        """
        self._clock = clock
        self._open_sockets = open_sockets
        self._on_occasion = on_occasion
        self._watched: list[int] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rate = StartRate()
        self._timer = OneShotTimer(clock)
        self._waiting = False

    def set(self, *, armed: bool, waiting: bool) -> None:
        """Watch the sockets while the service waits, or no longer; see ``TriggerSource``. May be repeated."""
        self._unwatch()
        self._waiting = armed and waiting
        if not self._waiting:
            return
        try:
            descriptors = self._open_sockets()
        except SpawnError:
            # The start meets the same error, and the Restart policy judges it as any failed start.
            self._on_occasion("its socket cannot be opened")
            return
        now = self._clock.now()
        if (due := self._rate.next_at(now)) > now:
            self._timer.arm(due, lambda: self._watch(descriptors))
        else:
            self._watch(descriptors)

    def update(self, spec: Spec) -> bool:
        """Go on with other options, whose sockets may be others; see ``TriggerSource``."""
        if spec.on_demand and spec.schedule is None:
            self.set(armed=self._waiting, waiting=self._waiting)
            return True
        return False

    def _watch(self, descriptors: Iterable[int]) -> None:
        self._loop = asyncio.get_running_loop()
        for descriptor in descriptors:
            if descriptor >= 0:
                self._loop.add_reader(descriptor, self._on_connection)
                self._watched.append(descriptor)

    def _unwatch(self) -> None:
        self._timer.cancel()
        if self._loop is not None and not self._loop.is_closed():
            for descriptor in self._watched:
                self._loop.remove_reader(descriptor)
        self._watched.clear()

    def _on_connection(self) -> None:
        # Two sockets may be readable in one iteration of the loop: the first one starts the run.
        if self._watched:
            self._unwatch()
            self._rate.record(self._clock.now())
            self._on_occasion("a connection came")
