"""A host that measures its memory while a program writes. A process of its own, so that pytest's memory does not count.

``memory_host.py HOW KIND LINE_LIMIT``: the program writes 100 MB to one stream, which is read as HOW says. If that
blocks the program's standard output, a second process of it writes there for ever, and the 100 MB go to standard error.
KIND is "lines" (of 99 bytes) or "endless" (one line). Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aioverseer import Line, Overseer, Process, Status
from aioverseer.core.text.lines import ContinuedLine
from tests.support.programs import child

__all__ = ["HOWS", "LAST", "SIZE"]

SIZE = 100_000_000
"""Number of bytes before the last line."""
LAST = "the last line"
HOWS = (
    "nobody",
    "stalled drop_oldest",
    "stalled drop_newest",
    "stalled error",
    "stalled block",
    "stalled block of all",
    "stalled process",
    "reading block",
    "reading process",
)

WRITER = child(
    f"""
    import os, sys
    how, what = sys.argv[1:]
    data = b"x" * 100_000 if what == "endless" else (b"x" * 99 + b"\\n") * 1000
    number = 1
    if how in ("stalled block", "stalled block of all", "stalled process"):
        number = 2
        if os.fork() == 0:
            while True:
                os.write(1, data)
    for _ in range({SIZE} // len(data)):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(number, rest) :]
    if what == "endless":
        os.write(number, b"\\n")
    os.write(number, b"{LAST}\\n")
    """
)


def memory(which: str) -> int:
    """Return the memory of this process in bytes, now (VmRSS) or at its highest (VmHWM)."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{which}:"))


class Count:
    """Counts of the items of a queue."""

    def __init__(self) -> None:
        self.bytes = 0
        self.pieces = 0
        self.missed = 0
        self.last = ""

    def add(self, item: Any) -> None:
        """Count a line, or a piece of a line."""
        text = str(item.text if isinstance(item, Line) else item)
        self.bytes += len(text)
        self.pieces += item.continued if isinstance(item, Line) else isinstance(item, ContinuedLine)
        self.last = text[-100:]


async def of_a_process(how: str, what: str, line_limit: int) -> tuple[Status, Count]:
    """Read the stream with the 100 MB, and not the other one."""
    count = Count()
    process = Process(*WRITER, how, what, streaming=True, buffered=False, line_limit=line_limit)
    await process.start()
    queue = process.stdout if how == "reading process" else process.stderr
    assert queue is not None
    async for line in queue:
        count.add(line)
    return await process, count


async def of_a_service(how: str, what: str, line_limit: int) -> tuple[Status, Count]:
    """Read while the service writes, or after its end, or not at all."""
    count = Count()
    async with Overseer() as overseer:
        service = overseer.add("writer", *WRITER, how, what, line_limit=line_limit)
        match how:
            case "nobody":
                queue = None
            case "stalled block of all":
                queue = overseer.logs("stdout", overflow="block")
            case "stalled block" | "reading block":
                queue = service.lines("stdout", overflow="block")
            case _:
                overflow: Any = how.split()[1]
                queue = service.lines(overflow=overflow)
        await service.start()
        if queue is not None and how == "reading block":
            async for line in queue:
                count.add(line)
        status = await service.wait()
        if queue is not None and how.startswith("stalled drop"):
            while queue.qsize():
                count.add(queue.get_nowait())
            count.missed = queue.missed
        else:
            count.last = str(service.tail(1)[0].text)[-100:]
    return status, count


async def main(how: str, what: str, line_limit: int) -> None:
    """Measure the memory before and after the program, and print the difference."""
    assert (await Process("true", streaming=True)).ok
    idle = memory("VmRSS")
    play = of_a_process if how.endswith("process") else of_a_service
    status, count = await play(how, what, line_limit)
    grown = memory("VmHWM") - idle
    sys.stdout.write(json.dumps({"ok": status.ok, "grown": grown, **vars(count)}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
