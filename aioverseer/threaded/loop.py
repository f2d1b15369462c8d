"""Calls from other threads to the event loop of a ThreadedOverseer."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import anyio
from anyio.from_thread import BlockingPortal

from aioverseer import OverseerError

__all__ = ["Loop", "as_async"]

T = TypeVar("T")


class Loop:
    """The event loop in its thread, between opening and closing the overseer.

    The thread is a daemon. The interpreter waits for other threads before it calls the functions of ``atexit``, so an
    overseer that nobody has closed would keep it from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._portal: BlockingPortal | None = None
        self._thread: threading.Thread | None = None
        self._leaving: asyncio.Task[object] | None = None
        self._entering: asyncio.Task[object] | None = None
        self._has_entered = False
        self._owner = 0
        self._taken: WeakKeyDictionary[object, deque[Any]] = WeakKeyDictionary()

    @property
    def is_running(self) -> bool:
        """Whether the loop runs, in this process or in the one that this is a fork of."""
        return self._portal is not None

    @property
    def is_of_a_fork(self) -> bool:
        """Whether the loop runs in the process that this is a fork of. A fork has no other thread than its own."""
        return self._portal is not None and self._owner != os.getpid()

    def open(self, enter: Callable[[], Awaitable[object]], leave: Callable[[], Awaitable[object]]) -> None:
        """Start the thread and enter the overseer in it. After an error there is no thread, and it is not entered.

        Args:
            enter: Coroutine function that enters the overseer.
            leave: Coroutine function that leaves the overseer, after an interrupt.
        """
        started: Future[BlockingPortal] = Future()
        self._owner = os.getpid()
        self._leaving = self._entering = None
        self._has_entered = False
        self._thread = threading.Thread(target=_run, args=(started,), name=f"aioverseer {self._name}", daemon=True)
        self._thread.start()
        try:
            self._portal = started.result()
            self._portal.call(self._enter, enter)
        except BaseException:
            # An interrupted call goes on in the thread, which begins nothing without one.
            started.add_done_callback(partial(self._abandon, leave))
            self._portal = None
            self._thread.join()
            raise

    async def _enter(self, enter: Callable[[], Awaitable[object]]) -> None:
        self._entering = asyncio.current_task()
        await enter()
        self._has_entered = True

    def _abandon(self, leave: Callable[[], Awaitable[object]], started: Future[BlockingPortal]) -> None:
        """Leave the overseer if an interrupted call has entered it, or still does, and end the thread."""
        if started.exception() is not None:
            return
        portal = started.result()

        async def leave_and_stop() -> None:
            try:
                if self._entering is not None:
                    await asyncio.wait({self._entering})
                if self._has_entered:
                    await leave()
            finally:
                await portal.stop()

        portal.start_task_soon(leave_and_stop)

    def close(self, leave: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Leave the overseer and end the thread. Idempotent. In a fork, forget the loop.

        After an interrupted wait the overseer is still being left. The next call waits for that, too.

        Args:
            leave: Coroutine function that leaves the overseer. It is called once.
        """
        portal, thread = self._portal, self._thread
        if portal is None or thread is None:
            return
        if self.is_of_a_fork:
            self._portal = self._thread = None
            return
        try:
            self.run(partial(self._leave_once, portal, leave))
        finally:
            if not self.is_running:
                thread.join()

    async def _leave_once(self, portal: BlockingPortal, leave: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Leave the overseer, or wait until an earlier call has left it."""

        async def leave_and_stop() -> None:
            try:
                await leave()
            finally:
                # On the loop: an interrupt of the calling thread cannot come between the two.
                self._portal = None
                await portal.stop()

        if self._leaving is None:
            self._leaving = asyncio.create_task(leave_and_stop())
        await asyncio.shield(self._leaving)

    def _portal_here(self) -> BlockingPortal | None:
        """Return the portal; None while the loop does not run.

        Raises:
            OverseerError: If this process is a fork of the one in which the loop runs.
        """
        if self.is_of_a_fork:
            raise OverseerError(
                f"overseer {self._name!r} belongs to process {self._owner}, of which this one is a fork: use it there, "
                "or make another one here"
            )
        return self._portal

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function on the loop and return its result.

        When the calling thread is interrupted (Ctrl-C), the coroutine is cancelled: it would take items of a queue.

        Raises:
            OverseerError: If the overseer is not in use, or belongs to the process that this is a fork of.
        """
        portal = self._portal_here()
        if portal is None:
            raise self._not_in_use()
        try:
            future = portal.start_task_soon(work)
        except RuntimeError as error:
            if self._portal is None:  # closed by another thread meanwhile
                raise self._not_in_use() from error
            raise
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def taken_from(self, queue: object) -> deque[Any]:
        """Return the items that calls have taken from a queue and not given to a caller yet."""
        return self._taken.setdefault(queue, deque())

    def _not_in_use(self) -> OverseerError:
        return OverseerError(f"overseer {self._name!r} is not in use: use it inside `with`, or call open()")

    def call(self, work: Callable[[], T]) -> T:
        """Call a plain function and return its result.

        While the loop runs, the call is made in its thread, between two callbacks, and so never sees a half-made
        change. Otherwise the call is made in the calling thread.
        """
        portal = self._portal_here()
        if portal is None:
            return work()
        # The tuple hides the result from the portal, which awaits any awaitable result, and a Service is awaitable.
        return portal.call(lambda: (work(),))[0]


def _run(started: Future[BlockingPortal]) -> None:
    """Run the loop until its portal is stopped."""

    async def serve() -> None:
        async with BlockingPortal() as portal:
            started.set_result(portal)
            await portal.sleep_until_stopped()

    try:
        anyio.run(serve, backend="asyncio")
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)


def as_async(work: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    """Return a coroutine function that calls a plain one, for functions that need a running loop."""

    async def call() -> T:
        return work()

    return call
