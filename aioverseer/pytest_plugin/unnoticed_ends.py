"""Ends of programs that a test notices before its overseer does: a client sees its connection reset at once."""

from __future__ import annotations

import contextlib

from aioverseer import OverseerError, Status, ThreadedOverseer

__all__ = ["await_ends"]

_LIMIT = 0.05
"""Seconds in which an overseer usually learns of an end. They begin once its thread is free."""
_LIMIT_OF_CONNECTIONS = 2.0
"""The same for an error that may come from a lost connection, on a busy machine."""


def await_ends(overseer: ThreadedOverseer, error: BaseException) -> None:
    """Wait until an overseer knows each end of a program that has happened. Bounded.

    Args:
        overseer: An overseer in another thread.
        error: Error of the test.
    """
    limit = _LIMIT_OF_CONNECTIONS if _is_of_connection(error) else _LIMIT
    with contextlib.suppress(OverseerError):  # it is closed, or a service was removed
        live = [status for id in overseer if (status := overseer.status(id)).state.is_live]
        for status in live:
            _await_end(overseer, status, limit)
            limit = 0.0  # by then the ends of the others are known, too


def _await_end(overseer: ThreadedOverseer, before: Status, limit: float) -> None:
    def is_known(now: Status) -> bool:
        return (now.state, now.pid) != (before.state, before.pid)

    with contextlib.suppress(OverseerError):  # it lives, or it has ended for good
        overseer[before.id].wait_for(is_known, timeout=limit)


def _is_of_connection(error: BaseException | None) -> bool:
    """Return whether an error, or one below it, is of a kind that a lost connection raises."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ConnectionError | EOFError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
