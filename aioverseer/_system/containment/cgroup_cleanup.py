"""Cgroups of hosts that are gone: removed by the next host that makes some, where nobody is in them.

A host that is killed together with its guardian leaves them, and so does what was to be kept, once it has ended.
Whether a host lives is told by the lock that it holds on each of its cgroups, which the kernel lets go with it: no
number of a process is compared, so hosts may be in containers of their own. Nothing is killed here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from typing import Protocol

__all__ = ["Removes", "hold", "remove_abandoned"]

_OURS = re.compile(r"aioverseer-([0-9a-f]{16}[-+]|probe-)\d+")


class Removes(Protocol):
    """The one thing of ``cgroup.Files`` that is needed here."""

    def remove(self, path: str) -> None:
        """Remove a cgroup; OSError where it has a member."""


def hold(path: str) -> int:
    """Return a descriptor that says, as long as it is open, that the host of a cgroup lives.

    Raises:
        FileNotFoundError: When another host has taken it for an abandoned one, just after it was made.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # It waits for the microseconds in which another host looks.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.stat(path)  # and raises, when that one has removed it: nobody else makes one of this name
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_abandoned(files: Removes, base: str) -> None:
    """Remove the cgroups below ``base`` whose hosts are gone and that nobody is in; the others are left alone."""
    for name in os.listdir(base):
        if _OURS.fullmatch(name) is None:
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, held by its host, or with a member
            descriptor = os.open(f"{base}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                files.remove(f"{base}/{name}")
            finally:
                os.close(descriptor)
