"""The socket of systemd for the host itself: the sending side of sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
import time

from aioverseer._aio.fork import generation

__all__ = ["HostNotifier"]

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class HostNotifier:
    """Sends notices to systemd. Without a socket in the environment it does nothing.

    The variables are for this process alone: while it is open they are not in the environment, and no program inherits
    them.
    """

    def __init__(self) -> None:
        """Change nothing before ``open``."""
        self._socket: socket.socket | None = None
        self._address = ""
        self._taken: dict[str, str] = {}
        self._generation = 0

    @property
    def is_open(self) -> bool:
        """Whether systemd, or who takes its place, listens to this process."""
        return self._socket is not None and self._generation == generation()

    def open(self) -> float | None:
        """Take the variables out of the environment, and return the seconds of the watchdog; None without one."""
        self._generation = generation()
        self._taken = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
        address = self._taken.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):  # none, or a kind of address that only virtual machines have
            return None
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
        self._socket.setblocking(False)  # noqa: FBT003  # it takes no keyword
        usec = self._taken.get("WATCHDOG_USEC", "")
        is_ours = self._taken.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return int(usec) / 1e6 if usec.isascii() and usec.isdecimal() and int(usec) > 0 and is_ours else None

    def close(self) -> None:
        """Close the socket, and put the variables back. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        taken, self._taken = self._taken, {}
        if self._generation == generation():
            for name, value in taken.items():
                os.environ.setdefault(name, value)

    def send(self, *assignments: str) -> None:
        """Send a notice. A manager that is away or slow is no error, as sd_notify(3) says."""
        if self.is_open and self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(assignments).encode("utf-8", "replace"), self._address)

    @staticmethod
    def monotonic_usec() -> int:
        """Return the present time for ``MONOTONIC_USEC``."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
