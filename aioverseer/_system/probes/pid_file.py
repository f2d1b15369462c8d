"""The pid file of one run: removed when stale, watched without polling, and read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from aioverseer._system.host.file_watch import FileWatch
from aioverseer._system.probes.attempts import Stamp, stamp_of
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.main_pid import PidFile, as_pid
from aioverseer.core.options.spec import Spec

__all__ = ["PidFileReader"]

_MOST = 64
"""Bytes of a pid file that are read."""


class PidFileReader:
    """Reads the pid file of one run, each time that it changes."""

    def __init__(self, spec: Spec, file: PidFile) -> None:
        """Open nothing yet.

        Args:
            spec: The program.
            file: Its pid file.
        """
        self._spec = spec
        self._file = file
        self._path = os.path.abspath(os.path.join(spec.cwd or "", file.path))
        self._before: Stamp = None
        self._watch: FileWatch | None = None

    def prepare(self, on_change: Callable[[bool], None], *, is_foreign: bool) -> None:
        """Remove the file of an earlier run, and begin to watch. ``close`` must follow.

        Args:
            on_change: Called after each change with whether the writer has finished, as far as is known.
            is_foreign: Whether the pids in the file are those of another pid namespace.

        Raises:
            SpawnError: If the file cannot be watched.
        """
        pid = self._content()
        if pid is not None and (is_foreign or not _exists(pid)):
            # A program may refuse to start while a file of an earlier run is there, as that pid may be reused.
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        self._before = stamp_of(self._path)
        try:
            self._watch = FileWatch(self._path, on_change)
        except OSError as error:
            raise SpawnError(
                f"service {self._spec.id!r} cannot be started with main_pid={self._file!r}: {error.strerror}",
                errno=error.errno,
                filename=self._path,
            ) from error

    def read(self) -> int | None:
        """Return the pid in the file; None while there is none, or the file is as it was before the start."""
        if stamp_of(self._path) == self._before:
            return None
        return self._content()

    def close(self) -> None:
        """Stop to watch. Idempotent."""
        if self._watch is not None:
            self._watch.close()

    def _content(self) -> int | None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return as_pid(os.read(descriptor, _MOST))
        except OSError:
            return None
        finally:
            os.close(descriptor)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
