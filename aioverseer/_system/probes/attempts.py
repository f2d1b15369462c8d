"""One attempt of each probe that must ask: connect, check a file, run a command, call a function.

An attempt returns on success. On failure it raises ``NotYet`` or any other exception. It leaves nothing behind, even
when it is cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from aioverseer._aio.shield import settle
from aioverseer._aio.timers import resolve
from aioverseer._system.probes.answer import Hangs, NotYet
from aioverseer._system.probes.current_check import begin_check
from aioverseer._system.probes.listeners import ListenerCheck, connect, peer_of
from aioverseer._system.probes.unix_address import connectable, unix_address
from aioverseer._system.process.command import run_command, spec_of_command
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.options.composition import Probe
from aioverseer.core.options.probes import Check, Command, File, Http, Tcp, Unix
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.socket_tables import Address, as_address

__all__ = ["GRACE", "ProbeAttempts", "Stamp", "T", "stamp_of", "within"]

T = TypeVar("T")

GRACE = 1.0
"""Seconds for a cancelled attempt to end."""

Stamp = tuple[int, int, int, int] | None
"""Device, inode, modification time and size of a file; None when there is no file."""


async def within(clock: Clock, seconds: float | None, work: Awaitable[T]) -> T:
    """Wait for work with a time limit on a clock, and cancel it after that. None is no limit.

    When the caller is cancelled, the work is cancelled too, and gets a second to end.

    Raises:
        NotYet: If the time limit is over.
        Hangs: If the work has also not ended a second after its cancellation.
    """
    task = asyncio.ensure_future(work)
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = None if seconds is None else clock.call_at(clock.now() + seconds, lambda: resolve(over))
    try:
        waited: set[asyncio.Future[Any]] = {task, over}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            if (cancelled := await settle(task, within=GRACE, clock=clock)) is not None:
                raise cancelled
    except asyncio.CancelledError:
        task.cancel()
        await settle(task, within=GRACE)
        raise
    finally:
        if timer is not None:
            timer.cancel()
    if not task.done():
        task.add_done_callback(_retrieve)
        raise Hangs(f"no answer within {seconds:g} s, and it goes on although it was cancelled", task)
    if task.cancelled():
        raise NotYet(f"no answer within {seconds:g} s" if over.done() else "it was cancelled from within")
    return task.result()


def _retrieve(task: asyncio.Future[Any]) -> None:
    """Retrieve the exception of an abandoned attempt, or asyncio logs that nobody has."""
    if not task.cancelled():
        task.exception()


@dataclass(slots=True)
class ProbeAttempts:
    """Makes attempts of the probes of one program.

    Attributes:
        spec: Spec of the program, for the folder, environment and user of commands.
        launcher: Launcher of commands.
        process: Function that returns the argument for functions.
        listeners: Check of who answers a connection.
        before: Stamps of files before the start.
    """

    spec: Spec
    launcher: Launcher
    process: Callable[[], object]
    listeners: ListenerCheck
    before: dict[File, Stamp] = field(default_factory=dict[File, "Stamp"])

    def remember(self, probe: File) -> None:
        """Record the stamp of a file before the start."""
        self.before[probe] = stamp_of(self._path(probe.path)) if probe.fresh else None

    async def ask(self, probe: Probe, on_progress: Callable[[str], None] | None = None) -> None:
        """Make one attempt. Safe to cancel.

        Args:
            probe: Probe to ask.
            on_progress: Called with what the attempt waits for, as words after "for", each time that this changes.

        Raises:
            NotYet: If the attempt fails.
            StrangerFound: If another program than the one of the probe has answered.
            Exception: If a function or the system raises it, which is a failure too.
        """
        match probe:
            case Tcp(host=host, port=int(port)):
                await self.listeners.check(probe, await _connect_tcp(host, port))
            case Unix(path=path):
                await self.listeners.check_peer(probe, await _connect_unix(unix_address(path, self.spec.cwd)))
            case File(path=path):
                self._check(probe)
            case Command(argv=argv):
                await self._run(argv)
            case Http():
                from aioverseer._system.probes.http import get  # noqa: PLC0415  # httpx is an extra

                await get(probe, on_progress)
                await self.listeners.check(probe)
            case Check(function=function, takes_process=takes_process):
                begin_check(self.spec)
                await _call(function, *([self.process()] if takes_process else []))
            case _:
                raise NotImplementedError(f"{probe} has no attempts, as it waits for the program")

    def _path(self, path: str) -> str:
        return os.path.join(self.spec.cwd or "", path)

    def _check(self, probe: File) -> None:
        stamp = stamp_of(self._path(probe.path))
        if stamp is None:
            raise NotYet("there is no such file")
        if stamp == self.before.get(probe):
            raise NotYet("it is as it was before the start")

    async def _run(self, argv: tuple[str, ...]) -> None:
        end = await run_command(self.launcher, spec_of_command(self.spec, argv, role="probe"))
        if end.failure is not None:
            raise NotYet(end.failure)


async def _call(function: Callable[..., object], *given: object) -> None:
    answer = function(*given)
    if inspect.isawaitable(answer):
        answer = await cast("Awaitable[object]", answer)
    if answer is False:
        raise NotYet("it returned False")


def stamp_of(path: str) -> Stamp:
    """Return what tells one content of a file from another; None when there is no file."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _reason(error: OSError) -> str:
    """Return the message of the system without the address, which asyncio adds and the reader knows."""
    number = error.errno
    return str(error) if number is None or number < 0 else os.strerror(number).lower()


async def _connect_tcp(host: str, port: int) -> Address | None:
    """Connect, and return the address that has answered."""
    failure = OSError(f"{host} has no address")
    for family, address in await _addresses(host, port):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as connection:
                connection.settimeout(0)
                await asyncio.get_running_loop().sock_connect(connection, address)
                # If nobody listens, the system may pick the same port for the local end. Then the connection is made
                # with itself, by TCP's simultaneous open (RFC 9293, 3.5).
                if connection.getsockname() == connection.getpeername():
                    raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens")
                return as_address(connection.getpeername()[0])
        except OSError as error:
            failure = error
    raise NotYet(_reason(failure))


async def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    # Addresses need no resolver, which would be a thread. `localhost` is the loopback (RFC 6761, 6.3).
    names = ["127.0.0.1", "::1"] if host == "localhost" else [host]
    try:
        return [
            (socket.AF_INET6 if ipaddress.ip_address(name).version == 6 else socket.AF_INET, (name, port))  # noqa: PLR2004
            for name in names
        ]
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]  # any family


async def _connect_unix(address: str) -> int | None:
    """Connect, and return the process that listens, where the system tells it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(0)
        try:
            with connectable(address) as path:
                await connect(connection, path)
        except BlockingIOError:
            raise NotYet("its queue of connections is full") from None
        except OSError as error:
            raise NotYet(_reason(error)) from None
        return peer_of(connection)
