"""The steps of a ladder: a signal, the end of the input, a last input, or a command.

Each step has the same three texts: its name in lists, its words in a reason, and its words after "or" in ``why()``.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from signal import Signals
from typing import NamedTuple

from aioverseer.core.export import exported_from
from aioverseer.core.state import signal_name

__all__ = ["AskingStep", "CloseStdin", "EndUpstream", "RunCommand", "Step", "StopStep", "WriteStdin", "with_pid"]

_SHOWN = 60
"""Characters of an input or a command line that a message shows."""

_PID = "{pid}"
"""Placeholder of the process id in a command."""


@exported_from("aioverseer")
class Step(NamedTuple):
    """One step of a ladder: send ``signal``, then wait up to ``timeout`` seconds for the end."""

    signal: Signals | int
    timeout: float

    @property
    def name(self) -> str:
        """The name of the signal."""
        return signal_name(self.signal)

    @property
    def taken(self) -> str:
        """Words about a step that was taken."""
        return f"{self.name} was sent"

    @property
    def planned(self) -> str:
        """Words about the next step, after "or"."""
        return f"is sent {self.name}"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True)
class CloseStdin:
    """One step of a ladder: end the standard input, then wait; made by ``Stop.close_stdin``.

    Attributes:
        timeout: Seconds to wait for the end of the program.
    """

    timeout: float

    @property
    def name(self) -> str:
        """The name of the step in lists."""
        return "end of input"

    @property
    def taken(self) -> str:
        """Words about a step that was taken."""
        return "its standard input was closed"

    @property
    def planned(self) -> str:
        """Words about the next step, after "or"."""
        return "gets the end of its input"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True)
class WriteStdin:
    """One step of a ladder: write to the standard input, then wait; made by ``Stop.write``.

    Attributes:
        data: Text or bytes to write.
        timeout: Seconds to wait for the end of the program.
    """

    data: str | bytes
    timeout: float

    @property
    def name(self) -> str:
        """The name of the step in lists."""
        return f"input {_cut(repr(self.data))}"

    @property
    def taken(self) -> str:
        """Words about a step that was taken."""
        return f"{_cut(repr(self.data))} was written to its standard input"

    @property
    def planned(self) -> str:
        """Words about the next step, after "or"."""
        return f"gets the input {_cut(repr(self.data))}"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True)
class RunCommand:
    """One step of a ladder: run a command, then wait; made by ``Stop.command``.

    Attributes:
        argv: The command and its arguments.
        timeout: Seconds to wait for the end of the program, and time limit of the command.
    """

    argv: tuple[str, ...]
    timeout: float

    @property
    def name(self) -> str:
        """The name of the step in lists."""
        return f"`{_cut(shlex.join(self.argv))}`"

    @property
    def taken(self) -> str:
        """Words about a step that was taken."""
        return f"{self.name} was run"

    @property
    def planned(self) -> str:
        """Words about the next step, after "or"."""
        return f"{self.name} is run"

    def words(self, pid: int) -> tuple[str, ...]:
        """Return the command line, with the process id of the program in place of ``{pid}``."""
        return with_pid(self.argv, pid)


@dataclass(frozen=True, slots=True)
class EndUpstream:
    """First step of a program in a pipeline: stop the programs before it, so that its input ends.

    Attributes:
        timeout: Seconds that their ladders take at most.
    """

    timeout: float

    @property
    def name(self) -> str:
        """The name of the step in lists."""
        return "stop of its input"

    @property
    def taken(self) -> str:
        """Words about a step that was taken."""
        return "the program that writes its input is being stopped"

    @property
    def planned(self) -> str:
        """Words about the next step, after "or"."""
        return "the program that writes its input is stopped"


AskingStep = EndUpstream | CloseStdin | WriteStdin | RunCommand
"""Step that is no signal."""
StopStep = Step | AskingStep
"""Step of a ladder."""


def with_pid(argv: tuple[str, ...], pid: int) -> tuple[str, ...]:
    """Return a command line with a process id in place of ``{pid}``."""
    return tuple(word.replace(_PID, str(pid)) for word in argv)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
