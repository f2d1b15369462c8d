"""Runs: one reader of the runs of a service. RunReaders: all of them, and the followers of each run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

from aioverseer._engine.output.lasting_queue import LastingQueue, Readers, call_when_forgotten
from aioverseer._engine.output.streams import OutputStreams
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer.core.export import exported_from

__all__ = ["RunFollower", "RunReaders", "Runs"]

T = TypeVar("T")

_BACKLOG_BYTES = 16 * 1024 * 1024
"""Limit for the output of the runs that a reader has not reached yet. Neither restarts nor the report of an end may
wait for a reader, so beyond it the oldest runs are dropped."""
_RUN_COST = 4096
"""Bytes that one run costs without its output, about."""


@exported_from("aioverseer")
class Runs(LastingQueue[T]):
    """The runs of a service, one after the other: a queue of ``Process``. ``Service.runs`` returns it.

    Attributes:
        missed: Number of runs that were dropped, because this reader had left 16 MiB of output of ended runs unread.
            ``Process.number`` shows the gap.
    """

    def __init__(self, *, on_closed: Callable[[], None]) -> None:
        """Create an empty queue. Use ``Service.runs`` instead."""
        super().__init__()
        self.missed = 0
        self._on_closed = on_closed
        self._outputs: deque[OutputStreams] = deque()
        self._costs: deque[int] = deque()
        self._cost = 0

    @property
    def is_closed(self) -> bool:
        """Whether the reader has left."""
        return self._closed

    def shutdown(self, immediate: bool = False) -> None:  # noqa: FBT001, FBT002  # the signature of asyncio.Queue
        """End for good, as a drop of the last reference does.

        Args:
            immediate: Whether to discard the runs that are still in it.
        """
        super().shutdown(immediate)
        self._on_closed()

    def add(self, run: T, streams: OutputStreams) -> None:
        """Add a run that begins.

        Args:
            run: The handle of the run.
            streams: The output of the run.
        """
        if self._shut:
            return
        self._drop_surplus()
        self._outputs.append(streams)
        self.deliver((run,))

    def _drop_surplus(self) -> None:
        outputs, costs, queue = self._outputs, self._costs, self._queue
        while len(outputs) > len(queue):  # these were taken
            outputs.popleft()
            if costs:
                self._cost -= costs.popleft()
        while len(costs) < len(outputs):  # the last run has ended, and its output is complete
            costs.append(_RUN_COST + outputs[len(costs)].waiting_bytes)
            self._cost += costs[-1]
        before = len(queue)
        while queue and self._cost > _BACKLOG_BYTES:
            queue.popleft()
            outputs.popleft()
            self._cost -= costs.popleft()
            self.missed += 1
        if len(queue) < before:
            self._settle(before)


class RunFollower(Protocol):
    """A part of the engine that follows the runs of a service."""

    def on_run(self, run: ProcessRunner) -> None:
        """Handle a run that is about to begin."""
        ...

    def on_run_end(self, run: ProcessRunner) -> None:
        """Handle the end of a run, whose output is complete."""
        ...

    def on_unstoppable(self, run: ProcessRunner, error: Exception) -> None:
        """Handle a program that still exists after its whole ladder.

        Args:
            run: The run.
            error: The error of those who wait for something of the run.
        """
        ...

    def on_gone(self) -> None:
        """Handle that no run follows: the service was removed, or its overseer was left."""
        ...


class RunReaders:
    """The readers of the runs of one service, referenced weakly, and its followers.

    Attributes:
        followers: They are called for each run, at its begin and at its end.
    """

    def __init__(self) -> None:
        """Begin without readers."""
        self.followers: tuple[RunFollower, ...] = ()
        self._readers: Readers[Runs[object]] = Readers()
        self._waiting: set[LastingQueue[object]] = set()

    def add(self, *, on_left: Callable[[], None]) -> Runs[object]:
        """Add a reader.

        Args:
            on_left: Called when the reader was closed or dropped.
        """
        runs: Runs[object] = Runs(on_closed=on_left)
        runs.hold_while_waiting(self._waiting)
        call_when_forgotten(runs, on_left)
        self._readers.add(runs)
        return runs

    @property
    def any(self) -> bool:
        """Whether there is a reader."""
        return bool(self._open())

    def _open(self) -> list[Runs[object]]:
        return [reader for reader in self._readers.all() if not reader.is_closed]

    def on_run(self, run: ProcessRunner, make_handle: Callable[[ProcessRunner], object]) -> None:
        """Hand out a run that is about to begin."""
        readers = self._open()
        if readers:
            run.streams.keep_for_reader()
            for reader in readers:
                reader.add(make_handle(run), run.streams)
        for follower in self.followers:
            follower.on_run(run)

    def on_run_end(self, run: ProcessRunner) -> None:
        """Handle the end of a run, whose output is complete."""
        for follower in self.followers:
            follower.on_run_end(run)

    def on_unstoppable(self, run: ProcessRunner, make_error: Callable[[], Exception]) -> None:
        """Handle a program that still exists after its whole ladder."""
        for follower in self.followers:
            follower.on_unstoppable(run, make_error())

    def reopen(self) -> None:
        """Continue, because the service was started."""
        for reader in self._readers.all():
            reader.reopen()

    def end(self) -> None:
        """End the iterations: the service is in a final state."""
        for reader in self._readers.all():
            reader.end()

    def close(self) -> None:
        """End the iterations and the followers: the service was removed, or its overseer was left."""
        self.end()
        for follower in self.followers:
            follower.on_gone()
