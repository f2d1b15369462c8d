"""The socket in ``NOTIFY_SOCKET``: a datagram socket for each run, whose senders are checked.

Receiving only. What a datagram means is read in ``core/text/sd_notify.py``; what follows from it is decided elsewhere.
"""

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

_LARGEST = 16 * 1024
"""Bytes of a datagram that are read: sd_notify(3) sends a few lines."""
_MOST_AT_ONCE = 100
"""Datagrams read in one turn of the loop, so that a program that sends without end does not hold it up."""
_MOST_DESCRIPTORS = 253
"""What Linux passes in one message (SCM_MAX_FD)."""
_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid
_LINUX = sys.platform == "linux"


class NotifySocket:
    """Receives what one run says.

    On Linux it is in the abstract namespace: no file is left, and the kernel tells who sent a message. Elsewhere it is
    a file in a folder that only this user may enter, and whoever knows the name may send.
    """

    def __init__(self) -> None:
        """Open it; nothing is received before ``listen``.

        Raises:
            OSError: When the system has no descriptor left.
        """
        self._pid = 0
        self._on_notice: Callable[[Notice], None] = _ignore
        self._loop: asyncio.AbstractEventLoop | None = None
        self._folder: str | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
        self._socket.settimeout(0)
        try:
            if _LINUX:
                # Before the name is known to anybody, so that no message comes without its sender.
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
        """What the program needs to find it."""
        return {"NOTIFY_SOCKET": self.name}

    def listen(self, pid: int, on_notice: Callable[[Notice], None]) -> None:
        """Begin to receive, on the running event loop.

        Args:
            pid: The leader of the session that may send.
            on_notice: Called for each message.
        """
        self._pid = pid
        self._on_notice = on_notice
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self.drain)

    def drain(self) -> None:
        """Take what has come."""
        for _ in range(_MOST_AT_ONCE):
            if self._socket.fileno() < 0 or not self._receive():  # a message can lead to its closing
                return

    def close(self) -> None:
        """Let go of it. Idempotent."""
        descriptor = self._socket.fileno()
        if descriptor >= 0:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(descriptor)
            self._socket.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _receive(self) -> bool:
        room = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4)
        try:
            data, extras, _flags, _ = self._socket.recvmsg(_LARGEST, room, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
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
            # Whatever was passed, it is ours now and of no use; to close it is what a sender with BARRIER=1 waits for.
            for descriptor in passed:
                os.close(descriptor)
        return True

    def _is_ours(self, pid: int, uid: int) -> bool:
        """Whether a sender belongs to the program: its session, or one that it has made."""
        if pid == 0:  # in a namespace that we cannot see
            return uid in (0, os.geteuid())
        # Looked at again behind its parents: it may end in between, and has none then.
        if self._is_in_session(pid) or self._is_descendant(pid):
            return True
        if _is_there(pid):
            return False
        # It has ended already, as `systemd-notify` of old does: nobody can tell any more what it belonged to. One
        # of our own user could do to us whatever it likes anyhow, so it is a mistake that is to be kept out, and
        # mistakes are made by what lives on.
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


def _is_there(pid: int) -> bool:
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
            # The name, in parentheses, may hold anything.
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH, errno.EACCES):
            return 0
        raise


def _ignore(_notice: Notice) -> None:
    """Nobody listens yet."""
