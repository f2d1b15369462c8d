"""The socket in ``NOTIFY_SOCKET``: a datagram socket for each run, which checks the senders of notices."""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import os
import secrets
import shutil
import socket
import struct
import sys
import tempfile
from collections.abc import Callable, Mapping

from aioverseer.core.text.sd_notify import Notice, read_notice

__all__ = ["NotifySocket"]

_MAX_DATAGRAM = 16 * 1024
"""Bytes of a datagram that are read: sd_notify(3) sends a few lines."""
_MAX_PER_ITERATION = 100
"""Datagrams read in one iteration of the event loop, so that a program which floods the socket does not block it."""
_MAX_DESCRIPTORS = 253
"""Descriptors that Linux passes in one message (SCM_MAX_FD)."""
_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid
_LINUX = sys.platform == "linux"


class NotifySocket:
    """Receives the notices of one run.

    On Linux it is in the abstract namespace: it leaves no file, and the kernel identifies each sender. Elsewhere it is
    a file in a folder of this user, and any process that may enter the folder may send.

    Attributes:
        name: Value of ``NOTIFY_SOCKET``.
    """

    def __init__(self) -> None:
        """Open the socket. Nothing is received before ``listen``.

        Raises:
            OSError: If no descriptor is left.
        """
        self._pid = 0
        self._on_notice: Callable[[Notice], None] = _ignore
        self._owns: Callable[[int], bool] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._folder: str | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
        self._socket.settimeout(0)
        try:
            if _LINUX:
                # Before the socket has a name, so that no message comes without its sender.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                self.name = f"@aioverseer-{secrets.token_hex(8)}"
                self._socket.bind("\0" + self.name[1:])
            else:
                self._folder = tempfile.mkdtemp(prefix="aioverseer-")
                self.name = os.path.join(self._folder, "notify")
                self._socket.bind(self.name)
        except BaseException:
            self.close()
            raise

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for the program."""
        return {"NOTIFY_SOCKET": self.name}

    def listen(
        self, pid: int, on_notice: Callable[[Notice], None], *, owns: Callable[[int], bool] | None = None
    ) -> None:
        """Begin to receive, on the running event loop.

        Args:
            pid: Leader of the session that may send.
            on_notice: Called for each notice.
            owns: Function that returns whether another process may send, too; None for none.
        """
        self._owns = owns
        self._pid = pid
        self._on_notice = on_notice
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self.drain)

    def drain(self) -> None:
        """Read the datagrams that have arrived."""
        for _ in range(_MAX_PER_ITERATION):
            if self._socket.fileno() < 0 or not self._receive():  # a notice can cause a call of close()
                return

    def close(self) -> None:
        """Close the socket. Idempotent."""
        descriptor = self._socket.fileno()
        if descriptor >= 0:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(descriptor)
            self._socket.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _receive(self) -> bool:
        space = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_MAX_DESCRIPTORS * 4)
        try:
            data, extras, _flags, _ = self._socket.recvmsg(_MAX_DATAGRAM, space, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        except (BlockingIOError, InterruptedError):
            return False
        sender: tuple[int, int] | None = None
        passed = array.array("i")
        for level, kind, content in extras:
            if level != socket.SOL_SOCKET:
                continue
            if kind == socket.SCM_RIGHTS:
                passed.frombytes(content[: len(content) - len(content) % passed.itemsize])
            elif _LINUX and kind == socket.SCM_CREDENTIALS:
                sender = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])[:2]
        try:
            if not _LINUX or (sender is not None and self._is_ours(*sender)):
                self._on_notice(read_notice(data))
        finally:
            # Passed descriptors are of no use. A sender of BARRIER=1 waits until its descriptor is closed.
            for descriptor in passed:
                os.close(descriptor)
        return True

    def _is_ours(self, pid: int, uid: int) -> bool:
        """Return whether a sender belongs to the program: to its session, or to its descendants."""
        if pid == 0:  # in a pid namespace that is not visible from here
            return uid in (0, os.geteuid())
        if self._is_in_session(pid) or self._is_descendant(pid) or (self._owns is not None and self._owns(pid)):
            return True
        # Checked after the search of its parents: if the sender ended meanwhile, that search has found nothing.
        if _exists(pid):
            return False
        # The sender has ended already, as old versions of `systemd-notify` do, so its session is unknown. The check is
        # against mistakes, not against attacks, as processes of the same user could do worse. A mistaken sender lives
        # on.
        return uid in (0, os.geteuid(), self._owner())

    def _is_in_session(self, pid: int) -> bool:
        try:
            return os.getsid(pid) == self._pid
        except (ProcessLookupError, PermissionError):
            return False

    def _is_descendant(self, pid: int) -> bool:
        seen: set[int] = set()
        while pid > 1 and pid not in seen:
            if pid == self._pid:
                return True
            seen.add(pid)
            pid = _parent(pid)
        return False

    def _owner(self) -> int:
        with contextlib.suppress(OSError):
            return os.stat(f"/proc/{self._pid}").st_uid
        return os.geteuid()


def _exists(pid: int) -> bool:
    try:
        os.getsid(pid)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may contain brackets and blanks.
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH, errno.EACCES):
            return 0
        raise


def _ignore(_notice: Notice) -> None:
    """Do nothing before ``listen``."""
