"""Host: what a Service needs of the one that holds it, which is an Overseer.

Types only: nothing in here runs, and nothing imports it but for its types.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from aioverseer._engine.output.log_routing import LogRouting
from aioverseer._engine.output.subscription import Subscribers
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.machine.table import Transition
from aioverseer.core.report.events import Kind
from aioverseer.core.report.status import StatusSnapshot
from aioverseer.core.report.why import Awaited

__all__ = ["ServiceOwner", "Throttle"]


class Throttle(Protocol):
    """The throttle for restart storms, which is asked before each restart that follows a backoff."""

    @property
    def reason(self) -> str:
        """Why a service waits for it, as the reason of its state."""
        ...

    def ask(self, id: str) -> bool:
        """Return whether a service may be restarted now; else it is fed Admitted later."""
        ...

    def leave(self, id: str) -> None:
        """Let a service wait no more."""
        ...

    def awaited(self, id: str) -> list[Awaited]:
        """Return what a service waits for here; nothing when it does not."""
        ...


class ServiceOwner(Protocol):
    """What a Service needs of the Overseer that holds it."""

    clock: Clock
    rng: Rng
    launcher: Launcher
    subscribers: Subscribers
    log_files: LogRouting
    turns: Throttle | None

    def check(self, *, starting: bool = False) -> None:
        """Raise OverseerError unless this is the right event loop, and starts are possible when ``starting``."""
        ...

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run something until the overseer is left."""
        ...

    def hear(self, facts: StatusSnapshot, report: Transition) -> None:
        """Take note of a transition of the service that the facts are of."""
        ...

    def hear_unstoppable(self, id: str) -> None:
        """Take note that a service's program is still there after its whole ladder."""
        ...

    def awaited(self, id: str) -> list[Awaited]:
        """Return what others have a service wait for: its order, its group, the throttle, a stop of all."""
        ...

    def hear_spawn(self, id: str) -> None:
        """Take note that a program has been started which is not ready yet."""
        ...

    def hear_news(self, id: str, reason: str, kind: Kind) -> None:
        """Take note of news of a service that are no transition."""
        ...
