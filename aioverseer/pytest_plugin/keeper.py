"""The keeper: a process that runs one service for several processes, for as long as one of them is connected.

``python -m aioverseer.pytest_plugin.keeper SOCKET`` reads a pickled Spec from its standard input. Who connects is told,
in a line of JSON each, when the service is ready and when it has ended; who hangs up is gone, and with the last of them
the service is stopped. The kernel hangs up for a process that was killed, so there is nothing to count and nothing to
clean. What the others do is in ``shared.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import sys
from typing import Any

from aioverseer import CriticalServiceEnded, Overseer, OverseerError, Service, Spec

__all__ = ["main"]


class _Keeper:
    """Tells all who are connected the same."""

    def __init__(self) -> None:
        self.told: dict[str, Any] | None = None
        self.over = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._starter = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold one connection until the other side hangs up."""
        self._writers.add(writer)
        if self.told is not None:
            _send(writer, self.told)
        await _end_of(reader)
        if len(self._writers) > 1 or self._starter:
            self._writers.discard(writer)
            writer.close()
        else:  # the last one is told by the end of its connection that all is over
            self.over.set()

    async def hold_for(self, starter: asyncio.StreamReader) -> None:
        """Hold out for the one who has started this, who connects next, until its pipe is closed."""
        await _end_of(starter)
        self._starter = False
        if not self._writers:
            self.over.set()

    def tell(self, news: dict[str, Any]) -> None:
        """Tell all, and those who connect later."""
        self.told = news
        for writer in self._writers:
            _send(writer, news)

    def hang_up(self) -> None:
        """Let go of all."""
        for writer in self._writers:
            writer.close()


async def _end_of(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(4096):
            pass


def _send(writer: asyncio.StreamWriter, news: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        writer.write(json.dumps(news).encode() + b"\n")


async def _keep(path: str, spec: Spec) -> None:
    keeper = _Keeper()
    server = await asyncio.start_unix_server(keeper.serve, path)
    starter = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(starter), sys.stdin.buffer)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    sys.stdout.close()

    watching = asyncio.create_task(keeper.hold_for(starter))
    try:
        async with Overseer(name=f"shared {spec.id}") as overseer:
            service = overseer.add(spec)
            running = asyncio.create_task(_run(service, keeper))
            await keeper.over.wait()
            running.cancel()
            await asyncio.wait([running])
    except CriticalServiceEnded as error:
        keeper.tell({"ended": str(error)})
        await keeper.over.wait()
    finally:
        watching.cancel()
        server.close()
        keeper.hang_up()


async def _run(service: Service, keeper: _Keeper) -> None:
    try:
        await service.start()
    except OverseerError as error:
        keeper.tell({"ended": str(error)})
    else:
        keeper.tell({"pid": service.pid})


def main() -> None:
    """Run a keeper; see the module."""
    (path,) = sys.argv[1:]
    spec = pickle.load(sys.stdin.buffer)  # noqa: S301  # from the process that has started this one
    asyncio.run(_keep(path, spec))


if __name__ == "__main__":
    main()
