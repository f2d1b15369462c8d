"""Listening sockets of the host: bind them, take them over from systemd, close them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Mapping
from weakref import WeakSet

from aioverseer.core.errors import SpawnError
from aioverseer.core.options.held_socket import FIRST_DESCRIPTOR, HeldSocket
from aioverseer.core.options.listen import InheritedSocket, TcpSocket, UnixSocket

__all__ = ["OpenListener", "open_listening"]

_BACKLOG = 4096
"""Connections that wait while no program accepts. The kernel lowers it to net.core.somaxconn."""
_MIN_FD = 32
"""Lowest number of a descriptor. It is none that a program expects, so moving one overwrites no other one."""
_LOOK = 0.25
"""Seconds for a connection that finds out whether somebody listens on a file; a local socket answers at once."""


class OpenListener:
    """One open listening socket. It is never shut down, because programs share it.

    Attributes:
        descriptor: The descriptor, which programs get only when it is passed to them; -1 once closed.
    """

    def __init__(self, opened: socket.socket, *, path: str | None = None) -> None:
        """Take over a socket.

        Args:
            opened: The socket.
            path: Path of its file, which is removed with it; None without a file.
        """
        _open.add(self)
        self.descriptor = -1
        self._file: tuple[str, tuple[int, int]] | None = None
        descriptor = opened.detach()
        try:
            if path is not None:
                self._file = path, _identity(path)
            self.descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _MIN_FD)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close the socket, and remove its file if that is still the one that was made. Idempotent."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor < 0:
            return
        os.close(descriptor)
        _open.discard(self)
        if self._file is not None:
            path, identity = self._file
            with contextlib.suppress(OSError):
                if _identity(path) == identity:
                    os.unlink(path)


_open: WeakSet[OpenListener] = WeakSet()


def _close_in_fork() -> None:
    """Close the copies of a fork: it could outlive the host, and connections would wait for nobody."""
    for listening in _open:
        if listening.descriptor >= 0:
            os.close(listening.descriptor)
            listening.descriptor = -1


os.register_at_fork(after_in_child=_close_in_fork)


def open_listening(id: str, name: str, held: HeldSocket, environment: Mapping[str, str]) -> OpenListener:
    """Open a listening socket.

    Args:
        id: Id of the service, for messages.
        name: Name of the socket, for messages.
        held: Kind and address. A relative path begins at the folder of the host.
        environment: Variables of the host, for sockets that systemd has passed to it.

    Raises:
        SpawnError: If that is impossible now. The message says what to do.
    """
    try:
        match held:
            case TcpSocket():
                return _open_tcp(held)
            case UnixSocket():
                return _open_unix(held)
            case InheritedSocket():
                return _take_over(held, environment)
            case _:
                raise OSError(errno.EINVAL, "is no kind of socket: use a function of aioverseer.listen")
    except OSError as error:
        raise SpawnError(
            f"service {id!r} cannot be started with listen={{{name!r}: {held}}}: {_why(held, error)}",
            errno=error.errno or errno.EINVAL,
            filename=held.path if isinstance(held, UnixSocket) else None,
        ) from error


def _why(held: HeldSocket, error: OSError) -> str:
    match error.errno, held:
        case errno.EADDRINUSE, UnixSocket():
            return "that file is there, and is in use or no socket: end the program that listens on it, or remove it"
        case errno.EADDRINUSE, _:
            return "another program listens there: end it, or take another port"
        case errno.EADDRNOTAVAIL, _:
            return "this machine has no such address: take one of its own"
        case errno.EACCES | errno.EPERM, TcpSocket():
            return "this user may not bind that port: take one above 1023, or give the host CAP_NET_BIND_SERVICE"
        case _:
            return error.strerror or str(error)


def _open_tcp(held: TcpSocket) -> OpenListener:
    family = socket.AF_INET6 if ":" in held.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM | getattr(socket, "SOCK_CLOEXEC", 0))
    with contextlib.ExitStack() as stack:
        stack.callback(opened.close)
        # A port whose connections have just ended can be bound. Never SO_REUSEPORT: each socket would have a queue of
        # its own, and connections in the queue of a closed one are reset.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, held.host != "::")
        opened.bind((held.host, held.port))
        opened.listen(_BACKLOG)
        return OpenListener(opened)


def _open_unix(held: UnixSocket) -> OpenListener:
    is_file = not held.path.startswith("@")
    address = held.path if is_file else "\0" + held.path[1:]
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | getattr(socket, "SOCK_CLOEXEC", 0))
    with contextlib.ExitStack() as stack:
        stack.callback(opened.close)
        try:
            _bind(opened, address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not is_file or not _is_stale(address):
                raise
            os.unlink(address)
            _bind(opened, address)
        if held.mode is not None:  # before listen(): until then every connection is refused
            os.chmod(address, held.mode)
        opened.listen(_BACKLOG)
        return OpenListener(opened, path=os.path.abspath(address) if is_file else None)


def _bind(opened: socket.socket, address: str) -> None:
    try:
        opened.bind(address)
    except OSError as error:
        if error.errno is None:  # "AF_UNIX path too long"
            raise OSError(errno.ENAMETOOLONG, "its path is too long: a socket has 107 bytes at most") from error
        raise


def _is_stale(path: str) -> bool:
    """Return whether a path is a socket on which nobody listens: an overseer that was killed leaves such a file."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_LOOK)
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _take_over(held: InheritedSocket, environment: Mapping[str, str]) -> OpenListener:
    """Copy a socket that systemd has passed. The copy of systemd stays open for the next use."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        raise OSError(
            errno.ENOENT, "systemd has passed no socket to this process: add a .socket unit to the unit of the host"
        )
    count = int(environment.get("LISTEN_FDS") or 0)
    names = (environment.get("LISTEN_FDNAMES") or "").split(":") if "LISTEN_FDNAMES" in environment else []
    names += ["unknown"] * (count - len(names))
    found = [number for number, name in enumerate(names[:count], FIRST_DESCRIPTOR) if name == held.name]
    if len(found) != 1:
        known = ", ".join(dict.fromkeys(names[:count])) or "none"
        what = f"{len(found)} sockets have that name" if found else "systemd has passed no socket of that name"
        raise OSError(errno.ENOENT, f"{what}: give each a FileDescriptorName= of its own; passed: {known}")
    os.set_inheritable(found[0], False)  # noqa: FBT003  # it takes no keyword
    return OpenListener(socket.socket(fileno=os.dup(found[0])))
