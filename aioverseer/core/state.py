"""The states of a Process and of a Service, and the fact that a program ended.

Numbers and texts are those of the Go library overseer. Which state follows which is decided in
``run.py`` and ``supervision.py``, never here.
"""

from __future__ import annotations

import enum
import functools
import signal
from dataclasses import dataclass

from aioverseer.core.export import exported_from

__all__ = ["Exit", "State", "as_signal", "signal_name"]


@exported_from("aioverseer")
class State(enum.IntEnum):
    """Where a Process or a Service is; ``str(state)`` is its text."""

    INITIAL = 0
    STARTING = 10
    BACKOFF = 15
    RUNNING = 20
    STOPPING = 30
    INTERRUPT = 40
    FINISHED = 50
    FATAL = 60
    UNKNOWN = 99

    # That of the number, in C: a state is looked up in a table with each step, and that of Enum is a call in Python.
    __hash__ = int.__hash__

    def __str__(self) -> str:
        """Return the text of the state, as the Go library writes it."""
        return _TEXTS[self]

    # Attributes and no properties: they are asked for a dozen times in each restart.
    is_final: bool
    """Whether nothing more happens by itself from here."""
    is_live: bool
    """Whether something is running, is about to, or is being stopped."""


_TEXTS = {
    State.INITIAL: "initial",
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
_LIVE = frozenset({State.STARTING, State.BACKOFF, State.RUNNING, State.STOPPING})
for _state in State:
    _state.is_final = _state in _FINAL
    _state.is_live = _state in _LIVE


@functools.cache
def as_signal(number: int) -> signal.Signals | int:
    """Return the named signal of a number, or the number where Python has no name (real-time signals)."""
    try:
        return signal.Signals(number)
    except ValueError:
        return number


@functools.cache
def signal_name(number: int) -> str:
    """Return the name of a signal for a sentence: ``SIGTERM``, or ``signal 35`` where it has none."""
    named = as_signal(number)
    return named.name if isinstance(named, signal.Signals) else f"signal {number}"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The fact that a program ended: by a code or by a signal, never both.

    Both are None when the status is lost: somebody else in the host reaped the child. ``cause`` is what the system says
    beyond that, for example ``"out of memory"``; None when it says nothing.
    """

    code: int | None = None
    signal: int | None = None
    cause: str | None = None

    @staticmethod
    @functools.cache  # there are three hundred at most, and one never changes
    def from_returncode(returncode: int) -> Exit:
        """Read the convention of ``subprocess``: negative is the signal that ended it."""
        if returncode < 0:
            return Exit(signal=as_signal(-returncode))
        return Exit(code=returncode)

    def __str__(self) -> str:
        """Return the fact as the end of a sentence, for example ``exited with code 1``."""
        behind = "" if self.cause is None else f" ({self.cause})"
        if self.signal is not None:
            return f"was killed by {signal_name(self.signal)}{behind}"
        if self.code is not None:
            return f"exited with code {self.code}{behind}"
        return "ended with a status that is lost (something else in the host reaped it)"
