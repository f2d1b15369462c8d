"""A service that all workers of one run of pytest share: started by the first, stopped by the last who leaves.

It belongs to a process of its own, the keeper (``keeper.py``). A worker that is killed hangs up like any other. In
here is the workers' side: find the keeper or start one, hold on to it, hear how the service is.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import socket
import sys
import threading
from collections.abc import Generator

from aioverseer import Body, CriticalServiceEnded, OverseerError, Spec
from aioverseer.testing import Keeper

__all__ = ["SharedService", "shared_service"]


class SharedService:
    """A service that is shared with other workers, and ready.

    Attributes:
        spec: What it runs, as this worker has described it; the first one's was started.
        pid: Its process id when it became ready.
    """

    def __init__(self, spec: Spec, keeper: Keeper) -> None:
        """Made by a service fixture with ``shared=True``.

        Raises:
            OverseerError: When it has ended, or cannot become ready.
        """
        self.spec = spec
        self._keeper = keeper
        self._file = keeper.connection.makefile("rb")
        self._ended: CriticalServiceEnded | None = None
        self._bodies: set[Body] = set()
        news = self._hear()
        if "pid" not in news:
            self._file.close()
            raise OverseerError(str(news["ended"])) if news else _Gone
        self.pid = int(str(news["pid"]))
        self._listening = threading.Thread(target=self._listen, name=f"aioverseer shared {spec.id}", daemon=True)
        self._listening.start()

    @property
    def id(self) -> str:
        """Its name."""
        return self.spec.id

    def body(self) -> Body:
        """Return a context manager for a block that ends with it; see ``Overseer.body``."""
        return Body(self._bodies, lambda: self._ended)

    def report(self) -> str:
        """Return what is to be said of it in a report."""
        if self._ended is None:
            return f"{self.id} runs for several workers, with pid {self.pid}"
        return str(self._ended)

    def leave(self) -> None:
        """Need it no more; returns once it has been stopped when nobody else does."""
        self._keeper.let_go()
        with contextlib.suppress(OSError):
            self._keeper.connection.shutdown(socket.SHUT_WR)
        self._listening.join()
        self._file.close()

    def _listen(self) -> None:
        while news := self._hear():
            if "ended" in news:
                self._ended = CriticalServiceEnded(str(news["ended"]), id=self.id)
                for body in tuple(self._bodies):
                    body.end()

    def _hear(self) -> dict[str, object]:
        try:
            line = self._file.readline()
        except OSError:
            return {}
        found: dict[str, object] = json.loads(line) if line else {}
        return found


@contextlib.contextmanager
def shared_service(spec: Spec, *, run: str) -> Generator[SharedService]:
    """Share a service with all who ask for one of the same id in the same run.

    Args:
        spec: What to run, when nobody runs it yet.
        run: What the sharers have in common.

    Raises:
        OverseerError: When it has ended, or cannot become ready.
    """
    command = [sys.executable, "-m", "aioverseer.pytest_plugin.keeper"]
    for _ in range(_TRIES):
        keeper = Keeper(f"{run}-{spec.id}", command, pickle.dumps(spec))
        try:
            service = SharedService(spec, keeper)
            try:
                yield service
            finally:
                service.leave()
        except _Gone:
            # The last who needed it has left at this very moment. By now it has been stopped.
            continue
        finally:
            keeper.leave()
        return
    raise OverseerError(f"the keeper of {spec.id!r} ends each time it is started: see what it said on standard error")


class _Gone(Exception):
    """The keeper has ended before it said anything."""


_TRIES = 3
