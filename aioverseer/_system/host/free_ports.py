"""Ports that no program on this machine listens on."""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path

__all__ = ["is_free", "quiet_ports"]

_LOWEST = 20_000
_HIGHEST = 32_767
"""The last port before the default range from which Linux assigns ports by itself (32768 to 60999, see ip(7))."""
_ENOUGH = 1000


def quiet_ports() -> range:
    """Return the ports below the range from which the kernel assigns ports by itself.

    The kernel would give a port of its own range to any connection, between the choice and the start of the server.
    """
    highest = _HIGHEST
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        highest = int(text.split()[0]) - 1
    if highest - _LOWEST < _ENOUGH:  # the kernel's range begins so low that it must be shared
        return range(_LOWEST, 65_535)
    return range(_LOWEST, highest + 1)


def is_free(port: int, *, reuse: bool = False) -> bool:
    """Return whether a server can bind a port.

    Args:
        port: Number of the port.
        reuse: Whether the server sets SO_REUSEADDR: a port counts as free although connections to its last server are
            in TIME_WAIT.
    """
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104  # bound, no listening
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if reuse:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as error:
            # Without IPv6 on this machine, or for a port that only root may bind, the program itself will tell.
            if error.errno == errno.EADDRINUSE or (family == socket.AF_INET and not reuse):
                return False
    return True
