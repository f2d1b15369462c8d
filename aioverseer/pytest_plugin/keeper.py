"""The keeper: a process that runs one service for several clients, as long as one of them is connected.

``python -m aioverseer.pytest_plugin.keeper SOCKET`` reads the description of the service from its standard input. It
sends each client messages, each a line of JSON: a greeting, an outcome once the service is ready or has ended, and a
report after each transition and on request. The service is stopped when the last client has disconnected. The kernel
closes the connections of a killed client, so no count can go wrong. ``shared.py`` is the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any

from aioverseer import EventStream, Overseer, OverseerError, Service, Spec
from aioverseer.pytest_plugin.folders import ServiceFolder
from aioverseer.pytest_plugin.reports import ServiceReports

__all__ = ["main", "pickled"]


_PREPARE_GRACE = 10.0
"""Seconds that a preparation may still take when nobody waits for it any more. It cannot be interrupted."""


def pickled(spec: Spec, options: Mapping[str, Any], folder: ServiceFolder | None) -> bytes:
    """Return the input of a keeper: service, options of its overseer, folder, and the import path to unpickle them.

    Raises:
        Exception: If a part cannot be pickled.
    """
    return pickle.dumps((sys.path, pickle.dumps((spec, dict(options), folder))))


class _KeeperServer:
    """Sends messages about the service to all clients, and answers requests for reports.

    Attributes:
        unused: Set when the last client has left.
    """

    def __init__(self, spec: Spec, overseer: Overseer) -> None:
        self._reports, self._id = ServiceReports(overseer), spec.id
        self._outcome: dict[str, Any] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._leaving: list[asyncio.StreamWriter] = []
        self._has_starter = True
        self.unused = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it disconnects."""
        self._writers.add(writer)
        # A client that connects during the stop gets no greeting, only the end of the connection.
        if not self.unused.is_set():
            _send(writer, {"keeper": os.getpid(), "report": self._report(), **self._outcome})
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                _send(writer, {"report": self._report(), "asked": int(line)})
        self._writers.discard(writer)
        self._leaving.append(writer)
        self._reconsider()

    async def wait_for_starter(self, stdin: asyncio.StreamReader) -> None:
        """Count the starter of this process as a client until it closes our standard input: it connects a bit later."""
        with contextlib.suppress(OSError):
            await stdin.read()
        self._has_starter = False
        self._reconsider()

    def _reconsider(self) -> None:
        """Release the clients that have left, if others stay. The last ones wait for the end of this process."""
        if self._writers:
            while self._leaving:
                writer = self._leaving.pop()
                _send(writer, {"stays": True})
                writer.close()
        elif not self._has_starter:
            self.unused.set()

    async def follow(self, events: EventStream) -> None:
        """Send a report after each transition. If this process is killed, the clients still have the last report."""
        async for _ in events:
            self._broadcast({"report": self._report()})

    def publish_outcome(self, **outcome: Any) -> None:
        """Send the outcome to all clients, and keep it for later ones. After an end, later outcomes are ignored."""
        if "ended" in self._outcome:
            return
        self._outcome = outcome
        self._broadcast({"report": self._report(), **outcome})

    def close_at_exit(self) -> None:
        """Let the connections end with this process: the last client may then look for leftovers.

        A duplicate of each descriptor stays open until the process is gone.
        """
        for writer in (*self._writers, *self._leaving):
            with contextlib.suppress(OSError):  # closed already
                os.dup(writer.get_extra_info("socket").fileno())
            writer.close()

    def _report(self) -> str:
        return self._reports.report(self._id)

    def _broadcast(self, message: dict[str, Any]) -> None:
        for writer in self._writers:
            _send(writer, message)


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        writer.write(json.dumps(message).encode() + b"\n")


async def _keep(path: str, spec: Spec, options: dict[str, Any], folder: ServiceFolder | None) -> None:
    overseer = Overseer(**options)
    service = overseer.add(spec)
    keeper = _KeeperServer(spec, overseer)
    server = await asyncio.start_unix_server(keeper.serve, path)
    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin.buffer)
    _answer_starter("listening")

    helpers = [
        asyncio.create_task(keeper.wait_for_starter(stdin)),
        asyncio.create_task(keeper.follow(overseer.events())),
    ]
    folders = contextlib.ExitStack()
    try:
        async with overseer:
            running = asyncio.create_task(_run(service, keeper, folder, folders))
            await keeper.unused.wait()
            running.cancel()
            await asyncio.wait([running])
    except OverseerError as error:
        keeper.publish_outcome(ended=str(error))
        await keeper.unused.wait()
    finally:
        for helper in helpers:
            helper.cancel()
        # Before the socket closes: the next keeper, which a client may start from then on, makes the folder again.
        folders.close()
        server.close()
        keeper.close_at_exit()


async def _run(
    service: Service, keeper: _KeeperServer, folder: ServiceFolder | None, folders: contextlib.ExitStack
) -> None:
    if folder is not None:
        try:
            folders.enter_context(folder.made())
            await _fill(folder)
        except Exception as error:  # noqa: BLE001  # a function of the tests, which may raise anything
            text = "".join(traceback.format_exception_only(error)).strip()
            keeper.publish_outcome(ended=f"the folder of {service.id!r} could not be prepared: {text}{_where(error)}")
            return
    try:
        await service.start()
    except OverseerError as error:
        keeper.publish_outcome(ended=str(error))
    else:
        keeper.publish_outcome(pid=service.pid)


async def _fill(folder: ServiceFolder) -> None:
    """Fill a folder in a thread, so that clients are served meanwhile. After a cancellation it has some time to end."""
    loop = asyncio.get_running_loop()
    filled: asyncio.Future[BaseException | None] = loop.create_future()

    def run() -> None:
        error = None
        try:
            folder.fill()
        except BaseException as raised:  # noqa: BLE001  # as above; pytest.fail raises a BaseException
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: the time was over
            loop.call_soon_threadsafe(filled.set_result, error)

    # A daemon, as this process must end even if the function never returns.
    threading.Thread(target=run, name="prepare", daemon=True).start()
    try:
        error = await asyncio.shield(filled)
    except asyncio.CancelledError:
        await asyncio.wait([filled], timeout=_PREPARE_GRACE)
        raise
    if isinstance(error, Exception):
        raise error
    if error is not None:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _where(error: BaseException) -> str:
    """Return the line that has raised an error, as the end of a message."""
    frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _answer_starter(answer: str) -> None:
    """Write the one answer that the starter waits for, and close standard output, which ends the answer."""
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)


def main() -> None:
    """Run a keeper."""
    (path,) = sys.argv[1:]
    try:
        # The input comes from the process that has started this one, so it is trusted.
        sys.path[:], data = pickle.load(sys.stdin.buffer)  # noqa: S301  # as above
        spec, options, folder = pickle.loads(data)  # noqa: S301  # as above
    except Exception as error:  # noqa: BLE001  # unpickling imports modules of the tests, which may raise anything
        _answer_starter("".join(traceback.format_exception_only(error)))
        sys.exit(1)
    asyncio.run(_keep(path, spec, options, folder))


if __name__ == "__main__":
    main()
