"""A keeper: a process that several others share. The first who needs it starts it, each holds a connection to it.

Who is killed hangs up like any other, so nobody counts. What it keeps, and what is said on the connections, is decided
elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path

__all__ = ["Keeper", "alone"]

_NAME = 48
"""Letters of a name in a path: that of a socket has a hundred bytes at most."""


class Keeper:
    """What one of those who share it holds of it.

    Attributes:
        connection: Its end is the end of what is kept.
    """

    def __init__(self, name: str, argv: Sequence[str], data: bytes) -> None:
        """Find the keeper of this name, or start it. Blocks until it listens.

        Args:
            name: What those who share it have in common.
            argv: The command that starts it; the path of its socket is put behind. It says a line when it listens.
            data: What it reads from its standard input, which stays open until ``let_go``.

        Raises:
            OSError: When it cannot be started.
        """
        folder = Path(tempfile.gettempdir()) / f"aioverseer-shared-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder / name.replace(os.sep, "_")[-_NAME:]
        self._lock = self._path.with_suffix(".lock")
        self._process: subprocess.Popen[bytes] | None = None
        with alone(self._lock):
            connection = _connected(self._path)
            if connection is None:
                connection = self._start(argv, data)
        self.connection = connection

    def _start(self, argv: Sequence[str], data: bytes) -> socket.socket:
        self._path.unlink(missing_ok=True)  # of one that was killed
        # In a session of its own: a Ctrl-C is for those who share it, and it ends with the last of them.
        self._process = process = subprocess.Popen(
            [*argv, str(self._path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise OSError("a pipe is missing")
        with contextlib.suppress(BrokenPipeError):
            stdin.write(data)
            stdin.flush()
        with stdout:
            stdout.readline()
        connection = _connected(self._path)
        if connection is None:
            self.let_go()
            process.wait()
            raise OSError(f"the keeper {self._path.name} has not begun: see what it said on standard error")
        return connection

    def let_go(self) -> None:
        """Close what holds the keeper for the one who has started it, beside its connection. Idempotent."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def leave(self) -> None:
        """Hang up, once the connection has come to its end; the last one tidies up."""
        self.let_go()
        self.connection.close()
        with alone(self._lock):
            other = _connected(self._path) if self._path.exists() else None
            if other is not None:
                other.close()
                return
            self._path.unlink(missing_ok=True)
        self._lock.unlink(missing_ok=True)
        if self._process is not None:
            self._process.wait()


@contextlib.contextmanager
def alone(path: Path) -> Generator[None]:
    """Hold the lock of a file; blocks until nobody else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _connected(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection
