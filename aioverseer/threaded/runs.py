"""The runs of a service as plain iterators that block the calling thread."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from aioverseer import OutputQueue, OverseerError, Process, Runs, State, Status
from aioverseer.core.export import exported_from
from aioverseer.threaded.loop import Loop, as_async
from aioverseer.threaded.streams import next_item

__all__ = ["ThreadedItems", "ThreadedRun", "ThreadedRuns"]


@exported_from("aioverseer")
class ThreadedItems(Iterator[Any]):
    """The items of one stream of a run as a plain iterator that blocks the calling thread; see ``Process.stdout``."""

    def __init__(self, loop: Loop, queue: OutputQueue[Any] | None) -> None:
        """Wrap a queue, or None for a stream without items. For ``ThreadedRun``."""
        self._loop = loop
        self._queue = queue
        # Items come in batches. Other objects for this queue share what is left of one.
        self._taken: deque[Any] = deque() if queue is None else loop.taken_from(queue)

    def __next__(self) -> Any:
        """Wait for the next item and return it."""
        if self._queue is None:
            raise StopIteration
        return next_item(self._loop, self._taken, more=self._queue.get_batch, now=self._queue.get_nowait)

    def expect(self, pattern: str | bytes | re.Pattern[Any], timeout: float | None = None) -> re.Match[Any]:
        """Wait for output that matches, such as a prompt, and return the match; see ``OutputQueue.expect``.

        Args:
            pattern: Regular expression; bytes with ``encoding=None``.
            timeout: Seconds to wait; None for no limit.

        Raises:
            TimeoutError: If nothing matches in time.
            RunEnded: If the output ends without a match. Raised at once.
            OverseerError: If the stream is merged into the other one, or not read.
        """
        queue = self._queue
        if queue is None:
            raise OverseerError("expect: this stream has no items, as it is merged into the other one or not read")

        async def expect() -> re.Match[Any]:
            queue.put_back([self._taken.popleft() for _ in range(len(self._taken))])
            return await queue.expect(pattern, timeout)

        return self._loop.run(expect)


@exported_from("aioverseer")
class ThreadedRun:
    """One run of a service, a ``Process``, whose methods block the calling thread."""

    def __init__(self, loop: Loop, process: Process) -> None:
        """Wrap a run. For ``ThreadedService``."""
        self._loop = loop
        self._process = process
        self._streams: dict[str, ThreadedItems] = {}

    def __repr__(self) -> str:
        """Return id, program, state and pid."""
        return f"<Threaded{repr(self._process)[1:]}"

    @property
    def number(self) -> int:
        """The number of the run in its service, from 1."""
        return self._process.number

    @property
    def pid(self) -> int | None:
        """The process id, also after the end; None before the spawn."""
        return self._process.pid

    @property
    def state(self) -> State:
        """The current state."""
        return self._process.state

    @property
    def ready_match(self) -> re.Match[str] | None:
        """The match of ``ready.line`` or ``ready.prompt``; see ``Process.ready_match``."""
        return self._process.ready_match

    @property
    def upstream(self) -> ThreadedRun | None:
        """The program whose output is the input of this one, in a pipeline; None without one."""
        upstream = self._loop.call(lambda: self._process.upstream)
        return None if upstream is None else ThreadedRun(self._loop, upstream)

    @property
    def stdout(self) -> ThreadedItems:
        """The items of standard output, to the end of the run. The same iterator each time."""
        return self._items("stdout")

    @property
    def stderr(self) -> ThreadedItems:
        """The items of standard error, to the end of the run. The same iterator each time."""
        return self._items("stderr")

    def _items(self, stream: Literal["stdout", "stderr"]) -> ThreadedItems:
        if stream not in self._streams:
            queue: OutputQueue[Any] | None = self._loop.call(lambda: getattr(self._process, stream))
            self._streams[stream] = ThreadedItems(self._loop, queue)
        return self._streams[stream]

    def status(self) -> Status:
        """Return a snapshot of everything known about the run."""
        return self._loop.call(self._process.status)

    def wait(self) -> Status:
        """Wait for the end of the run and return its Status.

        Raises:
            StopFailed: If the program is still there after its whole ladder.
        """
        return self._loop.run(self._process.wait)

    def write(self, data: bytes | str) -> None:
        """Write to standard input, waiting while the pipe is full; see ``Process.write``."""
        self._loop.run(partial(self._process.write, data))

    def write_eof(self) -> None:
        """End standard input after all pending writes; see ``Process.write_eof``."""
        self._loop.run(self._process.write_eof)

    def close_stdin(self) -> None:
        """End standard input at once. Idempotent."""
        self._loop.run(as_async(self._process.close_stdin))


@exported_from("aioverseer")
class ThreadedRuns(Iterator[ThreadedRun]):
    """The runs of a service as a plain iterator that blocks the calling thread; see ``Runs``."""

    def __init__(self, loop: Loop, runs: Runs[Process]) -> None:
        """Wrap a reader. For ``ThreadedService.runs``."""
        self._loop = loop
        self._runs = runs
        self._taken: deque[Process] = deque()

    @property
    def missed(self) -> int:
        """Number of runs that were dropped; see ``Runs``."""
        return self._runs.missed

    def __next__(self) -> ThreadedRun:
        """Wait for the next run and return it."""
        run = next_item(self._loop, self._taken, more=self._more, now=self._runs.get_nowait)
        return ThreadedRun(self._loop, run)

    def close(self) -> None:
        """End the iterator. The program does not wait for its reader any more. Idempotent."""
        self._loop.call(self._runs.close)

    async def _more(self) -> list[Process]:
        return [await self._runs.get()]
