"""Ports: reserves ports of the loopback interface, so that no two tests get the same port.

A reserved port is a locked file; the kernel unlocks it when the process ends in any way. The ports lie below the range
from which the kernel assigns ports by itself. They are handed out in a cycle, so a released port comes last. Ports are
reserved without being bound.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Generator
from pathlib import Path

from aioverseer._system.host.file_locks import locked, make_private, open_locked, private_folder
from aioverseer._system.host.free_ports import is_free, quiet_ports
from aioverseer.core.export import exported_from

__all__ = ["Ports"]

_NAME_FILE_SUFFIX = ".name"
"""Suffix of files that hold the port of a name."""


@exported_from("aioverseer.testing")
class Ports:
    """The reserved ports of one process."""

    def __init__(self, run: str | None = None, folder: Path | None = None) -> None:
        """Begin without ports.

        Args:
            run: The id of the test run. Processes with the same id share named ports. None shares nothing.
            folder: The folder of the locks. Default: a folder of the user among the temporary files.
        """
        self._run = run
        self._folder = folder or private_folder("ports")
        self._held: dict[int, int] = {}
        self._named: dict[str, int] = {}
        self._range = quiet_ports()

    def reserve(self, name: str | None = None) -> int:
        """Return a free port, reserved until ``release`` or the end of this process.

        May block for some milliseconds while another process reserves a port.

        Args:
            name: A name for sharing. All processes of one run get the same port for the same name, as long as one of
                them holds it.

        Raises:
            OSError: If no port is free, or the folder cannot be used.
        """
        with self._exclusive() as last:
            if name is None:
                return self._take_next(last)
            if name not in self._named:
                self._named[name] = self._shared(name, last)
            return self._named[name]

    def release(self, *ports: int) -> None:
        """Release these ports, or all. Other processes keep their share of a named port. Idempotent."""
        with self._exclusive():
            for port in ports or tuple(self._held):
                descriptor = self._held.pop(port, None)
                if descriptor is None:
                    continue
                names = [name for name, named in self._named.items() if named == port]
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    for name in names:
                        self._name_file(name).unlink(missing_ok=True)
                    self._path(port).unlink(missing_ok=True)
                for name in names:
                    del self._named[name]
                os.close(descriptor)

    @contextlib.contextmanager
    def _exclusive(self) -> Generator[int]:
        """Lock out other processes; yield the descriptor of the file that holds the port handed out last."""
        make_private(self._folder)
        with locked(self._folder / "lock") as last:
            yield last

    def _shared(self, name: str, last: int) -> int:
        if self._run is None:
            return self._take_next(last)
        name_file = self._name_file(name)
        port = _port_in(name_file)
        if port is not None and self._lock(port, shared=True):
            return port
        self._remove_stale_name_files()
        port = self._take_next(last)
        # flock(2) converts a lock in two steps. The lock of the folder keeps other processes out in between.
        fcntl.flock(self._held[port], fcntl.LOCK_SH)
        name_file.write_text(str(port), encoding="ascii")
        return port

    def _take_next(self, last: int) -> int:
        first, count = self._range[0], len(self._range)
        before = os.pread(last, 10, 0).decode("ascii", "replace")
        # Begin after the port handed out last, by any process. A port that was just released, and whose server may
        # still be ending, comes last.
        begin = int(before) + 1 - first if before.isdecimal() else os.getpid() * 97
        for step in range(count):
            port = first + (begin + step) % count
            if port in self._held or not self._lock(port):
                continue
            if is_free(port):
                os.pwrite(last, str(port).encode(), 0)
                return port
            self._path(port).unlink(missing_ok=True)
            os.close(self._held.pop(port))
        raise OSError(errno.EADDRNOTAVAIL, f"no port between {first} and {first + count - 1} is free")

    def _lock(self, port: int, *, shared: bool = False) -> bool:
        descriptor = open_locked(self._path(port), shared=shared, wait=False)
        if descriptor is None:
            return False
        self._held[port] = descriptor
        return True

    def _remove_stale_name_files(self) -> None:
        """Remove the files of killed runs, whose ports are not locked."""
        for name_file in self._folder.glob(f"*{_NAME_FILE_SUFFIX}"):
            path = self._path(_port_in(name_file) or 0)
            descriptor = open_locked(path, wait=False)
            if descriptor is not None:
                name_file.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                os.close(descriptor)

    def _path(self, port: int) -> Path:
        return self._folder / str(port)

    def _name_file(self, name: str) -> Path:
        # A digest: the name may have any length and any characters, and other runs may use the same name.
        return self._folder / (hashlib.sha256(f"{self._run}\0{name}".encode()).hexdigest()[:32] + _NAME_FILE_SUFFIX)


def _port_in(name_file: Path) -> int | None:
    try:
        return int(name_file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):  # no such file, or its writer was killed while writing
        return None
