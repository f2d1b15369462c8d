"""Table of the live children, in memory that is shared with the guardian. A write needs no system call.

An entry has the pid and the times before and after the spawn, in nanoseconds since boot. The times tell the child from
another process with a reused pid.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time

__all__ = ["ENTRY", "SLOTS", "ChildTable", "boot_time"]

ENTRY = struct.Struct("=qqq")
SLOTS = 1 << 16
"""Number of entries. The first one holds the number of entries in use. Untouched entries take no memory."""


def boot_time() -> int:
    """Return nanoseconds since boot, including sleep: the clock of process start times in /proc."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ChildTable:
    """The table.

    Attributes:
        descriptor: Descriptor of its memory, which the guardian inherits.
    """

    def __init__(self) -> None:
        size = SLOTS * ENTRY.size
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("aioverseer", os.MFD_CLOEXEC)
        else:
            import tempfile  # noqa: PLC0415  # macOS only, and slow to import

            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
        os.ftruncate(self.descriptor, size)
        self._memory = mmap.mmap(self.descriptor, size)
        self._free: list[int] = []
        self._used = 1

    now = staticmethod(boot_time)

    def add(self, pid: int, before: int) -> int:
        """Add a child that was just spawned; return its slot, or 0 when the table is full.

        Args:
            pid: Process id.
            before: ``boot_time()`` before the spawn.
        """
        try:
            slot = self._free.pop()  # list.pop is atomic: two threads never get the same slot
        except IndexError:
            if self._used >= SLOTS:
                return 0
            slot, self._used = self._used, self._used + 1
            ENTRY.pack_into(self._memory, 0, self._used, 0, 0)
        offset = slot * ENTRY.size
        ENTRY.pack_into(self._memory, offset, 0, before, boot_time())
        # The pid comes last. An entry without a pid is empty, so the table is valid whenever the host is killed.
        self._memory[offset : offset + 8] = pid.to_bytes(8, sys.byteorder)
        return slot

    def remove(self, slot: int) -> None:
        """Remove a child that has ended."""
        if slot:
            offset = slot * ENTRY.size
            self._memory[offset : offset + 8] = bytes(8)
            self._free.append(slot)

    def close(self) -> None:
        """Release the memory and close the descriptor."""
        self._memory.close()
        os.close(self.descriptor)
