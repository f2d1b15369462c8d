"""Keeper: one client's hold on a process that several processes share.

The first client starts the process, called keeper, and each client holds a connection to it. The keeper lives as long
as connections are open. The kernel closes the connection of a killed client, so no count can go wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from aioverseer._system.host.file_locks import locked, make_private, private_folder
from aioverseer.core.export import exported_from

__all__ = ["LISTENING", "Keeper"]

LISTENING = b"listening\n"
"""Output of a keeper that accepts connections. Any other output is the reason why it does not."""

_MAX_FOLDER_BYTES = 64
"""The path of a UNIX socket has at most 108 bytes, see unix(7); the file's name has 32."""


@exported_from("aioverseer.testing")
class Keeper:
    """A client's hold on a shared process.

    Attributes:
        connection: The socket to the process. Its end of file is the end of the process.
    """

    def __init__(self, name: str, argv: Sequence[str], data: bytes, *, folder: Path | None = None) -> None:
        """Connect to the keeper of this name, or start it. Blocks until it listens.

        Args:
            name: The name that all clients share, of any length.
            argv: The command that starts the keeper. The path of its socket is appended. The keeper prints
                ``LISTENING`` once it listens.
            data: The input of the keeper. Its standard input stays open until ``release``.
            folder: The folder of its socket. Default: a folder of the user among the temporary files.

        Raises:
            OSError: If the keeper cannot be started; with its output as the reason.
        """
        folder = folder or private_folder("shared", longest=_MAX_FOLDER_BYTES)
        make_private(folder)
        # A digest of the whole name, as the name may be longer than a file's name can be.
        self._path = folder / hashlib.sha256(name.encode()).hexdigest()[:32]
        self._lock = self._path.with_suffix(".lock")
        self._name = name
        self._hold: socket.socket | None = None
        with locked(self._lock):
            connection = _connected(self._path)
            if connection is None:
                connection = self._start(argv, data)
            self._socket: os.stat_result | None = None
            with contextlib.suppress(FileNotFoundError):  # a keeper that is ending may have removed it
                self._socket = self._path.stat()
        self.connection = connection

    def _start(self, argv: Sequence[str], data: bytes) -> socket.socket:
        self._path.unlink(missing_ok=True)  # of a keeper that was killed
        self._hold, stdin = socket.socketpair()
        # A session of its own keeps the Ctrl-C of the clients away from the keeper, which ends with the last client.
        # The shell exits at once, so the keeper is adopted by init, and a client that leaves early has no child to
        # wait for. A shell gives a background command /dev/null as input, hence the redirection by descriptor 3.
        command = ["/bin/sh", "-c", 'exec 3<&0; "$@" <&3 3<&- &', "sh", *argv, str(self._path)]
        try:
            with stdin:
                process = subprocess.Popen(
                    command, stdin=stdin.fileno(), stdout=subprocess.PIPE, start_new_session=True
                )
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._hold.sendall(data)
            output = process.communicate()[0]
            connection = _connected(self._path) if output == LISTENING else None
            if connection is None:
                why = output.decode(errors="replace").strip() or "see its standard error"
                raise OSError(f"the keeper of {self._name!r} has not begun: {why}")
        except BaseException:
            self.release()
            raise
        return connection

    def release(self) -> None:
        """Close the keeper's standard input, if this client has started it. The connection stays open. Idempotent."""
        if self._hold is not None:
            self._hold.close()

    def leave(self, *, has_ended: bool) -> None:
        """Close the connection, after the other side has closed it.

        Args:
            has_ended: Whether the keeper has ended. Then its files are removed, unless another keeper owns them by now.
        """
        self.release()
        self.connection.close()
        if not has_ended:
            return
        with locked(self._lock):
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
