"""A keeper: a process that several others share. The first who needs it starts it, each holds a connection to it.

Who is killed hangs up like any other, so nobody counts. What it keeps, and what is said on the connections, is decided
elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from aioverseer._system.host.file_locks import alone, make_private, private_folder
from aioverseer.core.export import exported_from

__all__ = ["LISTENING", "Keeper"]

LISTENING = b"listening\n"
"""What a keeper says when it can be connected to; anything else says why it cannot."""

_LONGEST = 64
"""Bytes of the folder of sockets: the whole path of one has some hundred at most, 32 of which are its name."""


@exported_from("aioverseer.testing")
class Keeper:
    """What one of those who share it holds of it.

    Attributes:
        connection: Its end is the end of what is kept.
    """

    def __init__(self, name: str, argv: Sequence[str], data: bytes, *, folder: Path | None = None) -> None:
        """Find the keeper of this name, or start it. Blocks until it listens.

        Args:
            name: What those who share it have in common, of any length.
            argv: The command that starts it; the path of its socket is put behind. It says ``LISTENING`` when it does.
            data: What it reads from its standard input, which stays open until ``let_go``.
            folder: Where its socket is; by default one for each user among the temporary files.

        Raises:
            OSError: When it cannot be started, with what it has said of that.
        """
        folder = folder or private_folder("shared", longest=_LONGEST)
        make_private(folder)
        # The whole name counts, however long it is.
        self._path = folder / hashlib.sha256(name.encode()).hexdigest()[:32]
        self._lock = self._path.with_suffix(".lock")
        self._name = name
        self._hold: socket.socket | None = None
        with alone(self._lock):
            connection = _connected(self._path)
            if connection is None:
                connection = self._start(argv, data)
            self._socket: os.stat_result | None = None
            with contextlib.suppress(FileNotFoundError):  # one that is about to end may have removed it
                self._socket = self._path.stat()
        self.connection = connection

    def _start(self, argv: Sequence[str], data: bytes) -> socket.socket:
        self._path.unlink(missing_ok=True)  # of one that was killed
        self._hold, stdin = socket.socketpair()
        # In a session of its own: a Ctrl-C is for those who share it, and it ends with the last of them. The shell has
        # ended by then, so it is nobody's child, and nobody has to wait for it who leaves before the others.
        # (What a shell starts beside itself reads from nowhere, unless it is told otherwise.)
        command = ["/bin/sh", "-c", 'exec 3<&0; "$@" <&3 3<&- &', "sh", *argv, str(self._path)]
        try:
            with stdin:
                process = subprocess.Popen(
                    command, stdin=stdin.fileno(), stdout=subprocess.PIPE, start_new_session=True
                )
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._hold.sendall(data)
            said = process.communicate()[0]
            connection = _connected(self._path) if said == LISTENING else None
            if connection is None:
                why = said.decode(errors="replace").strip() or "see what it said on standard error"
                raise OSError(f"the keeper of {self._name!r} has not begun: {why}")
        except BaseException:
            self.let_go()
            raise
        return connection

    def let_go(self) -> None:
        """Close what holds the keeper for the one who has started it, beside its connection. Idempotent."""
        if self._hold is not None:
            self._hold.close()

    def leave(self, *, has_ended: bool) -> None:
        """Hang up, once the other side has.

        Args:
            has_ended: Whether the keeper has: then its files are removed, unless they are those of another one by now.
        """
        self.let_go()
        self.connection.close()
        if not has_ended:
            return
        with alone(self._lock):
            with contextlib.suppress(FileNotFoundError):
                if self._socket is not None and os.path.samestat(self._path.stat(), self._socket):
                    self._path.unlink()
            self._lock.unlink()


def _connected(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection
