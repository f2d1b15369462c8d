"""SharedService: a service that all workers of one run of pytest share.

The service belongs to a process of its own, the keeper (``keeper.py``). The first worker starts the keeper, and it ends
with the last worker. This module is the worker's side of the connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import pytest

from aioverseer import Body, CriticalServiceEnded, NotReady, OverseerError, Spec, ThreadedOverseer
from aioverseer.pytest_plugin.folders import ServiceFolder, remove_abandoned
from aioverseer.pytest_plugin.keeper import pickled
from aioverseer.pytest_plugin.log_dirs import log_for_all_workers
from aioverseer.pytest_plugin.overseers import as_critical, recorded
from aioverseer.pytest_plugin.usage import Section
from aioverseer.pytest_plugin.xdist import run_id
from aioverseer.testing import Keeper

__all__ = ["SharedService", "shared_service"]

_REPORT_TIMEOUT = 5.0
"""Seconds that a report waits for the answer of the keeper, which may hang."""

_MAX_ATTEMPTS = 10
"""Attempts to connect. An attempt fails if the keeper is just ending, because its last client has left."""


class SharedService:
    """A service that is shared with other workers.

    Attributes:
        spec: The Spec of this worker. The service itself was started with the Spec of the first worker.
        pid: The process id at the time when the service became ready.
        stays: Whether other workers still need the service after this worker has left.
    """

    def __init__(self, spec: Spec, keeper: Keeper) -> None:
        """Connect to the service. For service fixtures with ``shared=True``.

        Args:
            spec: The Spec of this worker.
            keeper: The connection to the keeper.

        Raises:
            _KeeperEnding: If the keeper is about to end.
        """
        self.spec = spec
        self.pid = 0
        self._keeper = keeper
        self._file = keeper.connection.makefile("rb")
        self._bodies: set[Body] = set()
        self._ended: CriticalServiceEnded | None = None
        self._report = ""
        self._asked = self._answered = 0
        self._changed = threading.Condition()
        self._is_disconnected = self._has_left = False
        self.stays = False
        greeting = self._receive()
        if not greeting:
            self._file.close()
            raise _KeeperEnding
        self._kept_by = greeting["keeper"]
        self._apply(greeting)
        self._receiver = threading.Thread(target=self._receive_all, name=f"aioverseer shared {spec.id}", daemon=True)
        self._receiver.start()

    @property
    def id(self) -> str:
        """The name of the service."""
        return self.spec.id

    def ready(self) -> None:
        """Wait until the service is ready.

        Raises:
            NotReady: If it has ended before.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.pid or self._ended)
            if not self.pid:
                raise NotReady(str(self._ended), id=self.id)

    def body(self) -> Body:
        """Return a context manager for a block that ends with the service; see ``Overseer.body``."""
        return Body(self._bodies, lambda: self._ended)

    def report(self) -> str:
        """Return a text about the service: state and reason, last exit, last lines, events."""
        with self._changed:
            self._asked += 1
            number = self._asked
            with contextlib.suppress(OSError):
                self._keeper.connection.sendall(b"%d\n" % number)
            is_fresh = self._changed.wait_for(
                lambda: self._answered >= number or self._is_disconnected, _REPORT_TIMEOUT
            )
            text = f"{self._report}\nshared by the workers of this run, kept by process {self._kept_by}"
            if self._has_left or (is_fresh and self._answered >= number):
                return text
            why = "has gone" if self._is_disconnected else "does not answer"
            return f"{text}, which {why}: this is its last report"

    def sections(self) -> Iterator[Section]:
        """Yield the section about the service for the report of a test."""
        yield f"service {self.id}", self.report()

    def leave(self) -> None:
        """Disconnect from the service. If this was the last worker, return after the service has been stopped."""
        self._has_left = True
        self._keeper.release()
        with contextlib.suppress(OSError):
            self._keeper.connection.shutdown(socket.SHUT_WR)
        self._receiver.join()
        self._file.close()

    def _receive_all(self) -> None:
        while message := self._receive():
            self._apply(message)
        with self._changed:
            self._is_disconnected = True
            if not self._has_left and self._ended is None:
                self._end(
                    f"shared service {self.id!r} is lost: process {self._kept_by}, which kept it for all workers, has "
                    "gone before them; was it killed? The service has been ended too"
                )
            self._changed.notify_all()

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._file.readline()
        except OSError:
            return {}
        # A keeper that was killed may leave a part of a line.
        message: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
        return message

    def _apply(self, message: Mapping[str, Any]) -> None:
        with self._changed:
            self._report = message.get("report", self._report)
            self._answered = message.get("asked", self._answered)
            self.pid = message.get("pid", self.pid)
            self.stays = message.get("stays", False)
            if "ended" in message:
                self._end(message["ended"])
            self._changed.notify_all()

    def _end(self, why: str) -> None:
        self._ended = CriticalServiceEnded(why, id=self.id)
        for body in tuple(self._bodies):
            body.end()


@contextlib.contextmanager
def shared_service(
    request: pytest.FixtureRequest, spec: Spec, options: Mapping[str, Any], folder: ServiceFolder | None = None
) -> Generator[SharedService]:
    """Share a service with the other workers of the run for the scope of a fixture. Its id is its identity.

    Raises:
        pytest.UsageError: If the service cannot be sent to the keeper.
        NotReady: If the service has ended, or does not become ready.
    """
    options = {"name": f"shared {spec.id}", "log": log_for_all_workers(request.config), **options}
    ThreadedOverseer(**options)  # raises SpecError for invalid options, before a process is started for them
    try:
        data = pickled(as_critical(spec), options, folder)
    except Exception as error:  # pickling may raise anything
        raise pytest.UsageError(
            f"service {spec.id!r} cannot be shared, as another process is to run it: {error}; functions that it needs "
            "must stand at the top of a module, and options be plain values"
        ) from error
    with contextlib.ExitStack() as stack:
        if folder is not None:
            stack.callback(remove_abandoned, folder.path)  # of a keeper that was killed
        service = stack.enter_context(_connected(spec, run_id(request.config), data))
        stack.enter_context(recorded(request, service.body, service.sections))
        service.ready()
        yield service


_KEEPER = "import sys; sys.path.append(sys.argv.pop(1)); from aioverseer.pytest_plugin import keeper; keeper.main()"
"""Program that imports this package from wherever the plugin was imported, and runs a keeper."""


@contextlib.contextmanager
def _connected(spec: Spec, run: str, data: bytes) -> Generator[SharedService]:
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # Not by -m, which puts the working folder first: a random.py of the user would hide that of Python.
    command = [sys.executable, "-P", "-c", _KEEPER, folder]
    for _ in range(_MAX_ATTEMPTS):
        keeper = Keeper(f"{run}-{spec.id}", command, data)
        has_ended = True
        try:
            service = SharedService(spec, keeper)
            try:
                yield service
            finally:
                service.leave()
                has_ended = not service.stays
        except _KeeperEnding:
            # The last client left at the same moment. The end of the connection means that the keeper has ended.
            continue
        finally:
            keeper.leave(has_ended=has_ended)
        return
    raise OverseerError(f"the keeper of {spec.id!r} ends each time it is started: see its standard error")


class _KeeperEnding(Exception):
    """The keeper is about to end."""
