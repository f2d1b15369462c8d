"""An event loop that counts its steps, so that a test can cancel at each of them in turn.

A step is one callback: finer than an iteration of the loop, and independent of time. On a virtual loop, time jumps to
the next timer when no callback is ready. Without a timer, some task waits for ever, which raises ``Hang`` at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from aioverseer.core.clock import Timer

__all__ = ["Hang", "LoopTime", "StepLoop", "children", "counting_steps", "descriptors", "play"]

MOST_STEPS = 50_000
"""Steps after which a run counts as endless."""


class Hang(AssertionError):
    """Error of a run in which a task waits for ever, or that never ends."""


class StepLoop(asyncio.SelectorEventLoop):
    """Counts the callbacks that it runs, and calls ``on_step`` before each of them.

    Attributes:
        steps: The number of callbacks run while ``on_step`` was set.
        errors: The contexts passed to the loop's exception handler.
    """

    def __init__(self, *, virtual: bool) -> None:
        self._virtual = virtual
        self._jumped = 1000.0
        super().__init__()
        self.steps = 0
        self.on_step: Callable[[], None] | None = None
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.errors.append(context))

    def time(self) -> float:
        """Return the time in seconds, virtual or real."""
        return self._jumped if self._virtual else super().time()

    def pending(self) -> list[str]:
        """Return the timers that are still armed and the descriptors that are still watched."""
        timers = [repr(handle) for handle in self._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]  # asyncio's own
        own = self._ssock.fileno()  # type: ignore[attr-defined]  # asyncio's own
        watched = [repr(key) for key in self._selector.get_map().values() if key.fd != own]  # type: ignore[attr-defined]  # asyncio's own
        return timers + watched

    def _run_once(self) -> None:
        if self._virtual and not self._ready:  # type: ignore[attr-defined]  # asyncio's own
            left = [handle.when() for handle in self._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]  # asyncio's own
            if not left:
                raise Hang("\n".join(["everybody waits:", *(repr(task) for task in asyncio.all_tasks(self))]))
            self._jumped = max(self._jumped, min(left))
        super()._run_once()  # type: ignore[misc]  # asyncio's own

    def step(self) -> None:
        """Count a callback that is about to run."""
        if self.on_step is not None:
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise Hang("it goes round and round")
            self.on_step()


class LoopTime:
    """The ``Clock`` protocol on the time of an event loop, virtual or not: of the running one without a given one."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop

    def now(self) -> float:
        """Return the loop's seconds."""
        return (self._loop or asyncio.get_running_loop()).time()

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call back at a time of the loop."""
        return (self._loop or asyncio.get_running_loop()).call_at(when, callback)

    def wall(self) -> datetime.datetime:
        """Return a wall-clock time."""
        return datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=self.now())


@contextlib.contextmanager
def counting_steps() -> Generator[None]:
    """Count the callbacks of every StepLoop."""
    handles: Any = asyncio.Handle
    run = handles._run

    def counted(handle: Any) -> None:
        if isinstance(handle._loop, StepLoop):
            handle._loop.step()
        run(handle)

    handles._run = counted
    try:
        yield
    finally:
        handles._run = run


def play(main: Callable[[StepLoop], Coroutine[Any, Any, bool]], *, virtual: bool) -> bool:
    """Run a coroutine function on a new StepLoop, and close the loop."""
    loop = StepLoop(virtual=virtual)
    try:
        with counting_steps():
            return loop.run_until_complete(main(loop))
    finally:
        loop.close()


def children() -> list[int]:
    """Return the children of this process, zombies included, of all its threads."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{thread}/children") as file:
            found += map(int, file.read().split())
    return found


def descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))
