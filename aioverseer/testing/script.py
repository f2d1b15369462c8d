"""The script of a child: what it does, step by step, as a value.

Values and their checks only. ``child.py`` performs the steps; nothing in here has a clock or an event loop.
"""

from __future__ import annotations

import dataclasses
import errno
import math
import re
import signal as signals
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from aioverseer.core.errors import SpawnError, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.state import Exit, as_signal

__all__ = [
    "Answer",
    "Close",
    "End",
    "FakeChild",
    "Leave",
    "Notify",
    "Print",
    "Read",
    "Repeat",
    "Step",
    "StreamName",
    "Wait",
    "WriteReady",
]

StreamName: TypeAlias = Literal["stdout", "stderr"]
_HIGHEST_CODE = 255
_DESCRIPTORS = range(3, 10)
_SIGNALS = range(1, signals.NSIG)


@dataclass(frozen=True, slots=True)
class Print:
    """Write."""

    data: bytes
    stream: StreamName


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class End:
    """End."""

    exit: Exit


@dataclass(frozen=True, slots=True)
class Notify:
    """Send a datagram to ``NOTIFY_SOCKET``."""

    datagram: bytes


@dataclass(frozen=True, slots=True)
class WriteReady:
    """Write a newline to a descriptor."""

    number: int


@dataclass(frozen=True, slots=True)
class Read:
    """Wait for a line of standard input in which a pattern is found, None: for its end; the end does in any case."""

    pattern: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Write what a function makes of each line of standard input, until its end."""

    reply: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Close:
    """Let go of a standard stream."""

    stream: Literal["stdin", "stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class Leave:
    """Start a process that outlives this one."""

    command: str
    daemon: bool
    immortal: bool


@dataclass(frozen=True, slots=True)
class Repeat:
    """Do steps again and again; None: for ever."""

    steps: tuple[Step, ...]
    times: int | None


Step: TypeAlias = Print | Wait | End | Notify | WriteReady | Read | Answer | Close | Leave | Repeat


@exported_from("aioverseer.testing")
@dataclass(frozen=True, slots=True, kw_only=True)
class FakeChild:
    """What a scripted child does, in order: ``FakeChild().prints("ready").runs(3).exits(1)``.

    A value: each method returns a longer script and changes nothing. Without an end in the script the child lives until
    it is signalled, or ended by the test. It takes signals as a program without handlers does, but for those that
    ``ignores``, ``on`` and ``ends_on`` name. Where a real program would wait, so does this one: while it writes into a
    pipe that is full, and while it is stopped by SIGSTOP.

    Attributes:
        steps: The steps.
        ignored: The signals that do nothing.
        reactions: What else it does when a signal comes, by its number.
        error: Why it cannot be started; None when it can.
        spawn_seconds: How long its start takes.
    """

    steps: tuple[Step, ...] = ()
    ignored: frozenset[int] = frozenset()
    reactions: Mapping[int, FakeChild] = field(default_factory=lambda: MappingProxyType({}))
    error: SpawnError | None = None
    spawn_seconds: float = 0.0

    # --- how it starts

    def cannot_start(self, why: str = "there is no such program", number: int = errno.ENOENT) -> FakeChild:
        """Fail to be spawned.

        Args:
            why: The message of the SpawnError.
            number: Its errno.
        """
        return dataclasses.replace(self, error=SpawnError(why, errno=number))

    def spawns_in(self, seconds: float) -> FakeChild:
        """Take so long, on the clock, to be spawned, or to fail to be."""
        return dataclasses.replace(self, spawn_seconds=_seconds("spawns_in", seconds))

    # --- what it does

    def prints(self, *lines: str, stream: StreamName = "stdout") -> FakeChild:
        """Write these lines.

        Args:
            *lines: Without their newlines.
            stream: Where to.
        """
        return self.writes("".join(f"{line}\n" for line in lines), stream=stream)

    def writes(self, data: str | bytes, *, stream: StreamName = "stdout") -> FakeChild:
        """Write this as it is: a prompt without a newline, or bytes that are no text."""
        if stream not in ("stdout", "stderr"):
            raise _refused("writes", "stream", stream, 'pass "stdout" or "stderr"')
        return self._then(Print(data.encode() if isinstance(data, str) else bytes(data), stream))

    def runs(self, seconds: float) -> FakeChild:
        """Live so long, on the clock, before the next step."""
        return self._then(Wait(_seconds("runs", seconds)))

    def notifies(self, *assignments: str) -> FakeChild:
        """Send a notice, for example ``notifies("READY=1", "STATUS=up")``, to whoever listens; see ``ready.notify``."""
        return self._then(Notify("\n".join(assignments).encode()))

    def writes_ready(self, number: int = 3) -> FakeChild:
        """Write a newline to this descriptor, for whoever listens; see ``ready.fd``."""
        if number not in _DESCRIPTORS:
            raise _refused("writes_ready", "number", number, "pass a descriptor from 3 to 9")
        return self._then(WriteReady(number))

    def reads(self, pattern: str = "") -> FakeChild:
        """Read standard input until a line comes in which this regular expression is found, or its end.

        Lines before that are read and forgotten.
        """
        return self._then(Read(re.compile(pattern)))

    def reads_all(self) -> FakeChild:
        """Read standard input until its end, which comes at once where nobody can write to it."""
        return self._then(Read(None))

    def answers(self, reply: Callable[[str], str | None] | None = None) -> FakeChild:
        """Read standard input until its end, and write a line for each: as ``cat`` does, or what a function returns.

        Args:
            reply: Takes a line without its newline, and returns one, or None for no answer; None returns the line.
        """
        return self._then(Answer(_same if reply is None else reply))

    def closes(self, stream: Literal["stdin", "stdout", "stderr"]) -> FakeChild:
        """Let go of a standard stream, and live on."""
        if stream not in ("stdin", "stdout", "stderr"):
            raise _refused("closes", "stream", stream, 'pass "stdin", "stdout" or "stderr"')
        return self._then(Close(stream))

    def leaves(self, command: str = "sleep 60", *, daemon: bool = False, immortal: bool = False) -> FakeChild:
        """Start a process that outlives it.

        Args:
            command: The command line of that process.
            daemon: Whether it leaves the group and lets go of the output; else it holds the output open until it ends.
            immortal: Whether nothing ends it, as one that waits for a device.
        """
        return self._then(Leave(command, daemon, immortal))

    def repeats(self, script: FakeChild, times: int | None = None) -> FakeChild:
        """Do what another script says again and again.

        Args:
            script: Its steps are taken, for example ``FakeChild().runs(5).notifies("WATCHDOG=1")``.
            times: How often; None is for ever, and the script has to take time then.
        """
        if times is None and not _takes_time(script.steps):
            raise _refused("repeats", "script", script, "it takes no time, so it would never end: add runs(seconds)")
        if times is not None and times < 0:
            raise _refused("repeats", "times", times, "pass how often, or None for ever")
        return self._then(Repeat(script.steps, times))

    # --- how it takes signals

    def ignores(self, *numbers: int) -> FakeChild:
        """Live on when these signals come; with SIGKILL it is a program that nothing ends."""
        return dataclasses.replace(self, ignored=self.ignored | {_signal("ignores", number) for number in numbers})

    def on(self, number: int, script: FakeChild) -> FakeChild:
        """Do what another script says when this signal comes, each time, and beside what it does anyhow.

        Args:
            number: The signal.
            script: Its steps are taken: ``on(signal.SIGHUP, FakeChild().prints("reloaded"))``.
        """
        checked = _signal("on", number)
        if checked in (signals.SIGKILL, signals.SIGSTOP):
            raise _refused("on", "number", number, "no program can handle it")
        return dataclasses.replace(self, reactions=MappingProxyType({**self.reactions, checked: script}))

    def ends_on(self, number: int, *, after: float = 0.0, code: int = 0) -> FakeChild:
        """End by itself some time after this signal, as a program does that puts its house in order.

        Args:
            number: The signal.
            after: Seconds from the signal to the end.
            code: The exit code.
        """
        return self.on(number, FakeChild().runs(after).exits(code))

    # --- how it ends

    def exits(self, code: int = 0) -> FakeChild:
        """End with an exit code."""
        if not isinstance(code, int) or not 0 <= code <= _HIGHEST_CODE:
            raise _refused("exits", "code", code, "pass an exit code from 0 to 255")
        return self.ends(Exit(code=code))

    def dies(self, number: int = signals.SIGKILL) -> FakeChild:
        """End by a signal."""
        return self.ends(Exit(signal=as_signal(_signal("dies", number))))

    def ends(self, exit: Exit) -> FakeChild:
        """End in any way, for example with a status that is lost: ``Exit()``."""
        return self._then(End(exit))

    def _then(self, step: Step) -> FakeChild:
        if self.steps and isinstance(self.steps[-1], End):
            raise SpecError(f"FakeChild: nothing can come behind the end of a program, so not {step}", value=step)
        return dataclasses.replace(self, steps=(*self.steps, step))


def _same(line: str) -> str:
    return line


def _takes_time(steps: tuple[Step, ...]) -> bool:
    return any(
        (isinstance(step, Wait) and step.seconds > 0) or (isinstance(step, Repeat) and _takes_time(step.steps))
        for step in steps
    )


def _seconds(method: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise _refused(method, "seconds", value, "pass seconds, 0 or more")
    return float(value)


def _signal(method: str, value: int) -> int:
    if not isinstance(value, int) or value not in _SIGNALS:
        raise _refused(method, "number", value, "pass a signal, for example signal.SIGTERM")
    return value


def _refused(method: str, name: str, value: object, what: str) -> SpecError:
    return SpecError(f"FakeChild.{method}: {name}={value!r} cannot be: {what}", option=name, value=value)
