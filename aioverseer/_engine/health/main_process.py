"""MainProcessFollower: learns which process of a program is its main one, by notices or by a pid file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aioverseer._aio.timers import resolve
from aioverseer._system.probes.pid_file import PidFileReader
from aioverseer._system.protocols import Child
from aioverseer.core.clock import Clock
from aioverseer.core.options.main_pid import PidFile
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit

__all__ = ["MainProcessFollower"]

_SUCCESSION = 5.0
"""Seconds in which a main process that has removed its pid file may be followed by another one. gunicorn looks once a
second whether its predecessor has ended, and writes the file after that."""


class MainProcessFollower:
    """Follows the main process of one run. It is used on the event loop of the run.

    Attributes:
        is_known: Whether the program has named its main process, or need not.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        clock: Clock,
        is_foreign: bool,
        on_change: Callable[[int], None],
        on_missing: Callable[[str], None],
        drain: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        """Create it. Nothing is opened.

        Args:
            spec: The program.
            clock: The source of time.
            is_foreign: Whether the program names pids of another pid namespace.
            on_change: Called with the pid of the main process, when the file names it first and when it changes.
            on_missing: Called with the reason when all of the program has ended without naming a main process.
            drain: Function that receives the notices that have arrived.
            warn: Called with a sentence for an event that is logged as a warning.
        """
        file = spec.main_pid
        self._file = file if isinstance(file, PidFile) else None
        self._reader = None if self._file is None else PidFileReader(spec, self._file)
        self.is_known = self._file is None
        self._clock = clock
        self._is_foreign = is_foreign
        self._on_change = on_change
        self._on_missing = on_missing
        self._drain = drain
        self._warn = warn
        self._child: Child | None = None
        self._stopped = False
        self._named: int | None = None
        """The pid that was taken last, as the program has named it."""
        self._refused: dict[int, str] = {}
        """Pids that are not the program's own, each with the reason."""
        self._warned: set[int] = set()
        self._moved: asyncio.Future[None] | None = None
        """Resolved by a change of the main process, and by a stop."""

    @property
    def blocker(self) -> str:
        """The pid file that is waited for, and why what it names is refused; empty for none."""
        if self.is_known or self._stopped:
            return ""
        return f"{self._file}{f', which {why}' if (why := next(reversed(self._refused.values()), '')) else ''}"

    def prepare(self) -> None:
        """Begin to watch the pid file, before the spawn. ``close`` must follow.

        Raises:
            SpawnError: If that is impossible.
        """
        if self._reader is not None:
            self._reader.prepare(self._on_file, is_foreign=self._is_foreign)

    def begin(self, child: Child) -> None:
        """Begin to follow the program, after the spawn."""
        self._child = child
        self._on_file(whole=False)

    def on_notice(self, pid: int) -> None:
        """Handle the pid that the program has named in a notice."""
        if self._file is None:
            self._take(pid, whole=True)

    def stop(self) -> None:
        """Wait no longer for a main process: the run is being stopped. Idempotent."""
        self._stopped = True
        if self._moved is not None:
            resolve(self._moved)

    def close(self) -> None:
        """Stop to watch the pid file. Idempotent."""
        if self._reader is not None:
            self._reader.close()

    async def wait(self, child: Child) -> Exit:
        """Wait for the end of the main process, whichever that is by then. Safe to cancel."""
        while True:
            exit = await child.wait()
            ended = child.pid
            self._drain()
            self._on_file(whole=True)
            if child.pid == ended and not await self._has_successor(child, exit):
                return exit

    async def _has_successor(self, child: Child, exit: Exit) -> bool:
        """Wait for the next main process, if one can come; return whether it has."""
        if self._reader is None or self._stopped or (not self.is_known and exit.code != 0):
            return False
        if self.is_known and self._reader.read() is not None:
            return False  # a process that ends on purpose removes its file or leaves that of the next one
        ended = child.pid
        self._moved = moved = asyncio.get_running_loop().create_future()
        timer = None
        if self.is_known:
            timer = self._clock.call_at(self._clock.now() + _SUCCESSION, lambda: resolve(moved))
        try:
            leftovers = await child.find_leftovers(everywhere=True)
            if leftovers is not None:
                gone = asyncio.ensure_future(leftovers.wait())
                try:
                    await asyncio.wait({gone, moved}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    gone.cancel()
                    leftovers.close()
        finally:
            self._moved = None
            if timer is not None:
                timer.cancel()
        self._on_file(whole=True)
        if child.pid == ended and not self.is_known and not self._stopped:
            self._on_missing(f"{exit}, and nothing of it is left; it waited for {self.blocker}")
        return child.pid != ended

    def _on_file(self, whole: bool) -> None:  # noqa: FBT001  # the watch passes it
        if self._reader is not None and self._child is not None and (pid := self._reader.read()) is not None:
            self._take(pid, whole=whole)

    def _take(self, pid: int, *, whole: bool) -> None:
        child = self._child
        if child is None or pid == self._named:
            return
        before = child.pid
        try:
            child.take_main(pid)
        except OSError as error:
            why = self._refused[pid] = f"names pid {pid}: {error.strerror}"
            if whole and pid not in self._warned and not self._stopped:
                # Half of a number may be another pid, so a file that is still being written says nothing yet.
                self._warned.add(pid)
                self._warn(f"{self._file or 'the notice MAINPID='} {why}; it is refused as the main process")
            return
        self._named = pid
        if child.pid == before and self.is_known:
            return
        self.is_known = True
        self._refused.pop(pid, None)
        if self._moved is not None:
            resolve(self._moved)
        self._on_change(child.pid)
