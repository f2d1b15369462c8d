"""The check that a task makes: a function of the user which waits for its own program waits for itself."""

from __future__ import annotations

import asyncio
import contextvars

from aioverseer.core.options.spec import Spec

__all__ = ["begin_check", "is_check_of"]

_current: contextvars.ContextVar[tuple[asyncio.Task[object] | None, Spec] | None] = contextvars.ContextVar(
    "aioverseer_check", default=None
)


def begin_check(spec: Spec) -> None:
    """Record that this task, which makes one attempt and ends, calls a function for a run with this Spec."""
    _current.set((asyncio.current_task(), spec))


def is_check_of(spec: Spec) -> bool:
    """Return whether this very task makes the check.

    A task that the function has started inherits the context, and may wait.
    """
    current = _current.get()
    return current is not None and current[1] is spec and current[0] is asyncio.current_task()
