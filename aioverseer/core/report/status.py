"""Status: a snapshot of a Process or a Service, and the errors that carry one.

No value of an environment variable is part of a Status, so it can be shown and logged.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from signal import Signals
from typing import Any, NamedTuple, cast

from aioverseer.core.errors import OverseerError, ProcessNotRunning
from aioverseer.core.export import exported_from
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit, State, signal_name
from aioverseer.core.text.lines import Line

__all__ = [
    "MOST_LAST_LINES",
    "CriticalServiceEnded",
    "GaveUp",
    "NotReady",
    "NotReadyInTime",
    "ProcessFailed",
    "ProgramError",
    "RunEnded",
    "Status",
    "StatusSnapshot",
    "StopFailed",
    "last_lines",
    "late",
    "lines_of_runs",
    "main_process_missing",
    "not_ready",
    "not_ready_after",
    "not_running",
    "overdue",
    "run_ended",
    "stop_failed",
    "stranger_before",
    "stranger_found",
    "unhealthy",
    "with_last_lines",
]

MOST_LAST_LINES = 20
"""Last lines of a program that an error shows."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A snapshot of a Process or a Service.

    Attributes:
        id: Id of the service, or of the process.
        argv: Program and its arguments.
        pid: Process id of the current or last run; None before the first spawn.
        state: State at this moment.
        exit_code: Exit code of the last run that ended; None if none has, or a signal killed it.
        signal: Signal that killed the program, a number if Python has no name for it; None if none did.
        error: Reason why the program could not be started, or the GaveUp that ended a service; otherwise None.
        started_at: Wall-clock time of the spawn, aware. It is a label and never part of a decision.
        stopped_at: Wall-clock time of the end, aware.
        runtime: Seconds for which the current or last run has lived, on the monotonic clock.
        stdout: All lines of standard output so far if ``buffered``; else None.
        stderr: All lines of standard error so far if ``buffered``; else None.
        restarts: Number of runs after the first one since the last start.
        reason: Reason for the state, one sentence.
        cwd: Configured working directory; None for that of the host.
        delay_start: Configured seconds before the first start.
        max_restarts: Configured restart budget; None is no limit.
        log_lost: Number of lines that the log files of the service have lost since it was added; see ``LogFile``.
        containment: Level of containment in force: ``"basic"``, ``"guarded"``, ``"strict"``, or ``"none"`` for a
            scripted child; empty if it is not known yet.
        next: Wall-clock time of the next run by the schedule of a service, aware; None without one, and once it is
            stopped.
        last_lines: Last lines of a Process, or of a service that has failed, for error messages. A line such as
            ``--- run 2 ---`` stands where a further run begins.
        by: Name of the one who asked for the state: the ``by`` of the start, stop or restart. In ``history``, the name
            of the one who asked for the end of the run. Empty if nobody asked, or no name was given.
    """

    id: str
    argv: tuple[str, ...]
    pid: int | None = None
    state: State = State.INITIAL
    exit_code: int | None = None
    signal: Signals | int | None = None
    error: BaseException | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    runtime: float = 0.0
    stdout: Sequence[Any] | Any = None  # str, bytes or None depends on options, as for Process.stdout
    stderr: Sequence[Any] | Any = None
    restarts: int = 0
    reason: str = ""
    cwd: str | None = None
    delay_start: float = 0.0
    max_restarts: int | None = 0
    log_lost: int = 0
    containment: str = ""
    next: datetime | None = None
    last_lines: Sequence[str] = ()
    by: str = ""

    @property
    def ok(self) -> bool:
        """Whether the program ended with exit code 0, without a signal or an error."""
        return self.exit_code == 0 and self.signal is None and self.error is None

    @property
    def exit(self) -> Exit | None:
        """End of the program as one value, or None if it has not ended."""
        if self.exit_code is None and self.signal is None:
            return None
        return Exit(code=self.exit_code, signal=self.signal)

    def check(self) -> Status:
        """Return this status if it is ``ok``.

        Raises:
            ProcessFailed: If the program has not ended with exit code 0; carries the last lines. Its cause
                is ``error``.
        """
        if self.ok:
            return self
        raise ProcessFailed(
            f"{self.id!r} ({shlex.join(self.argv)}) is {self.state}: {self.reason}",
            id=self.id,
            status=self,
            lines=self.last_lines or last_lines(self.stderr or self.stdout or ()),
        ) from self.error

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON values, with the keys of the Go library overseer and further ones.

        The keys of the Go library keep their meaning: ``PID`` is 0 before the first spawn, ``exitCode`` is -1 for none,
        ``runTime`` is in seconds, ``delayStart`` in milliseconds. ``error`` and ``startTime`` are null for none, where
        the Go library makes a value up. ``retryTimes`` is null for no limit.
        """
        return {
            "cmd": shlex.join(self.argv),
            "PID": self.pid or 0,
            "state": str(self.state),
            "exitCode": -1 if self.exit_code is None else self.exit_code,
            "error": None if self.error is None else str(self.error) or repr(self.error),
            "runTime": self.runtime,
            "startTime": None if self.started_at is None else self.started_at.isoformat(),
            "dir": self.cwd or "",
            "delayStart": round(self.delay_start * 1000),
            "retryTimes": self.max_restarts,
            "id": self.id,
            "argv": list(self.argv),
            "signal": None if self.signal is None else signal_name(self.signal),
            "reason": self.reason,
            "by": self.by,
            "restarts": self.restarts,
            "logLost": self.log_lost,
            "containment": self.containment,
            "stopTime": None if self.stopped_at is None else self.stopped_at.isoformat(),
            "next": None if self.next is None else self.next.isoformat(),
        }


class StatusSnapshot(NamedTuple):
    """Data of a Status, which is made only when it is read.

    Each restart takes three snapshots and mostly nobody reads them. A tuple is several times faster to make than a
    frozen dataclass.
    """

    spec: Spec
    pid: int | None
    state: State
    exit: Exit | None
    error: BaseException | None
    started_at: datetime | None
    stopped_at: datetime | None
    runtime: float
    stdout: Sequence[str] | Sequence[bytes] | None
    stderr: Sequence[str] | Sequence[bytes] | None
    restarts: int
    reason: str
    max_restarts: int | None
    log_lost: int
    containment: str
    last_lines: Sequence[str] = ()
    next: datetime | None = None
    by: str = ""

    def status(self) -> Status:
        """Return the Status."""
        spec, exit = self.spec, self.exit
        return Status(
            id=spec.id,
            argv=spec.argv,
            pid=self.pid,
            state=self.state,
            exit_code=None if exit is None else exit.code,
            signal=None if exit is None else exit.signal,
            error=self.error,
            started_at=self.started_at,
            stopped_at=self.stopped_at,
            runtime=self.runtime,
            stdout=self.stdout,
            stderr=self.stderr,
            restarts=self.restarts,
            reason=self.reason,
            cwd=spec.cwd,
            delay_start=spec.delay_start,
            max_restarts=self.max_restarts,
            log_lost=self.log_lost,
            containment=self.containment,
            next=self.next,
            last_lines=self.last_lines,
            by=self.by,
        )


def last_lines(lines: Sequence[str | bytes], most: int = MOST_LAST_LINES) -> list[str]:
    """Return the last lines as text, for the message of an error."""
    tail = lines[-most:]
    return [line if isinstance(line, str) else line.decode("utf-8", "backslashreplace") for line in tail]


def lines_of_runs(lines: Sequence[Line]) -> list[str]:
    """Return the last lines of a service as text, with a mark where a further run begins."""
    marked: list[str] = []
    run = lines[0].run if lines else 0
    for line in lines:
        if line.run != run:
            run = line.run
            marked.append(f"--- run {run} ---")
        marked += last_lines([line.text])
    return marked


def with_last_lines(message: str, lines: Sequence[str]) -> str:
    """Return a message with the last lines of a program below it."""
    return "\n".join([message, "last lines:", *(f"  {line}" for line in lines)]) if lines else message


# Constructors of the errors of one run, so that all their messages are in one place. Callers raise them.


def not_running(status: Status) -> ProcessNotRunning:
    """Return the error for an action that needs a running program."""
    if status.pid is not None and not status.state.is_final:
        # The program has ended, and the state changes once its last output has been read.
        return ProcessNotRunning(f"{status.id!r} (pid {status.pid}) has just ended")
    return ProcessNotRunning(f"{status.id!r} is not running: it is {status.state}, {status.reason}")


def not_ready(status: Status, lines: Sequence[str]) -> NotReady:
    """Return the error of a run that has ended, or is being stopped, before it was ready."""
    error = NotReady(
        f"{status.id!r} is not ready: it is {status.state}, {status.reason}", id=status.id, status=status, lines=lines
    )
    error.__cause__ = status.error
    return error


def not_ready_after(status: Status, seconds: float, detail: str, lines: Sequence[str]) -> NotReadyInTime:
    """Return the error of a waiter whose time is over; the run goes on."""
    return NotReadyInTime(
        f"{status.id!r} is not ready after {seconds:g} s: it is {status.state}, {status.reason}{_in_brackets(detail)}",
        id=status.id,
        status=status,
        lines=lines,
    )


def late(status: Status, seconds: float, detail: str, lines: Sequence[str]) -> NotReadyInTime:
    """Return the error of a run that is stopped because it was not ready within ``ready_timeout``."""
    return NotReadyInTime(
        f"{status.id!r} was not ready within {seconds:.3g} s{_in_brackets(detail)}: see what it waits for, or give it "
        "more ready_timeout",
        id=status.id,
        status=status,
        lines=lines,
    )


_STRANGER = 'stop that program, use another address, or pass owner="any" to the probe if that program may answer'


def stranger_before(id: str, held: str) -> NotReady:
    """Return the error of a program that is not started, because a stranger would answer its probe."""
    return NotReady(f"{id!r} cannot become ready: {held}; {_STRANGER}", id=id)


def stranger_found(status: Status, held: str, lines: Sequence[str]) -> NotReady:
    """Return the error of a run that is stopped because a stranger answers its probe."""
    return NotReady(f"{status.id!r} cannot become ready: {held}; {_STRANGER}", id=status.id, status=status, lines=lines)


def main_process_missing(status: Status, why: str, lines: Sequence[str]) -> NotReady:
    """Return the error of a run whose program went into the background and has ended without naming a process."""
    return NotReady(f"{status.id!r} cannot become ready: {why}", id=status.id, status=status, lines=lines)


def unhealthy(status: Status, why: str, lines: Sequence[str]) -> ProcessFailed:
    """Return the error of a run that is stopped because its liveness checks failed."""
    return ProcessFailed(f"{status.id!r} is not alive: {why}", id=status.id, status=status, lines=lines)


def overdue(status: Status, seconds: float, lines: Sequence[str]) -> ProcessFailed:
    """Return the error of a run that is stopped because it has lived for longer than ``max_runtime``."""
    return ProcessFailed(
        f"{status.id!r} ran for longer than {seconds:g} s (max_runtime)", id=status.id, status=status, lines=lines
    )


def run_ended(status: Status, awaited: str, lines: Sequence[str]) -> RunEnded:
    """Return the error of a caller that waited for something of a run that has ended, or has ended its output.

    Args:
        status: Status of the run.
        awaited: The awaited event, as words after "before".
        lines: Last lines of the program.
    """
    ended = "has ended" if status.state.is_final else "has ended its output"
    error = RunEnded(
        f"{status.id!r} {ended} before {awaited}: {status.reason}", id=status.id, status=status, lines=lines
    )
    error.__cause__ = status.error
    return error


def stop_failed(status: Status) -> StopFailed:
    """Return the error of a program that is still there after its whole ladder."""
    return StopFailed(
        f"{status.id!r} does not die: {status.reason}; it may wait for a device or a file system, see its state in ps",
        id=status.id,
        status=status,
    )


def _in_brackets(detail: str) -> str:
    return f" ({detail})" if detail else ""


@exported_from("aioverseer")
class ProgramError(OverseerError):
    """Base of the errors about one program.

    Attributes:
        id: Id of the service, or of the process.
        lines: Last lines that the program wrote, oldest first. A line such as ``--- run 2 ---`` stands where a further
            run begins.
    """

    def __init__(
        self,
        message: str,
        *,
        id: str,
        status: Status | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        self.id = id
        self._status = status
        self.lines = tuple(lines)
        super().__init__(with_last_lines(message, self.lines))

    @property
    def status(self) -> Status | None:
        """Status at the time of the error; None if there is none."""
        return self._status

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle needs: by default it calls the class with the message alone."""
        return _restored, (type(self), self.args), vars(self)


def _restored(kind: type[ProgramError], args: tuple[object, ...]) -> ProgramError:
    """Return a pickled error. Its message has the last lines already, so the constructor is not called again."""
    error = kind.__new__(kind)
    error.args = args
    return error


@exported_from("aioverseer")
class ProcessFailed(ProgramError):
    """The program failed: an exit code other than 0, a signal, or it could not be started."""

    def __init__(self, message: str, *, id: str, status: Status, lines: Sequence[str] = ()) -> None:
        super().__init__(message, id=id, status=status, lines=lines)

    @property
    def status(self) -> Status:
        """Status at the time of the error."""
        return cast("Status", self._status)


@exported_from("aioverseer")
class NotReady(ProgramError):
    """The program cannot reach the awaited state any more."""


@exported_from("aioverseer")
class NotReadyInTime(NotReady, TimeoutError):
    """The program did not reach the awaited state in time."""


@exported_from("aioverseer")
class RunEnded(ProgramError):
    """The run has ended, and the awaited output or answer did not come before."""


@exported_from("aioverseer")
class GaveUp(ProgramError):
    """The restart budget is spent; the service stays down until it is started again."""

    def __init__(self, message: str, *, id: str, status: Status, lines: Sequence[str] = ()) -> None:
        super().__init__(message, id=id, status=status, lines=lines)

    @property
    def status(self) -> Status:
        """Status at the time of the error."""
        return cast("Status", self._status)


@exported_from("aioverseer")
class CriticalServiceEnded(ProgramError):
    """A critical service ended for good, so everything else was stopped."""


@exported_from("aioverseer")
class StopFailed(ProgramError):
    """The program is still there after every step of its ladder."""
