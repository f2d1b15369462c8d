"""ServiceView: the part of a service that waiters and explanations read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.trigger import TriggerSource
from aioverseer.core.clock import Clock
from aioverseer.core.machine.service import ServiceMachine
from aioverseer.core.report.status import StatusSnapshot
from aioverseer.core.report.why import Awaited
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.service.run_steps import RunSteps

__all__ = ["ServiceView"]


class ServiceView(Protocol):
    """A service, for reading."""

    @property
    def id(self) -> str:
        """The name of the service."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of the service."""
        ...

    @property
    def machine(self) -> ServiceMachine:
        """The state machine of the service."""
        ...

    @property
    def state(self) -> State:
        """The current state."""
        ...

    @property
    def process(self) -> ProcessRunner | None:
        """The current or last run; None before the first."""
        ...

    @property
    def trigger(self) -> TriggerSource | None:
        """The source that starts each run; None for a service that runs from its start on."""
        ...

    @property
    def steps(self) -> RunSteps | None:
        """The steps before and after each run; None until the first of them."""
        ...

    @property
    def history(self) -> Sequence[StatusSnapshot]:
        """Snapshots of the last runs at their ends, oldest first."""
        ...

    @property
    def is_task(self) -> bool:
        """Whether the service is a function or a context manager of the host instead of a program."""
        ...

    @property
    def is_deferred(self) -> bool:
        """Whether the service waits for its dependencies before its first run."""
        ...

    @property
    def pending(self) -> tuple[str, ...]:
        """Names of the options that take effect with the next run."""
        ...

    @property
    def is_unstoppable(self) -> bool:
        """Whether the program still exists after its whole ladder."""
        ...

    @property
    def ending(self) -> tuple[str, float | None]:
        """The end of the program as words after "waits for", and the monotonic time of the next step of the ladder."""
        ...

    def reason(self) -> str:
        """Return the reason of the current state."""
        ...

    def snapshot(self, *, lines: bool = True) -> StatusSnapshot:
        """Return the values from which a Status is made."""
        ...

    def last_lines(self) -> list[str]:
        """Return the last lines of all runs, for an error message."""
        ...

    def blockers(self) -> list[Awaited]:
        """Return what others make the service wait for."""
        ...
