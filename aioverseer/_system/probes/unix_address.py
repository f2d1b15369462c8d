"""Addresses of UNIX sockets: relative paths, the abstract namespace, and paths that are too long for an address."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator

__all__ = ["connectable", "unix_address"]

_MAX_PATH = 107
"""Bytes of a path that fit into an address of Linux, beside the NUL (unix(7))."""


def unix_address(path: str, cwd: str | None) -> str:
    """Return the address of a UNIX socket: a path, or a name in the abstract namespace after a NUL."""
    return "\0" + path[1:] if path.startswith("@") else os.path.join(cwd or "", path)


@contextlib.contextmanager
def connectable(address: str) -> Generator[str]:
    """Yield the address in a form that fits: a program may bind a short relative path in a folder with a long one.

    Args:
        address: The result of ``unix_address``.

    Raises:
        OSError: If the path is too long, and its folder does not exist.
    """
    if sys.platform != "linux" or address.startswith("\0") or len(os.fsencode(address)) <= _MAX_PATH:
        yield address
        return
    folder, name = os.path.split(address)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
