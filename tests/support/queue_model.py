"""Performs the same steps on a LineQueue and on an asyncio.Queue, and compares all that is visible of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from aioverseer import LineQueue, QueueShutDown

__all__ = ["READS", "Step", "play_on_both", "reference", "steps"]

Step = tuple[str, int]
"""The name of a step, and a number whose meaning depends on the name."""

READS = ("get", "get_nowait", "task_done", "join", "cancel", "iterate")
"""Steps without a put. The steps "shutdown" and "shutdown now" end a queue."""


def steps(kinds: Sequence[str]) -> st.SearchStrategy[list[Step]]:
    """Draw random steps of these kinds."""
    return st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 5)), max_size=40)


if sys.version_info >= (3, 13):
    reference = asyncio.Queue

else:

    class reference(asyncio.Queue[Any]):  # noqa: N801  # stands for the function or class of newer Pythons
        """An asyncio.Queue with the shutdown of Python 3.13, as its documentation has it."""

        _getters: Any
        _putters: Any
        _unfinished_tasks: int
        _finished: asyncio.Event
        _is_shutdown = False

        async def get(self) -> Any:
            """As before, and QueueShutDown when there is nothing left."""
            while self.empty():
                await self._wait(self._getters, lambda: not self.empty())
            return self.get_nowait()

        def get_nowait(self) -> Any:
            """As before, and QueueShutDown when there is nothing left."""
            if self.empty() and self._is_shutdown:
                raise QueueShutDown
            return super().get_nowait()

        async def put(self, item: Any) -> None:
            """As before, and QueueShutDown from the shutdown on."""
            while self.full():
                await self._wait(self._putters, lambda: not self.full())
            self.put_nowait(item)

        def put_nowait(self, item: Any) -> None:
            """As before, and QueueShutDown from the shutdown on."""
            if self._is_shutdown:
                raise QueueShutDown
            super().put_nowait(item)

        def shutdown(self, immediate: bool = False) -> None:
            """End all waits, and discard all items if ``immediate``."""
            self._is_shutdown = True
            if immediate:
                while not self.empty():
                    asyncio.Queue.get_nowait(self)
                    if self._unfinished_tasks:
                        self.task_done()
            for waiters in (self._getters, self._putters):
                while waiters:
                    self._wakeup(waiters)

        async def _wait(self, waiters: Any, is_possible: Callable[[], bool]) -> None:
            if self._is_shutdown:
                raise QueueShutDown
            waiter = asyncio.get_running_loop().create_future()
            waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                waiter.cancel()
                if waiter in waiters:
                    waiters.remove(waiter)
                if is_possible() and not waiter.cancelled():
                    self._wakeup(waiters)
                raise

        def _wakeup(self, waiters: Any) -> None:
            while waiters:
                waiter = waiters.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    return


@dataclass(slots=True)
class Player:
    """One queue, and the results of all steps on it."""

    queue: Any
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    next_item: int = 0

    def take(self, step: Step) -> object:
        """Perform a step; return its immediate result, or the name of its exception."""
        kind, number = step
        queue = self.queue
        match kind:
            case "put":
                self._begin(queue.put(self._item()))
            case "put_nowait":
                return self._try(lambda: queue.put_nowait(self._item()))
            case "get":
                self._begin(queue.get())
            case "get_nowait":
                return self._try(queue.get_nowait)
            case "task_done":
                return self._try(queue.task_done)
            case "join":
                self._begin(queue.join())
            case "cancel":
                if self.tasks:
                    self.tasks[number % len(self.tasks)].cancel()
            case "shutdown":
                queue.shutdown()
            case "shutdown now":
                queue.shutdown(immediate=True)
            case _:
                pass
        return None

    def state(self) -> object:
        """Return the visible state: the queue, and the result of each waiting call so far."""
        queue = self.queue
        return queue.qsize(), queue.empty(), queue.full(), queue.maxsize, [self._end(task) for task in self.tasks]

    async def end(self) -> None:
        """Cancel all waiting calls."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _item(self) -> int:
        self.next_item += 1
        return self.next_item

    def _begin(self, wait: Coroutine[Any, Any, Any]) -> None:
        self.tasks.append(asyncio.create_task(wait))

    @staticmethod
    def _try(verb: Callable[[], Any]) -> object:
        try:
            return verb()
        except (asyncio.QueueEmpty, asyncio.QueueFull, QueueShutDown, ValueError) as error:
            return type(error).__name__

    @staticmethod
    def _end(task: asyncio.Task[Any]) -> object:
        if not task.done():
            return "waits"
        if task.cancelled():
            return "cancelled"
        error = task.exception()
        return task.result() if error is None else type(error).__name__


def play_on_both(maxsize: int, taken: Sequence[Step]) -> None:
    """Perform the steps on both kinds of queue, and compare the queues after each step."""

    async def play() -> None:
        ours, theirs = Player(LineQueue(maxsize)), Player(reference(maxsize))
        try:
            for step in taken:
                assert theirs.take(step) == ours.take(step), step
                for _ in range(step[1] if step[0] == "iterate" else 0):
                    await asyncio.sleep(0)
                assert theirs.state() == ours.state(), step
            for _ in range(10):
                await asyncio.sleep(0)
            assert theirs.state() == ours.state()
        finally:
            await ours.end()
            await theirs.end()

    asyncio.run(play())
