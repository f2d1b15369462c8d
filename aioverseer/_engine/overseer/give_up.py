"""GiveUpActions: the consequences of a service, or a group, that has ended for good (``critical``, ``on_give_up``)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from aioverseer._engine.overseer.critical import CriticalBlocks
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.options.give_up import OnGiveUp, consequences
from aioverseer.core.report.status import GaveUp
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.overseer.groups import GroupSupervisor

__all__ = ["GiveUpActions"]

_PATIENCE = 10.0
"""Seconds that async functions of the application may go on after all services have stopped."""


class GiveUpActions:
    """Ends the overseer, stops services or calls a function of the application."""

    def __init__(
        self,
        services: Mapping[str, ServiceRunner],
        blocks: CriticalBlocks,
        *,
        groups: Callable[[], GroupSupervisor],
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
        end_for: Callable[[ServiceRunner], None],
        stop_soon: Callable[[], None],
        is_leaving: Callable[[], bool],
    ) -> None:
        """Prepare.

        Args:
            services: All services by name. The registry changes this mapping.
            blocks: The blocks that end with a critical service, and the error about one that has ended before.
            groups: Function that returns the groups. The first call makes them.
            start_task: Function that runs a coroutine until the overseer is left.
            end_for: Function that ends the overseer because of a service.
            stop_soon: Function that begins to stop all services in their order.
            is_leaving: Function that returns whether the overseer is being left, or is not in use.
        """
        self._services = services
        self._blocks = blocks
        self._groups = groups
        self._start_task = start_task
        self._end_for = end_for
        self._stop_soon = stop_soon
        self._is_leaving = is_leaving
        self._calls: set[asyncio.Task[None]] = set()

    def on_transition(self, transition: ServiceTransition) -> None:
        """Perform the consequences of a service that has ended for good, unless the end was requested."""
        if not (transition.state.is_final or transition.state is State.WAITING) or self._blocks.ended is not None:
            return
        service = self._services.get(transition.id)
        if service is None or service.machine.stopped_on_request or self._is_leaving():
            return
        spec = service.spec
        if transition.state is State.WAITING and service.gave_up is None:
            return
        if not (spec.critical or (service.gave_up is not None and spec.on_give_up != "leave")):
            return
        groups = self._groups()
        # For a member of a group with a strategy, the group gives up, and the ``on_give_up`` of the group counts.
        gave_up = service.gave_up if groups.groups.home(service.id) is None else None
        for what in consequences(critical=spec.critical, on_give_up=spec.on_give_up, gave_up=gave_up is not None):
            if what == "stop" and spec.group:
                groups.stop_label(service)
            else:
                self.perform(what, service, gave_up)

    def perform(self, what: OnGiveUp, service: ServiceRunner, error: GaveUp | None) -> None:
        """Perform one consequence of the end of a service, or of the group whose budget this end has exhausted.

        Args:
            what: The action; ``"stop"`` stops all services.
            service: The service.
            error: The argument of a function; None when nothing has given up.
        """
        if what == "end":
            self._end_for(service)
        elif what == "stop":
            if not self._is_leaving():
                self._stop_soon()
        elif callable(what) and error is not None:
            self._call(what, error)

    async def end(self) -> None:
        """Wait for the functions that were called, for a bounded time, and then cancel them."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=_PATIENCE)
            for call in list(self._calls):
                call.cancel()

    def _call(self, function: Callable[[Any], object], error: GaveUp) -> None:
        try:
            result = function(error)
        except Exception as raised:  # noqa: BLE001  # the application's own function: nothing else may suffer
            _report(error, raised)
            return
        if inspect.isawaitable(result):

            async def wait() -> None:
                try:
                    await result
                except Exception as raised:  # noqa: BLE001  # as above
                    _report(error, raised)

            def forget(task: asyncio.Task[None]) -> None:
                self._calls.discard(task)
                if inspect.iscoroutine(result):
                    result.close()  # it never began if its task was cancelled before the first step

            call = self._start_task(wait)
            self._calls.add(call)
            call.add_done_callback(forget)


def _report(error: GaveUp, raised: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": f"aioverseer: on_give_up of {error.id!r} has raised", "exception": raised}
    )
