"""Removal of empty cgroups whose hosts are gone.

Two kinds exist: those of a host that was killed together with its guardian, and those of kept leftovers that have
ended since. A host that lives holds a lock on each of its cgroups, which the kernel releases with the process. No pid
is compared, so hosts in different containers may share a tree.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from typing import Protocol

__all__ = ["CgroupRemover", "hold", "remove_abandoned"]

_OURS = r"aioverseer-([0-9a-f]{16}[-+]|probe-)\d+"


class CgroupRemover(Protocol):
    """The one method of ``cgroup.Files`` that the cleanup needs."""

    def remove(self, path: str) -> None:
        """Remove a cgroup; raises OSError while a process is in it."""


def hold(path: str) -> int:
    """Lock a cgroup to show that its host lives, and return the descriptor of the lock.

    Raises:
        FileNotFoundError: If another host took the new cgroup for an abandoned one and removed it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Waits some microseconds while another host checks the cgroup.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.stat(path)  # raises if that host has removed it; nobody else creates a cgroup of this name
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_abandoned(files: CgroupRemover, base: str) -> None:
    """Remove the empty cgroups below ``base`` whose hosts are gone. Nothing is killed."""
    for name in os.listdir(base):
        if re.fullmatch(_OURS, name) is None:
            continue
        with contextlib.suppress(OSError):  # already gone, locked by its host, or not empty
            descriptor = os.open(f"{base}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                files.remove(f"{base}/{name}")
            finally:
                os.close(descriptor)
