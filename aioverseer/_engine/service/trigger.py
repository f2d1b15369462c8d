"""TriggerSource: starts the runs of a service by itself, such as a schedule or a connection to a held socket."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from aioverseer.core.machine.trigger import Trigger
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.why import AwaitedKind

__all__ = ["TriggerSource"]


class TriggerSource(Trigger, Protocol):
    """Feeds ``Triggered`` to a service. ``ServiceRunner.use_trigger`` connects both."""

    @property
    def kind(self) -> AwaitedKind:
        """The kind of the next occasion, for ``why()``."""
        ...

    @property
    def due(self) -> float | None:
        """The monotonic time of the next occasion; None if it is not known."""
        ...

    @property
    def due_at(self) -> datetime | None:
        """The wall-clock time of the next occasion; None if it is not known."""
        ...

    def set(self, *, armed: bool, waiting: bool) -> None:
        """Watch for the next occasion, or no longer.

        Args:
            armed: Whether the service was started and is still wanted.
            waiting: Whether it has no run, and waits for the next occasion.
        """
        ...

    def update(self, spec: Spec) -> bool:
        """Take other options of the service, and return whether this source goes on with them.

        Args:
            spec: The new options.
        """
        ...
