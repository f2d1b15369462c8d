"""Trigger: starts the runs of a service by itself, such as a schedule or a held socket."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Trigger"]


class Trigger(Protocol):
    """Trigger of a service, as far as its state machine needs it."""

    @property
    def awaited(self) -> str:
        """The next occasion, as words that follow "waits for"."""
        ...

    @property
    def outlives_give_up(self) -> bool:
        """Whether the service waits for the next occasion also after a run that has spent its budget."""
        ...
