"""ThreadedService: the handle of one service, for threads other than that of its event loop."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from aioverseer import Line, Process, Runs, Service, Spec, State, Status, Stop, Subscription, Usage, Why
from aioverseer.core.export import exported_from
from aioverseer.threaded.loop import Loop, as_async
from aioverseer.threaded.runs import ThreadedRun, ThreadedRuns
from aioverseer.threaded.streams import ThreadedLines

__all__ = ["ThreadedService"]


@exported_from("aioverseer")
class ThreadedService:
    """A ``Service`` whose methods block the calling thread instead of being awaited."""

    def __init__(self, loop: Loop, service: Service) -> None:
        """Wrap a service. For ``ThreadedOverseer``."""
        self._loop = loop
        self._service = service

    def __repr__(self) -> str:
        """Return id, program, state and pid."""
        return f"<Threaded{repr(self._service)[1:]}"

    @property
    def id(self) -> str:
        """The name of the service in its overseer."""
        return self._service.id

    @property
    def spec(self) -> Spec:
        """The description of the next run."""
        return self._service.spec

    @property
    def state(self) -> State:
        """The current state."""
        return self._service.state

    @property
    def pid(self) -> int | None:
        """The process id of the current or last run; None before the first one."""
        return self._service.pid

    @property
    def index(self) -> int | None:
        """The number of an instance in its set, from 0; None for a lone service."""
        return self._service.index

    @property
    def port(self) -> int | None:
        """The port of the current or last run, which took the place of ``{port}``; None without one."""
        return self._service.port

    @property
    def resource(self) -> Any:
        """The value of the entered resource, which belongs to the loop of the overseer; see ``Service.resource``."""
        return self._loop.call(lambda: (self._service.resource,))[0]

    @property
    def restarts(self) -> int:
        """The number of restarts since the service was last started."""
        return self._service.restarts

    @property
    def ready_match(self) -> re.Match[str] | None:
        """The match of ``ready.line`` in the current or last run; see ``Process.ready_match``."""
        return self._service.ready_match

    @property
    def history(self) -> tuple[Status, ...]:
        """The final Status of each of the last runs, oldest first."""
        return self._loop.call(lambda: self._service.history)

    def status(self) -> Status:
        """Return a snapshot of everything known about the service."""
        return self._loop.call(self._service.status)

    def why(self) -> Why:
        """Return why the service is in its state, and what comes next."""
        return self._loop.call(self._service.why)

    def tail(self, n: int = 20) -> list[Line]:
        """Return the last ``n`` lines of its output, oldest first; see ``Service.tail``."""
        return self._loop.call(lambda: self._service.tail(n))

    def lines(
        self,
        stream: Literal["stdout", "stderr"] | None = None,
        *,
        history: int = 0,
        size: int = 1000,
        overflow: Literal["drop_oldest", "drop_newest", "block", "error"] = "drop_oldest",
    ) -> ThreadedLines:
        """Return an iterator over the lines of its output from now on; see ``Service.lines`` for the arguments."""

        async def subscribe() -> Subscription:
            return self._service.lines(stream, history=history, size=size, overflow=overflow)

        return ThreadedLines(self._loop, self._loop.run(subscribe))

    @property
    def process(self) -> ThreadedRun | None:
        """The current run; None while no program lives. Runs of ``runs()`` stay readable after their ends."""
        process = self._loop.call(lambda: self._service.process)
        return None if process is None else ThreadedRun(self._loop, process)

    def runs(self) -> ThreadedRuns:
        """Return an iterator over its runs, from the current one on; see ``Service.runs``."""

        async def read() -> Runs[Process]:
            return self._service.runs()

        return ThreadedRuns(self._loop, self._loop.run(read))

    def __enter__(self) -> Self:
        """Start the service; see ``start``."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the service by its ladder, however the block was left; see ``stop``."""
        self.stop()

    def start(self, *, by: str = "") -> Self:
        """Start the service and return once it is ready.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            NotReady: If it ends for good, or is stopped, before it is ready.
            StopFailed: If the program of an earlier run is still there after the whole ladder.
        """
        self._loop.run(partial(self._service.start, by=by))
        return self

    def trigger(self, *, by: str = "") -> Self:
        """Run the program of a service with a schedule now, and return once this run is ready; see ``Service.trigger``.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            NotReady: If the run has failed for good, or is stopped, before it is ready.
            SpecError: If the service has no schedule.
        """
        self._loop.run(partial(self._service.trigger, by=by))
        return self

    def usage(self) -> Usage:
        """Return what the service uses; see ``Service.usage``."""
        return self._loop.run(self._service.usage)

    def restart(self, *, by: str = "") -> Self:
        """Stop the service by its ladder, start it again, and return once it is ready.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            NotReady: If it ends for good, or is stopped, before it is ready.
            StopFailed: If its program is still there after the whole ladder.
        """
        self._loop.run(partial(self._service.restart, by=by))
        return self

    def ready(self, timeout: float | None = None) -> Self:
        """Wait until the service is ready. Nothing is started.

        Args:
            timeout: The limit in seconds; None is no limit.

        Raises:
            NotReady: If it has ended, or ends before it is ready.
            NotReadyInTime: If the limit is over.
        """
        self._loop.run(partial(self._service.ready, timeout))
        return self

    def wait(self) -> Status:
        """Wait for the final end of the service and return its Status. Nothing is started.

        Raises:
            StopFailed: If its program is still there after the whole ladder, as its end may never come.
        """
        return self._loop.run(self._service.wait)

    def wait_for(self, wanted: State | Callable[[Status], bool], timeout: float | None = None) -> Status:
        """Wait until the service is in a state, or until a function returns a true value for its Status.

        Args:
            wanted: The state, or the function. It is called in the thread of the overseer and must not block.
            timeout: The limit in seconds; None is no limit.

        Raises:
            NotReady: If it has ended, so that the state cannot come any more.
            NotReadyInTime: If the limit is over.
            StopFailed: If its program is still there after the whole ladder.
        """
        return self._loop.run(partial(self._service.wait_for, wanted, timeout))

    def stop(self, *, kill: bool = False, ladder: Stop | None = None, by: str = "") -> Status:
        """Stop the service by its ladder and return its Status. No restart follows.

        Args:
            kill: Whether to send SIGKILL at once.
            ladder: A ladder for this stop alone; None for that of the options. A stop that is under way keeps its own.
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            StopFailed: If its program is still there after the whole ladder.
            SpecError: If the ladder is none, or has steps for a program and the service is a task or resource.
        """
        return self._loop.run(partial(self._service.stop, kill=kill, ladder=ladder, by=by))

    def reload(self, timeout: float | None = 30.0) -> None:
        """Let the program read its configuration again, in the way of the option ``reload``; see ``Service.reload``.

        Args:
            timeout: Seconds for the command or for ``READY=1``; None for no limit.
        """
        self._loop.run(partial(self._service.reload, timeout))

    def signal(self, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to the program and all that it started, or to the program alone (``scope="leader"``)."""
        self._loop.run(as_async(partial(self._service.signal, number, scope=scope)))

    def write(self, data: bytes | str) -> None:
        """Write to the standard input of the current run, waiting while the pipe is full; see ``Process.write``."""
        self._loop.run(partial(self._service.write, data))

    def write_eof(self) -> None:
        """End the standard input of the current run after all pending writes; see ``Process.write_eof``."""
        self._loop.run(self._service.write_eof)

    def resize(self, columns: int, rows: int) -> None:
        """Set columns and rows of the terminal of the current run; see ``Process.resize``."""
        self._loop.run(as_async(partial(self._service.resize, columns, rows)))

    def close_stdin(self) -> None:
        """End the standard input of the current run at once. Idempotent."""
        self._loop.run(as_async(self._service.close_stdin))

    def reopen_log(self) -> None:
        """Close the log files of the service; the next line opens them anew. For tools that rename log files."""
        self._loop.run(as_async(self._service.reopen_log))

    def flush_log(self) -> None:
        """Wait until all lines so far are in the log files of the service, or counted as lost."""
        self._loop.run(self._service.flush_log)
