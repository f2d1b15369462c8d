"""Ports of the loopback for tests: reserved, so that no two of them ever get the same.

A file for each port is locked by who has reserved it; the kernel unlocks it when its process is gone, however it ended.
The ports lie outside of the range from which the system serves those who ask for any. Nobody binds them here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path

from aioverseer.system.keeping import alone

__all__ = ["Ports"]

_LOWEST = 20_000
_HIGHEST = 32_767
"""The last before the range that Linux gives away by itself, unless it was told otherwise."""
_ENOUGH = 1000


class Ports:
    """The ports that one process has reserved."""

    def __init__(self, run: str | None = None, folder: Path | None = None) -> None:
        """Reserve nothing yet.

        Args:
            run: What the workers of one run have in common: they share ports with names.
            folder: Where the locks are; by default one for each user among the temporary files.
        """
        self._run = run or f"alone-{os.getpid()}"
        self._folder = folder or Path(tempfile.gettempdir()) / f"aioverseer-ports-{os.getuid()}"
        self._held: dict[int, int] = {}
        self._range = _range()

    def reserve(self, name: str | None = None) -> int:
        """Return a port that is free, and reserved until ``release`` or the end of this process.

        May block for some milliseconds while another process does the same.

        Args:
            name: All processes of one run get the same port for the same name.

        Raises:
            OSError: When there is none, or the temporary folder cannot be used.
        """
        with self._alone():
            if name is None:
                return self._take(fcntl.LOCK_EX)
            note = self._folder / f"{self._run}-{name}".replace("/", "_")
            with contextlib.suppress(FileNotFoundError, ValueError):
                port = int(note.read_text(encoding="ascii"))
                if port in self._held or self._lock(port, fcntl.LOCK_SH):
                    return port
            port = self._take(fcntl.LOCK_SH)
            note.write_text(str(port), encoding="ascii")
            return port

    def release(self, *ports: int) -> None:
        """Give these ports back, or all; idempotent. One that others share stays theirs."""
        with self._alone():
            for port in ports or tuple(self._held):
                descriptor = self._held.pop(port, None)
                if descriptor is None:
                    continue
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._path(port).unlink(missing_ok=True)
                    for note in self._folder.glob(f"{self._run}-*"):
                        if note.read_text(encoding="ascii") == str(port):
                            note.unlink(missing_ok=True)
                os.close(descriptor)

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with alone(self._folder / "lock"):
            yield

    def _take(self, kind: int) -> int:
        first, count = self._range
        # Each process begins elsewhere: most find the first one free.
        begin = os.getpid() * 97
        for step in range(count):
            port = first + (begin + step) % count
            if port in self._held or not self._lock(port, fcntl.LOCK_EX):
                continue
            if _is_free(port):
                # Others wait outside meanwhile, so nobody comes between when one lock becomes the other.
                fcntl.flock(self._held[port], kind)
                return port
            os.close(self._held.pop(port))
        raise OSError(f"no port between {first} and {first + count - 1} is free")

    def _lock(self, port: int, kind: int) -> bool:
        descriptor = os.open(self._path(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._held[port] = descriptor
        return True

    def _path(self, port: int) -> Path:
        return self._folder / str(port)


def _range() -> tuple[int, int]:
    """Return the first port and how many there are, outside of what the system gives away by itself."""
    highest = _HIGHEST
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        highest = int(text.split()[0]) - 1
    if highest - _LOWEST < _ENOUGH:  # the system's range begins low here: then it has nearly all there are
        return _LOWEST, 65_535 - _LOWEST
    return _LOWEST, highest - _LOWEST + 1


def _is_free(port: int) -> bool:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # As servers do it: one whose connections are still being closed is free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            if family == socket.AF_INET6 and error.errno != errno.EADDRINUSE:  # no IPv6 here
                continue
            return False
    return True
