"""ThreadedService: the handle of one service, for other threads than that of its loop.

Each verb hands over to the public ``Service`` and waits; none has a rule of its own here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Self

from aioverseer import Line, Service, Spec, State, Status, Subscription, Why
from aioverseer.core.export import exported_from
from aioverseer.threaded.loop import Loop, as_async
from aioverseer.threaded.streams import ThreadedLines

__all__ = ["ThreadedService"]


@exported_from("aioverseer")
class ThreadedService:
    """A ``Service`` whose verbs wait in the calling thread; each means what it means there."""

    def __init__(self, loop: Loop, service: Service) -> None:
        """Made by ``ThreadedOverseer.add``."""
        self._loop = loop
        self._service = service

    def __repr__(self) -> str:
        """Return id, program, state and pid."""
        return f"<Threaded{repr(self._service)[1:]}"

    def wraps(self, service: Service) -> bool:
        """Return whether it stands for this very service."""
        return self._service is service

    @property
    def id(self) -> str:
        """Its name in the overseer."""
        return self._service.id

    @property
    def spec(self) -> Spec:
        """What its next run will be."""
        return self._service.spec

    @property
    def state(self) -> State:
        """Where it is."""
        return self._service.state

    @property
    def pid(self) -> int | None:
        """Process id of the current or last run; None before its spawn."""
        return self._service.pid

    @property
    def resource(self) -> Any:
        """What entering a resource gave, which belongs to the loop of the overseer; see ``Service.resource``."""
        return self._loop.ask(lambda: (self._service.resource,))[0]

    @property
    def restarts(self) -> int:
        """How many runs followed the first since it was last started."""
        return self._service.restarts

    @property
    def history(self) -> tuple[Status, ...]:
        """The final Status of each of the last runs, oldest first."""
        return self._loop.ask(lambda: self._service.history)

    def status(self) -> Status:
        """Return a snapshot of everything known about it."""
        return self._loop.ask(self._service.status)

    def why(self) -> Why:
        """Return why it is in its state, and what comes next."""
        return self._loop.ask(self._service.why)

    def tail(self, n: int = 20) -> list[Line]:
        """Return the last lines that it wrote; see ``Service.tail``."""
        return self._loop.ask(lambda: self._service.tail(n))

    def lines(
        self,
        stream: Literal["stdout", "stderr"] | None = None,
        *,
        history: int = 0,
        size: int = 1000,
        overflow: Literal["drop_oldest", "drop_newest", "block", "error"] = "drop_oldest",
    ) -> ThreadedLines:
        """Return an iterator over the lines that it writes from now on; see ``Service.lines``."""

        async def subscribe() -> Subscription:
            return self._service.lines(stream, history=history, size=size, overflow=overflow)

        return ThreadedLines(self._loop, self._loop.run(subscribe))

    def start(self) -> Self:
        """Start it and return once it is ready; see ``Service.start``."""
        self._loop.run(self._service.start)
        return self

    def restart(self) -> Self:
        """Stop it, start it again, and return once it is ready; see ``Service.restart``."""
        self._loop.run(self._service.restart)
        return self

    def ready(self, timeout: float | None = None) -> Self:
        """Wait until it is ready, at most ``timeout`` seconds; see ``Service.ready``."""
        self._loop.run(partial(self._service.ready, timeout))
        return self

    def wait(self) -> Status:
        """Wait for its final end and return the Status; see ``Service.wait``."""
        return self._loop.run(self._service.wait)

    def wait_for(self, wanted: State | Callable[[Status], bool], timeout: float | None = None) -> Status:
        """Wait until it is in a state, or a function says True of its Status; see ``Service.wait_for``.

        The function is called in the thread of the overseer and must not block.
        """
        return self._loop.run(partial(self._service.wait_for, wanted, timeout))

    def stop(self, *, kill: bool = False) -> Status:
        """End it by its ladder and return the Status; see ``Service.stop``."""
        return self._loop.run(partial(self._service.stop, kill=kill))

    def signal(self, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to its program and all that it started; see ``Service.signal``."""
        self._loop.run(as_async(partial(self._service.signal, number, scope=scope)))

    def write(self, data: bytes | str) -> None:
        """Write to the standard input of the current run; see ``Process.write``."""
        self._loop.run(partial(self._service.write, data))

    def write_eof(self) -> None:
        """End the standard input of the current run behind what is being written; see ``Process.write_eof``."""
        self._loop.run(self._service.write_eof)

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the terminal of the current run; see ``Process.resize``."""
        self._loop.run(as_async(partial(self._service.resize, columns, rows)))

    def close_stdin(self) -> None:
        """End the standard input of the current run. Idempotent."""
        self._loop.run(as_async(self._service.close_stdin))

    def reopen_log(self) -> None:
        """Close its log files; the next line opens what bears their names then. See ``Service.reopen_log``."""
        self._loop.run(as_async(self._service.reopen_log))

    def flush_log(self) -> None:
        """Wait until all lines so far are in its log files, or are counted as lost."""
        self._loop.run(self._service.flush_log)
