"""A service that all workers of one run of pytest share: started by the first, stopped by the last who leaves.

It belongs to a process of its own, the keeper (``keeper.py``). A worker that is killed hangs up like any other. In
here is the workers' side: find the keeper or start one, hold on to it, hear how the service is.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import pytest

from aioverseer import Body, CriticalServiceEnded, OverseerError, Spec, ThreadedOverseer
from aioverseer.pytest_plugin.keeper import packed
from aioverseer.pytest_plugin.log_dirs import log_for_all_workers
from aioverseer.pytest_plugin.overseers import relied_on, watching
from aioverseer.pytest_plugin.usage import Section
from aioverseer.pytest_plugin.xdist import run_of
from aioverseer.testing import Keeper

__all__ = ["SharedService", "shared_service"]

_PATIENCE = 5.0
"""Seconds for the keeper to say how its service is: a report is not to wait for one that stands still."""

_TRIES = 10
"""How often a keeper may be found when it is just about to end, because the last who needed it has left."""


class SharedService:
    """A service that is shared with other workers.

    Attributes:
        spec: What it runs, as this worker has described it; the first one's was started.
        pid: Its process id when it became ready.
        stays: Whether others need it still, when this worker has left.
    """

    def __init__(self, spec: Spec, keeper: Keeper) -> None:
        """Made by a service fixture with ``shared=True``.

        Raises:
            _Ends: When the keeper is about to end.
        """
        self.spec = spec
        self.pid = 0
        self._keeper = keeper
        self._file = keeper.connection.makefile("rb")
        self._bodies: set[Body] = set()
        self._ended: CriticalServiceEnded | None = None
        self._report = ""
        self._asked = self._answered = 0
        self._news = threading.Condition()
        self._is_over = self._is_left = False
        self.stays = False
        first = self._hear()
        if not first:
            self._file.close()
            raise _Ends
        self._kept_by = first["keeper"]
        self._take(first)
        self._listening = threading.Thread(target=self._listen, name=f"aioverseer shared {spec.id}", daemon=True)
        self._listening.start()

    @property
    def id(self) -> str:
        """Its name."""
        return self.spec.id

    def ready(self) -> None:
        """Wait until it is ready.

        Raises:
            OverseerError: When it has ended before.
        """
        with self._news:
            self._news.wait_for(lambda: self.pid or self._ended)
            if not self.pid:
                raise OverseerError(str(self._ended))

    def body(self) -> Body:
        """Return a context manager for a block that ends with it; see ``Overseer.body``."""
        return Body(self._bodies, lambda: self._ended)

    def report(self) -> str:
        """Return its state and why, its last exit, its last lines, and what has happened to it."""
        with self._news:
            self._asked += 1
            number = self._asked
            with contextlib.suppress(OSError):
                self._keeper.connection.sendall(b"%d\n" % number)
            is_fresh = self._news.wait_for(lambda: self._answered >= number or self._is_over, _PATIENCE)
            text = f"{self._report}\nshared by the workers of this run, kept by process {self._kept_by}"
            if self._is_left or (is_fresh and self._answered >= number):
                return text
            return f"{text}, which {'has gone' if self._is_over else 'does not answer'}: this is what it told last"

    def sections(self) -> Iterator[Section]:
        """Yield what is to be said of it in the report of a test."""
        yield f"service {self.id}", self.report()

    def leave(self) -> None:
        """Need it no more; returns once it has been stopped when nobody else does."""
        self._is_left = True
        self._keeper.let_go()
        with contextlib.suppress(OSError):
            self._keeper.connection.shutdown(socket.SHUT_WR)
        self._listening.join()
        self._file.close()

    def _listen(self) -> None:
        while news := self._hear():
            self._take(news)
        with self._news:
            self._is_over = True
            if not self._is_left and self._ended is None:
                self._end(
                    f"shared service {self.id!r} is lost: process {self._kept_by}, which kept it for all workers, has "
                    "gone before them; was it killed? The service has been ended too"
                )
            self._news.notify_all()

    def _hear(self) -> dict[str, Any]:
        try:
            line = self._file.readline()
        except OSError:
            return {}
        # Half a line is what is left of one that was killed.
        found: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
        return found

    def _take(self, news: Mapping[str, Any]) -> None:
        with self._news:
            self._report = news.get("report", self._report)
            self._answered = news.get("asked", self._answered)
            self.pid = news.get("pid", self.pid)
            self.stays = news.get("stays", False)
            if "ended" in news:
                self._end(news["ended"])
            self._news.notify_all()

    def _end(self, why: str) -> None:
        self._ended = CriticalServiceEnded(why, id=self.id)
        for body in tuple(self._bodies):
            body.end()


@contextlib.contextmanager
def shared_service(request: pytest.FixtureRequest, spec: Spec, options: Mapping[str, Any]) -> Generator[SharedService]:
    """Share a service with all who ask for one of the same id in the same run, for the scope of a fixture.

    Raises:
        pytest.UsageError: When it cannot be passed to the process that keeps it.
        OverseerError: When it has ended, or cannot become ready.
    """
    options = {"name": f"shared {spec.id}", "log": log_for_all_workers(request.config), **options}
    ThreadedOverseer(**options)  # refuses what cannot be, before another process is started for it
    try:
        data = packed(relied_on(spec), options)
    except Exception as error:  # whatever pickling raises
        raise pytest.UsageError(
            f"service {spec.id!r} cannot be shared, as another process is to run it: {error}; functions that it needs "
            "must stand at the top of a module, and options be plain values"
        ) from error
    with _kept(spec, run_of(request.config), data) as service, watching(request, service.body, service.sections):
        service.ready()
        yield service


@contextlib.contextmanager
def _kept(spec: Spec, run: str, data: bytes) -> Generator[SharedService]:
    command = [sys.executable, "-m", "aioverseer.pytest_plugin.keeper"]
    for _ in range(_TRIES):
        keeper = Keeper(f"{run}-{spec.id}", command, data)
        has_ended = True
        try:
            service = SharedService(spec, keeper)
            try:
                yield service
            finally:
                service.leave()
                has_ended = not service.stays
        except _Ends:
            # The last who needed it has left at this very moment. By now it has been stopped.
            continue
        finally:
            keeper.leave(has_ended=has_ended)
        return
    raise OverseerError(f"the keeper of {spec.id!r} ends each time it is started: see what it said on standard error")


class _Ends(Exception):
    """The keeper is about to end."""
