"""FakeChild: the script of a child, step by step, as a value. ``child.py`` performs the steps."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import re
import signal as signals
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast, overload

from aioverseer.core.errors import SpawnError, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.framing import FramingOption, FramingRule, as_framing
from aioverseer.core.state import Exit, as_signal

__all__ = [
    "AnswerStep",
    "CloseStep",
    "EndStep",
    "FakeChild",
    "LeaveStep",
    "NotifyStep",
    "PrintStep",
    "ReadStep",
    "RepeatStep",
    "ScriptStep",
    "StreamName",
    "WaitStep",
    "WriteReadyStep",
]

StreamName: TypeAlias = Literal["stdout", "stderr"]

_REASONS = {
    errno.EAGAIN: "the system has no room for another process",
    errno.ENOENT: "there is no such program",
    errno.EACCES: "it may not be executed",
}
"""Messages of errors at a start."""
_HIGHEST_CODE = 255
_DESCRIPTORS = range(3, 10)
_SIGNALS = range(1, signals.NSIG)


@dataclass(frozen=True, slots=True)
class PrintStep:
    """Write to an output stream."""

    data: bytes
    stream: StreamName


@dataclass(frozen=True, slots=True)
class WaitStep:
    """Wait for some seconds on the clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class EndStep:
    """End the child."""

    exit: Exit


@dataclass(frozen=True, slots=True)
class NotifyStep:
    """Send a datagram to ``NOTIFY_SOCKET``."""

    datagram: bytes


@dataclass(frozen=True, slots=True)
class WriteReadyStep:
    """Write a newline to an inherited descriptor."""

    number: int


@dataclass(frozen=True, slots=True)
class ReadStep:
    """Read standard input until a line or a frame matches the pattern, or until its end. None as pattern reads all."""

    pattern: re.Pattern[str] | None
    framing: FramingOption | None


@dataclass(frozen=True, slots=True)
class AnswerStep:
    """Answer each line or frame of standard input with the result of a function, until the end of the input."""

    reply: Callable[[Any], str | bytes | Exit | None]
    framing: FramingOption | None
    encode: Callable[[bytes], bytes]
    prompt: bytes


@dataclass(frozen=True, slots=True)
class CloseStep:
    """Close a standard stream."""

    stream: Literal["stdin", "stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class LeaveStep:
    """Start a process that outlives this one."""

    command: str
    daemon: bool
    immortal: bool


@dataclass(frozen=True, slots=True)
class RepeatStep:
    """Repeat steps. None as number of times is for ever."""

    steps: tuple[ScriptStep, ...]
    times: int | None


ScriptStep: TypeAlias = (
    PrintStep
    | WaitStep
    | EndStep
    | NotifyStep
    | WriteReadyStep
    | ReadStep
    | AnswerStep
    | CloseStep
    | LeaveStep
    | RepeatStep
)


@exported_from("aioverseer.testing")
@dataclass(frozen=True, slots=True, kw_only=True)
class FakeChild:
    """The script of a child, step by step: ``FakeChild().prints("ready").runs(3).exits(1)``.

    A script is a value: each method returns a longer script and changes nothing. Without an end in the script, the
    child lives until a signal or the test ends it. Signals act as on a program without handlers, except for the signals
    named by ``ignores``, ``on`` and ``ends_on``. The child waits where a real program would: while it writes into a
    full pipe, and while it is stopped by SIGSTOP.

    Attributes:
        steps: The steps, in order.
        ignored: The numbers of the ignored signals.
        reactions: The script that runs on each handled signal, by the signal's number.
        error: The error of its start; None if it can be started.
        spawn_seconds: Duration of its start, in seconds.
    """

    steps: tuple[ScriptStep, ...] = ()
    ignored: frozenset[int] = frozenset()
    reactions: Mapping[int, FakeChild] = field(default_factory=lambda: MappingProxyType({}))
    error: SpawnError | None = None
    spawn_seconds: float = 0.0

    # --- the start

    def cannot_start(self, why: str | None = None, number: int = errno.EAGAIN) -> FakeChild:
        """Let the start fail with a SpawnError.

        Args:
            why: The message of the error; None for one that fits the errno.
            number: The errno of the error. By default a later start may succeed, so the Restart policy decides. With
                ``errno.ENOENT`` and the like the program is not there, and a service that never ran gives up at once.
        """
        if why is None:
            why = _REASONS.get(number, f"it cannot be started ({errno.errorcode.get(number, number)})")
        return dataclasses.replace(self, error=SpawnError(why, errno=number))

    def spawns_in(self, seconds: float) -> FakeChild:
        """Let the start, or its failure, take some seconds on the clock."""
        return dataclasses.replace(self, spawn_seconds=_seconds("spawns_in", seconds))

    # --- input and output

    def prints(self, *lines: str, stream: StreamName = "stdout") -> FakeChild:
        """Write lines.

        Args:
            *lines: The lines, without their newlines.
            stream: The stream to write to.
        """
        return self.writes("".join(f"{line}\n" for line in lines), stream=stream)

    def writes(self, data: str | bytes, *, stream: StreamName = "stdout") -> FakeChild:
        """Write text or bytes as they are, such as a prompt without a newline."""
        if stream not in ("stdout", "stderr"):
            raise _error("writes", "stream", stream, 'pass "stdout" or "stderr"')
        return self._then(PrintStep(data.encode() if isinstance(data, str) else bytes(data), stream))

    def runs(self, seconds: float) -> FakeChild:
        """Wait for some seconds on the clock before the next step."""
        return self._then(WaitStep(_seconds("runs", seconds)))

    def notifies(self, *assignments: str) -> FakeChild:
        """Send a message of sd_notify(3), for example ``notifies("READY=1", "STATUS=up")``. For ``ready.notify``."""
        return self._then(NotifyStep("\n".join(assignments).encode()))

    def writes_ready(self, number: int = 3) -> FakeChild:
        """Write a newline to this descriptor. For ``ready.fd``."""
        if number not in _DESCRIPTORS:
            raise _error("writes_ready", "number", number, "pass a descriptor from 3 to 9")
        return self._then(WriteReadyStep(number))

    def reads(self, pattern: str = "", *, framing: FramingOption | None = None) -> FakeChild:
        """Read standard input until a line or a frame matches a regular expression, or until the end of the input.

        Lines and frames before that are discarded.

        Args:
            pattern: The regular expression.
            framing: Framing of the input, for example ``framing.length_prefix(4)``; None for lines. All steps after
                the first one with a framing need the same.

        Raises:
            SpecError: If ``framing`` is no framing, or not that of the steps before.
        """
        return self._then(ReadStep(re.compile(pattern), None if framing is None else _framing("reads", framing)))

    def reads_all(self) -> FakeChild:
        """Read standard input until its end. Without a pipe to standard input, the end comes at once."""
        return self._then(ReadStep(None, None))

    @overload
    def answers(self, reply: Callable[[str], str | Exit | None] | None = None, *, prompt: str = "") -> FakeChild: ...
    @overload
    def answers(
        self, reply: Callable[[bytes], bytes | Exit | None] | None = None, *, framing: FramingOption
    ) -> FakeChild: ...
    def answers(
        self, reply: Callable[[Any], Any] | None = None, *, framing: FramingOption | None = None, prompt: str = ""
    ) -> FakeChild:
        """Read standard input until its end, and answer each line or frame.

        Args:
            reply: Function of a line that returns the answer, both without newline; of a frame as bytes, with
                ``framing``. It may return None for no answer, or an ``Exit``, which ends the child. Without a function
                each line or frame is its own answer, as with ``cat``.
            framing: Framing of the input and of the answers, for example ``framing.length_prefix(4)``; None for lines.
                All steps after the first one with a framing need the same. A class of yours also has a method
                ``encode`` for the answers, as ``FramingRule`` does.
            prompt: Text before each line that is read, for example ``"=# "``.

        Raises:
            SpecError: If ``framing`` is no framing, or not that of the steps before.
        """
        encode = _line if framing is None else _encoder(framing)
        if framing is not None:
            framing = _framing("answers", framing)
        step = AnswerStep(_same if reply is None else reply, framing, encode, prompt.encode())
        return (self.writes(prompt) if prompt else self)._then(step)  # noqa: SLF001  # of the same class

    def closes(self, stream: Literal["stdin", "stdout", "stderr"]) -> FakeChild:
        """Close a standard stream and live on."""
        if stream not in ("stdin", "stdout", "stderr"):
            raise _error("closes", "stream", stream, 'pass "stdin", "stdout" or "stderr"')
        return self._then(CloseStep(stream))

    def leaves(self, command: str = "sleep 60", *, daemon: bool = False, immortal: bool = False) -> FakeChild:
        """Start a process that outlives the child.

        Args:
            command: The command line of that process.
            daemon: Whether that process leaves the process group and closes its output. Otherwise it keeps the output
                open until it ends.
            immortal: Whether no signal ends that process, as with a process that waits for a device.
        """
        return self._then(LeaveStep(command, daemon, immortal))

    def repeats(self, script: FakeChild, times: int | None = None) -> FakeChild:
        """Repeat the steps of another script.

        Args:
            script: The other script, for example ``FakeChild().runs(5).notifies("WATCHDOG=1")``.
            times: The number of times. None is for ever; the script must take time then.
        """
        if times is None and not _takes_time(script.steps):
            raise _error("repeats", "script", script, "it takes no time, so it would never end: add runs(seconds)")
        if times is not None and times < 0:
            raise _error("repeats", "times", times, "pass how often, or None for ever")
        return self._then(RepeatStep(script.steps, times))

    # --- signals

    def ignores(self, *numbers: int) -> FakeChild:
        """Ignore these signals. A child that ignores SIGKILL stands for a program that cannot be killed."""
        return dataclasses.replace(self, ignored=self.ignored | {_signal("ignores", number) for number in numbers})

    def on(self, number: int, script: FakeChild) -> FakeChild:
        """Run another script each time that this signal comes, while the main script goes on.

        Args:
            number: The number of the signal.
            script: The other script: ``on(signal.SIGHUP, FakeChild().prints("reloaded"))``.
        """
        checked = _signal("on", number)
        if checked in (signals.SIGKILL, signals.SIGSTOP):
            raise _error("on", "number", number, "no program can handle it")
        return dataclasses.replace(self, reactions=MappingProxyType({**self.reactions, checked: script}))

    def ends_on(self, number: int, *, after: float = 0.0, code: int = 0) -> FakeChild:
        """Exit some time after this signal, as a program does that cleans up first.

        Args:
            number: The number of the signal.
            after: Seconds from the signal to the end.
            code: The exit code.
        """
        return self.on(number, FakeChild().runs(after).exits(code))

    # --- the end

    def exits(self, code: int = 0) -> FakeChild:
        """End with an exit code."""
        if not isinstance(code, int) or not 0 <= code <= _HIGHEST_CODE:
            raise _error("exits", "code", code, "pass an exit code from 0 to 255")
        return self.ends(Exit(code=code))

    def dies(self, number: int = signals.SIGKILL) -> FakeChild:
        """End by a signal."""
        return self.ends(Exit(signal=as_signal(_signal("dies", number))))

    def ends(self, exit: Exit) -> FakeChild:
        """End in any way, for example with a lost exit status: ``Exit()``."""
        return self._then(EndStep(exit))

    def _then(self, step: ScriptStep) -> FakeChild:
        if self.steps and isinstance(self.steps[-1], EndStep):
            raise SpecError(f"FakeChild: nothing can come after the end of a program, so not {step}", value=step)
        known = None
        for framing in _framings((*self.steps, step)):
            if known is not None and framing != known:
                raise SpecError(
                    f"FakeChild: its input comes as {known}: pass the same framing to this step", option="framing"
                )
            known = framing
        return dataclasses.replace(self, steps=(*self.steps, step))


def _same(item: Any) -> Any:
    return item


def _line(text: bytes) -> bytes:
    return text + b"\n"


def _framing(method: str, value: FramingOption) -> FramingOption:
    with contextlib.suppress(SpecError):
        if not isinstance(checked := as_framing(value), Mapping):
            return checked
    raise _error(method, "framing", value, "pass a framing, for example framing.length_prefix(4)")


def _encoder(framing: FramingOption) -> Callable[[bytes], bytes]:
    made: Any = framing() if callable(framing) and not isinstance(framing, FramingRule) else framing
    encode = getattr(made, "encode", None)
    if not callable(encode):
        raise _error("answers", "framing", framing, "give it a method encode(bytes) -> bytes, for the answers")
    return cast("Callable[[bytes], bytes]", encode)


def _framings(steps: tuple[ScriptStep, ...]) -> Iterator[FramingOption | None]:
    """Return the framing of each step that reads items."""
    for step in steps:
        if isinstance(step, AnswerStep) or (isinstance(step, ReadStep) and step.pattern is not None):
            yield step.framing
        elif isinstance(step, RepeatStep):
            yield from _framings(step.steps * (1 if step.times == 1 else 2))


def _takes_time(steps: tuple[ScriptStep, ...]) -> bool:
    return any(
        (isinstance(step, WaitStep) and step.seconds > 0) or (isinstance(step, RepeatStep) and _takes_time(step.steps))
        for step in steps
    )


def _seconds(method: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise _error(method, "seconds", value, "pass seconds, 0 or more")
    return float(value)


def _signal(method: str, value: int) -> int:
    if not isinstance(value, int) or value not in _SIGNALS:
        raise _error(method, "number", value, "pass a signal, for example signal.SIGTERM")
    return value


def _error(method: str, name: str, value: object, what: str) -> SpecError:
    return SpecError(f"FakeChild.{method}: {name}={value!r} cannot be: {what}", option=name, value=value)
