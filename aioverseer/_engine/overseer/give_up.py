"""Aftermath: what follows when a service, or a group, has ended for good: everything ends, or a function is called.

What is to follow is said in ``core/options/group.py``. Which members a group has, and how they are stopped, never lives here.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from aioverseer._engine.service.service import Service
from aioverseer.core.options.give_up import OnGiveUp
from aioverseer.core.report.status import GaveUp

__all__ = ["GiveUpActions", "GiveUpOwner"]

_PATIENCE = 10.0
"""Seconds that async functions of the application have, once all services have been stopped, before a cancellation."""


class GiveUpOwner(Protocol):
    """What this needs of the Overseer."""

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run something until the overseer is left."""
        ...

    def end_for(self, service: Service) -> None:
        """End the overseer, because this service has ended."""
        ...

    def stop_soon(self) -> None:
        """Stop all services, each in its order."""
        ...


class GiveUpActions:
    """Does what is to follow an end."""

    def __init__(self, host: GiveUpOwner) -> None:
        """Work for an overseer."""
        self._host = host
        self._calls: set[asyncio.Task[None]] = set()

    def follow(self, what: OnGiveUp, service: Service, error: GaveUp | None) -> None:
        """Do what is to follow the end of a service, or of the group whose last straw it was.

        Args:
            what: What is to be done; ``"stop"`` is everything here.
            service: The service.
            error: What a function is told; None where it has not given up.
        """
        if what == "end":
            self._host.end_for(service)
        elif what == "stop":
            self._host.stop_soon()
        elif callable(what) and error is not None:
            self._call(what, error)

    async def end(self) -> None:
        """Wait for the functions that were called, for a bounded time; then they are cancelled."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=_PATIENCE)
            for call in list(self._calls):
                call.cancel()

    def _call(self, function: Callable[[Any], object], error: GaveUp) -> None:
        try:
            result = function(error)
        except Exception as raised:  # noqa: BLE001  # the application's own function: nothing else suffers from it
            _tell(error, raised)
            return
        if inspect.isawaitable(result):

            async def wait() -> None:
                try:
                    await result
                except Exception as raised:  # noqa: BLE001  # as above
                    _tell(error, raised)

            def forget(task: asyncio.Task[None]) -> None:
                self._calls.discard(task)
                if inspect.iscoroutine(result):
                    result.close()  # one whose task was cancelled before its first step was never begun

            call = self._host.start_soon(wait)
            self._calls.add(call)
            call.add_done_callback(forget)


def _tell(error: GaveUp, raised: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": f"aioverseer: on_give_up of {error.id!r} has raised", "exception": raised}
    )
