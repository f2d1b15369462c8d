"""Ports of the loopback for tests: reserved, so that no two of them ever get the same.

A file for each port is locked by who has reserved it; the kernel unlocks it when its process is gone, however it ended.
The ports lie outside of the range from which the system serves those who ask for any, and go round: one that was given
back comes last. Nobody binds them here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
from collections.abc import Generator
from pathlib import Path

from aioverseer._system.host.file_locks import alone, make_private, private_folder, take
from aioverseer.core.export import exported_from

__all__ = ["Ports"]

_LOWEST = 20_000
_HIGHEST = 32_767
"""The last before the range that Linux gives away by itself, unless it was told otherwise."""
_ENOUGH = 1000
_NOTE = ".name"
"""How the files end that say which port a name has."""


@exported_from("aioverseer.testing")
class Ports:
    """The ports that one process has reserved."""

    def __init__(self, run: str | None = None, folder: Path | None = None) -> None:
        """Reserve nothing yet.

        Args:
            run: What the workers of one run have in common: they share ports with names. None is nothing.
            folder: Where the locks are; by default one for each user among the temporary files.
        """
        self._run = run
        self._folder = folder or private_folder("ports")
        self._held: dict[int, int] = {}
        self._named: dict[str, int] = {}
        self._range = _range()

    def reserve(self, name: str | None = None) -> int:
        """Return a port that is free, and reserved until ``release`` or the end of this process.

        May block for some milliseconds while another process does the same.

        Args:
            name: All processes of one run get the same port for the same name, as long as one of them holds it.

        Raises:
            OSError: When there is none, or the temporary folder cannot be used.
        """
        with self._alone() as last:
            if name is None:
                return self._take_next(last)
            if name not in self._named:
                self._named[name] = self._shared(name, last)
            return self._named[name]

    def release(self, *ports: int) -> None:
        """Give these ports back, or all; idempotent. One that others share stays theirs."""
        with self._alone():
            for port in ports or tuple(self._held):
                descriptor = self._held.pop(port, None)
                if descriptor is None:
                    continue
                names = [name for name, named in self._named.items() if named == port]
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    for name in names:
                        self._note(name).unlink(missing_ok=True)
                    self._path(port).unlink(missing_ok=True)
                for name in names:
                    del self._named[name]
                os.close(descriptor)

    @contextlib.contextmanager
    def _alone(self) -> Generator[int]:
        """Keep all others out meanwhile; gives the descriptor of the file that says which port was the last one."""
        make_private(self._folder)
        with alone(self._folder / "lock") as last:
            yield last

    def _shared(self, name: str, last: int) -> int:
        if self._run is None:
            return self._take_next(last)
        note = self._note(name)
        port = _noted(note)
        if port is not None and self._lock(port, shared=True):
            return port
        self._forget_notes_of_the_dead()
        port = self._take_next(last)
        # Others wait outside meanwhile, so nobody comes between when one lock becomes the other.
        fcntl.flock(self._held[port], fcntl.LOCK_SH)
        note.write_text(str(port), encoding="ascii")
        return port

    def _take_next(self, last: int) -> int:
        first, count = self._range
        before = os.pread(last, 10, 0).decode("ascii", "replace")
        # Behind that which anybody has got last, so that what was just given back, and may still be in use, comes last.
        begin = int(before) + 1 - first if before.isdecimal() else os.getpid() * 97
        for step in range(count):
            port = first + (begin + step) % count
            if port in self._held or not self._lock(port):
                continue
            if _is_free(port):
                os.pwrite(last, str(port).encode(), 0)
                return port
            self._path(port).unlink(missing_ok=True)
            os.close(self._held.pop(port))
        raise OSError(errno.EADDRNOTAVAIL, f"no port between {first} and {first + count - 1} is free")

    def _lock(self, port: int, *, shared: bool = False) -> bool:
        descriptor = take(self._path(port), shared=shared, wait=False)
        if descriptor is None:
            return False
        self._held[port] = descriptor
        return True

    def _forget_notes_of_the_dead(self) -> None:
        """Remove the notes of runs that were killed: nobody holds their ports."""
        for note in self._folder.glob(f"*{_NOTE}"):
            path = self._path(_noted(note) or 0)
            descriptor = take(path, wait=False)
            if descriptor is not None:
                note.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                os.close(descriptor)

    def _path(self, port: int) -> Path:
        return self._folder / str(port)

    def _note(self, name: str) -> Path:
        # Of any length, with any letters, and never that of another run.
        return self._folder / (hashlib.sha256(f"{self._run}\0{name}".encode()).hexdigest()[:32] + _NOTE)


def _noted(note: Path) -> int | None:
    try:
        return int(note.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):  # there is none, or who wrote it was killed meanwhile
        return None


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
    """Return whether any server can have it now, also one that minds connections that are still being closed."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104  # nobody listens
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as error:
            if family == socket.AF_INET6 and error.errno != errno.EADDRINUSE:  # no IPv6 here
                continue
            return False
    return True
