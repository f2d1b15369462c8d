"""State of a Process or a Service, and Exit, the way a program ended.

Numbers and texts are those of the Go library overseer.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from signal import Signals

from aioverseer.core.export import exported_from

__all__ = ["Exit", "State", "as_signal", "signal_name"]


@exported_from("aioverseer")
class State(enum.IntEnum):
    """State of a Process or a Service; ``str(state)`` is its text."""

    INITIAL = 0
    WAITING = 5
    STARTING = 10
    BACKOFF = 15
    RUNNING = 20
    STOPPING = 30
    INTERRUPT = 40
    FINISHED = 50
    FATAL = 60
    UNKNOWN = 99

    # Hash of the number, in C. Each input looks its state up in a table, and the hash of Enum is a call in Python.
    __hash__ = int.__hash__

    def __str__(self) -> str:
        """Return the text of the state, as the Go library writes it."""
        return _TEXTS[self]

    # Attributes instead of properties, for speed: each restart reads them a dozen times.
    is_final: bool
    """Whether nothing more happens by itself in this state."""
    is_live: bool
    """Whether a program is running, is about to run, is waited for by a trigger, or is being stopped."""
    is_up: bool
    """Whether a start has come to its end: the program is ready, or the service waits for its time or a connection."""


_TEXTS = {
    State.INITIAL: "initial",
    State.WAITING: "waiting",
    State.STARTING: "starting",
    State.BACKOFF: "backoff",
    State.RUNNING: "running",
    State.STOPPING: "stopping",
    State.INTERRUPT: "interrupted",
    State.FINISHED: "finished",
    State.FATAL: "fatal",
    State.UNKNOWN: "unknown",
}
_FINAL = frozenset({State.INTERRUPT, State.FINISHED, State.FATAL})
_LIVE = frozenset({State.WAITING, State.STARTING, State.BACKOFF, State.RUNNING, State.STOPPING})
_UP = frozenset({State.WAITING, State.RUNNING})
for _state in State:
    _state.is_final = _state in _FINAL
    _state.is_live = _state in _LIVE
    _state.is_up = _state in _UP


@functools.cache
def as_signal(number: int) -> Signals | int:
    """Return the named signal of a number, or the number if Python has no name for it (real-time signals)."""
    try:
        return Signals(number)
    except ValueError:
        return number


@functools.cache
def signal_name(number: int) -> str:
    """Return the name of a signal for a sentence: ``SIGTERM``, or ``signal 35`` if it has none."""
    named = as_signal(number)
    return named.name if isinstance(named, Signals) else f"signal {number}"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """End of a program: by an exit code or by a signal, never both.

    Both are None if the status is lost because another part of the host reaped the child. ``cause`` is a cause that the
    system reports in addition, for example ``"out of memory"``; None if it reports none.
    """

    code: int | None = None
    signal: Signals | int | None = None
    cause: str | None = None

    @staticmethod
    @functools.cache  # at most about three hundred values, which never change
    def from_returncode(returncode: int) -> Exit:
        """Convert a return code of ``subprocess``: a negative one is the number of the signal that killed it."""
        if returncode < 0:
            return Exit(signal=as_signal(-returncode))
        return Exit(code=returncode)

    def __str__(self) -> str:
        """Return the end as words of a sentence, for example ``exited with code 1``."""
        cause = "" if self.cause is None else f" ({self.cause})"
        if self.signal is not None:
            return f"was killed by {signal_name(self.signal)}{cause}"
        if self.code is not None:
            return f"exited with code {self.code}{cause}"
        return f"ended with a status that is lost ({self.cause or 'something else in the host reaped it'})"
