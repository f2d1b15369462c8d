"""A table in memory shared with the guardian: which children live. Writing to it needs no system call.

One entry for each child: its number, and the times before and after its spawn on the clock that counts since the boot
of the machine. Who reads it can tell a child by that from another process of the same number.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time

__all__ = ["ENTRY", "SLOTS", "Table", "boot_time"]

ENTRY = struct.Struct("=qqq")
SLOTS = 1 << 16
"""The first tells how many are in use at most. Memory is used for those that were written to only."""


def boot_time() -> int:
    """Return nanoseconds since the boot of the machine, sleep included, as the kernel counts births."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Table:
    """The table, with its descriptor for the guardian."""

    def __init__(self) -> None:
        size = SLOTS * ENTRY.size
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("aioverseer", os.MFD_CLOEXEC)
        else:
            # Not on Linux, where it takes a third of the time that entering an overseer takes.
            import tempfile  # noqa: PLC0415  # see above

            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
        os.ftruncate(self.descriptor, size)
        self._memory = mmap.mmap(self.descriptor, size)
        self._free: list[int] = []
        self._used = 1

    now = staticmethod(boot_time)

    def add(self, pid: int, before: int) -> int:
        """Enter a child that was spawned just now; return its place, 0 when the table is full.

        Args:
            pid: Its number.
            before: ``boot_time()`` before the spawn.
        """
        try:
            place = self._free.pop()  # of a list, so that two threads never get the same
        except IndexError:
            if self._used >= SLOTS:
                return 0
            place, self._used = self._used, self._used + 1
            ENTRY.pack_into(self._memory, 0, self._used, 0, 0)
        offset = place * ENTRY.size
        ENTRY.pack_into(self._memory, offset, 0, before, boot_time())
        # The number last: an entry without one is none, whenever the host is killed.
        self._memory[offset : offset + 8] = pid.to_bytes(8, sys.byteorder)
        return place

    def remove(self, place: int) -> None:
        """Take out a child that has ended."""
        if place:
            offset = place * ENTRY.size
            self._memory[offset : offset + 8] = bytes(8)
            self._free.append(place)

    def close(self) -> None:
        """Let go of it."""
        self._memory.close()
        os.close(self.descriptor)
