"""The keeper: a process that runs one service for several processes, for as long as one of them is connected.

``python -m aioverseer.pytest_plugin.keeper SOCKET`` reads from its standard input what to run. Who connects is told,
in a line of JSON each, that it is kept, when it is ready and when it has ended; and what there is to report of it, at
each of its transitions and to who asks. Who hangs up is gone, and with the last of them the service is stopped. The
kernel hangs up for a process that was killed, so there is nothing to count and nothing to clean. What the others do is
in ``shared.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from aioverseer import EventStream, Overseer, OverseerError, Service, Spec
from aioverseer.pytest_plugin.reports import Story

__all__ = ["main", "packed"]


def packed(spec: Spec, options: Mapping[str, Any]) -> bytes:
    """Return what a keeper reads: how to run a service, and where what that needs is imported from.

    Raises:
        Exception: When something of it cannot be passed to another process.
    """
    return pickle.dumps((sys.path, pickle.dumps((spec, dict(options)))))


class _Keeper:
    """Tells all who are connected the same, and each what he asks."""

    def __init__(self, spec: Spec, overseer: Overseer) -> None:
        self._story, self._id = Story(overseer), spec.id
        self._told: dict[str, Any] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._leaving: list[asyncio.StreamWriter] = []
        self._has_starter = True
        self.over = asyncio.Event()
        """Set when nobody needs it any more."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold one connection until the other side hangs up."""
        self._writers.add(writer)
        # Who comes when it is being stopped already hears nothing, and that it has ended when it has.
        if not self.over.is_set():
            _send(writer, {"keeper": os.getpid(), "report": self._report(), **self._told})
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                _send(writer, {"report": self._report(), "asked": int(line)})
        self._writers.discard(writer)
        self._leaving.append(writer)
        self._look()

    async def hold_for(self, starter: asyncio.StreamReader) -> None:
        """Hold out for the one who has started this, who connects next, until he lets go."""
        with contextlib.suppress(OSError):
            await starter.read()
        self._has_starter = False
        self._look()

    def _look(self) -> None:
        """Let go of those who have left, when somebody else stays; the last ones are told by the end of all."""
        if self._writers:
            while self._leaving:
                writer = self._leaving.pop()
                _send(writer, {"stays": True})
                writer.close()
        elif not self._has_starter:
            self.over.set()

    async def follow(self, events: EventStream) -> None:
        """Tell all at each transition how it is: should this be killed, they still know."""
        async for _ in events:
            self._tell({"report": self._report()})

    def tell(self, **news: Any) -> None:
        """Tell all how it has come out, and those who connect later; of two reasons for its end, the first."""
        if "ended" in self._told:
            return
        self._told = news
        self._tell({"report": self._report(), **news})

    def hang_up(self) -> None:
        """Let go of all, with the end of this process: who has left last may look for what is left of it."""
        for writer in (*self._writers, *self._leaving):
            with contextlib.suppress(OSError):  # closed already
                os.dup(writer.get_extra_info("socket").fileno())
            writer.close()

    def _report(self) -> str:
        return self._story.of(self._id)

    def _tell(self, news: dict[str, Any]) -> None:
        for writer in self._writers:
            _send(writer, news)


def _send(writer: asyncio.StreamWriter, news: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        writer.write(json.dumps(news).encode() + b"\n")


async def _keep(path: str, spec: Spec, options: dict[str, Any]) -> None:
    overseer = Overseer(**options)
    service = overseer.add(spec)
    keeper = _Keeper(spec, overseer)
    server = await asyncio.start_unix_server(keeper.serve, path)
    starter = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(starter), sys.stdin.buffer)
    _say("listening")

    helpers = [asyncio.create_task(keeper.hold_for(starter)), asyncio.create_task(keeper.follow(overseer.events()))]
    try:
        async with overseer:
            running = asyncio.create_task(_run(service, keeper))
            await keeper.over.wait()
            running.cancel()
            await asyncio.wait([running])
    except OverseerError as error:
        keeper.tell(ended=str(error))
        await keeper.over.wait()
    finally:
        for helper in helpers:
            helper.cancel()
        server.close()
        keeper.hang_up()


async def _run(service: Service, keeper: _Keeper) -> None:
    try:
        await service.start()
    except OverseerError as error:
        keeper.tell(ended=str(error))
    else:
        keeper.tell(pid=service.pid)


def _say(word: str) -> None:
    """Tell the starter, who waits for one answer."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the end of the pipe is the end of the answer
    os.close(nowhere)


def main() -> None:
    """Run a keeper; see the module."""
    (path,) = sys.argv[1:]
    # From the process that has started this one.
    try:
        sys.path[:], data = pickle.load(sys.stdin.buffer)  # noqa: S301  # as above
        spec, options = pickle.loads(data)  # noqa: S301  # as above
    except Exception as error:  # noqa: BLE001  # whatever the import of a module of the tests raises; it is told
        _say("".join(traceback.format_exception_only(error)))
        sys.exit(1)
    asyncio.run(_keep(path, spec, options))


if __name__ == "__main__":
    main()
