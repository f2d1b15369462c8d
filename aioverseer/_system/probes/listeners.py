"""The listening sockets on the ports of probes: which ones were there before the start, and whose they are."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import stat
import struct
import sys
from collections.abc import Iterable, Mapping

from aioverseer._system.containment import procfs
from aioverseer._system.containment.kinship import holder
from aioverseer._system.probes.answer import NotYet, StrangerFound
from aioverseer._system.probes.unix_address import connectable, unix_address
from aioverseer.core.machine.listeners import Holder, Verdict, held_by, judge
from aioverseer.core.options.composition import Probe
from aioverseer.core.options.destinations import destinations
from aioverseer.core.options.probes import Unix, endpoint_of
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.socket_tables import (
    Address,
    ListeningSocket,
    answering,
    ends_listeners,
    listeners_on,
    reached_by,
)

__all__ = ["ListenerCheck", "peer_of"]

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LOOK = 0.25
"""Seconds for a connection that finds out whether somebody listens. Only a local port is asked, which answers at once
unless its queue is full."""
_PER_SLICE = 32
"""Processes whose descriptors are read in one iteration of the event loop: about a millisecond."""
_MAX_DESCENDANTS = 256
"""Descendants of the program that are searched before all processes are."""
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class ListenerCheck:
    """Tells whether a probe of one run reaches its program or a stranger."""

    def __init__(self, spec: Spec, probes: Iterable[Probe], *, is_hosted: bool) -> None:
        """Collect the probes whose listening socket must be that of the program. Nothing is read.

        Args:
            spec: Spec of the program.
            probes: Probes of the run.
            is_hosted: Whether the program is a part of this host process, such as a task.
        """
        self._spec = spec
        # A name other than `localhost` stands for another machine, and only a resolver could tell.
        self._endpoints = {
            probe: found for probe in probes if (found := endpoint_of(probe)) is not None and reached_by(found[0])
        }
        self._paths = [probe for probe in probes if isinstance(probe, Unix) and probe.owner == "program"]
        self._is_hosted = is_hosted
        self._program = os.getpid() if is_hosted else None
        self._before: frozenset[int] = frozenset()
        """Sockets that listened before the start."""
        self._ours: set[int] = set()
        """Sockets that are known to be the program's."""

    async def prepare(self, inherited: Iterable[int] = ()) -> dict[Probe, str]:
        """Record the sockets that listen before the start. Safe to cancel.

        Args:
            inherited: Descriptors of listening sockets that the program inherits.

        Returns:
            The probes that a stranger would answer, each with who holds its socket.
        """
        blocked: dict[Probe, str] = {}
        if self._endpoints:
            self._ours.update(_passed_sockets(self._spec))
            self._ours.update(os.fstat(descriptor).st_ino for descriptor in inherited if descriptor >= 0)
            listeners = _listeners({port for _, port in self._endpoints.values()})
            if listeners is None:
                await self._look(blocked)
            elif listeners:
                self._before = frozenset(listener.inode for listener in listeners)
                for probe, (host, port) in self._endpoints.items():
                    try:
                        await self._check_addresses(reached_by(host), port, listeners)
                    except StrangerFound as error:
                        blocked[probe] = str(error)
                    except NotYet:  # a leftover that is being ended, or a port that can be shared
                        continue
        for probe in tuple(self._paths):  # a passed socket is removed from them
            if (why := await self._look_at_path(probe)) is not None:
                blocked[probe] = why
        return blocked

    def begin(self, pid: int) -> None:
        """Record the program after its spawn.

        Args:
            pid: Process id of the leader; 0 for a part of this host.
        """
        self._program = os.getpid() if self._is_hosted else pid

    async def check(self, probe: Probe, address: Address | None = None) -> None:
        """Check who has answered a probe. Safe to cancel.

        Args:
            probe: A probe of TCP or HTTP that was answered.
            address: The address that has answered; None checks all addresses of the host.

        Raises:
            StrangerFound: If a stranger has answered.
            NotYet: If the socket is not the program's, and may soon be.
        """
        if probe not in self._endpoints:
            return
        host, port = self._endpoints[probe]
        addresses = reached_by(host) if address is None else (address,)
        listeners = _listeners({port})
        if listeners:  # else the system does not tell, or the connection was led elsewhere
            await self._check_addresses(addresses, port, listeners)

    async def check_peer(self, probe: Unix, peer: int | None) -> None:
        """Check who has accepted a connection on a UNIX socket.

        Args:
            probe: The probe that was answered.
            peer: Process that listens, where the system tells it.

        Raises:
            StrangerFound: If a stranger has.
            NotYet: If a leftover has, which is being ended.
        """
        if probe in self._paths and peer:
            self._raise_for([self._holder(peer)], f"socket {probe.path}", was_before=False)

    # TCP

    async def _check_addresses(self, addresses: Iterable[Address], port: int, listeners: list[ListeningSocket]) -> None:
        for address in addresses:
            found = answering((listener for listener in listeners if listener.port == port), address)
            if found and _is_local(address):
                await self._check_sockets(found, address, port)

    async def _check_sockets(self, found: list[ListeningSocket], address: Address, port: int) -> None:
        """Check the sockets that can answer one address: one of the program is enough.

        Raises:
            StrangerFound: If all are strangers'.
            NotYet: If the program may still listen there.
        """
        inodes = {listener.inode for listener in found}
        if not self._ours.isdisjoint(inodes):
            return
        if self._program is not None and (mine := _held_in_tree(self._program, inodes)):
            self._ours.update(mine)
            return
        holders = {
            inode: [self._holder(pid) for pid in pids] for inode, pids in (await _pids_that_hold(inodes)).items()
        }
        verdicts = {inode: judge(holders[inode], was_before=inode in self._before) for inode in inodes}
        if theirs := {inode for inode, verdict in verdicts.items() if verdict is Verdict.PROGRAM}:
            self._ours.update(theirs)
            return
        first = min(found, key=lambda listener: listener.inode)
        text = held_by(f"port {port}", holders[first.inode], user=_user(first.uid))
        if Verdict.ENDING in verdicts.values() or _can_share(address, port):
            raise NotYet(text)
        raise StrangerFound(text)

    async def _look(self, blocked: dict[Probe, str]) -> None:
        """Find strangers by connecting, where the system has no table of sockets."""
        if self._ours or self._spec.leftovers != "kill":
            return  # a socket of an earlier run, or one that is passed on, cannot be told from a stranger's
        for probe, (host, port) in self._endpoints.items():
            for address in reached_by(host):
                if _is_local(address) and await _accepts(_family(address), (str(address), port)) is not None:
                    blocked[probe] = held_by(f"port {port}", ())

    # UNIX sockets

    async def _look_at_path(self, probe: Unix) -> str | None:
        address = unix_address(probe.path, self._spec.cwd)
        if address in _passed_addresses(self._spec):
            self._paths.remove(probe)
            return None
        try:
            with connectable(address) as path:
                peer = await _accepts(socket.AF_UNIX, path)
        except OSError:  # its folder does not exist
            return None
        if peer is None:
            return None
        try:
            self._raise_for([self._holder(peer)] if peer else [], f"socket {probe.path}", was_before=True)
        except StrangerFound as error:
            return str(error)
        except NotYet:
            return None
        return None

    def _raise_for(self, holders: list[Holder], where: str, *, was_before: bool) -> None:
        verdict = judge(holders, was_before=was_before)
        if verdict is Verdict.ENDING:
            raise NotYet(held_by(where, holders))
        if verdict is Verdict.STRANGER:
            raise StrangerFound(held_by(where, holders))

    def _holder(self, pid: int) -> Holder:
        return holder(pid, program=self._program, id=self._spec.id)


# --- the tables and descriptors of the system


def _listeners(ports: set[int]) -> list[ListeningSocket] | None:
    """Return the TCP sockets that listen on one of the ports; None where the system has no such table."""
    if not procfs.HAS_PROC:
        return None
    tables = [_beginning(path) for path in _TABLES]
    if not tables[0]:
        return None
    return [listener for table in tables for listener in listeners_on(table, ports)]


def _beginning(path: str) -> bytes:
    """Return a table up to its last listening socket; empty when it cannot be read.

    A busy machine has many thousand connections, which follow after the listening sockets.
    """
    data = b""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        while more := os.read(descriptor, 1 << 16):
            data += more
            if ends_listeners(data):
                break
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return data


def _held_in_tree(pid: int, inodes: set[int]) -> set[int]:
    """Return those of the sockets that a process or one of its descendants holds."""
    left, seen = [pid], 0
    while left and seen < _MAX_DESCENDANTS:
        seen += 1
        pid = left.pop(0)
        if mine := _sockets_of(pid, inodes):
            return mine
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            left.extend(map(int, procfs.read(f"/proc/{pid}/task/{thread}/children").split()))
    return set()


def _sockets_of(pid: int, inodes: set[int]) -> set[int]:
    """Return those of the sockets that a process holds; none when its descriptors may not be read."""
    names = {f"socket:[{inode}]": inode for inode in inodes}
    found: set[int] = set()
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            try:
                target = os.readlink(f"{folder}/{name}")
            except OSError:  # closed meanwhile
                continue
            if target in names:
                found.add(names[target])
    except OSError:
        return set()
    return found


async def _pids_that_hold(inodes: set[int]) -> Mapping[int, list[int]]:
    """Return the processes that hold each socket, as far as their descriptors may be read. Safe to cancel."""
    holders: dict[int, list[int]] = {inode: [] for inode in inodes}
    for count, pid in enumerate(procfs.pids()):
        if count % _PER_SLICE == 0:
            await asyncio.sleep(0)
        for inode in _sockets_of(pid, inodes):
            holders[inode].append(pid)
    return holders


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _passed_descriptors(spec: Spec) -> list[int]:
    """Return the descriptors that the program gets as its standard streams, if they are sockets."""
    found: list[int] = []
    for stream in (spec.stdin, *destinations(spec)):
        number = stream if isinstance(stream, int) else getattr(stream, "fileno", None)
        try:
            descriptor = number() if callable(number) else number
            if isinstance(descriptor, int) and stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                found.append(descriptor)
        except (OSError, ValueError):
            continue
    return found


def _passed_sockets(spec: Spec) -> set[int]:
    return {os.fstat(descriptor).st_ino for descriptor in _passed_descriptors(spec)}


def _passed_addresses(spec: Spec) -> list[object]:
    found: list[object] = []
    for descriptor in _passed_descriptors(spec):
        with socket.socket(fileno=os.dup(descriptor)) as passed:
            if passed.family == socket.AF_UNIX:
                address = passed.getsockname()
                found.append(address.decode() if isinstance(address, bytes) else address)
    return found


# --- connections


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004


def _is_local(address: Address) -> bool:
    """Return whether an address belongs to this machine: nobody else can bind it."""
    if address.is_loopback:
        return True
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _can_share(address: Address, port: int) -> bool:
    """Return whether the socket that listens on a port lets others listen there too (SO_REUSEPORT), or is no obstacle.

    The socket of this test never listens, so it gets no connection.
    """
    try:
        with socket.socket(_family(address), socket.SOCK_STREAM) as test:
            test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            test.bind((str(address), port))
    except OSError:
        return False
    return True


async def connect(connection: socket.socket, address: object) -> None:
    """Connect a socket that does not block. Safe to cancel.

    Raises:
        BlockingIOError: If the queue of a UNIX listener is full.
        OSError: If nobody listens.
    """
    if connection.family == socket.AF_UNIX:
        # Never in progress. asyncio takes EAGAIN for that, and a full queue for a connection.
        connection.connect(address)  # type: ignore[arg-type]  # of its family
    else:
        await asyncio.get_running_loop().sock_connect(connection, address)  # type: ignore[arg-type]  # of its family


async def _accepts(family: int, address: object) -> int | None:
    """Return the process that accepts connections, 0 if it is not known, None if none does. Safe to cancel."""
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(0)
        try:
            async with asyncio.timeout(_LOOK):
                await connect(connection, address)
        except (TimeoutError, BlockingIOError):
            return 0  # it listens, and its queue is full
        except (OSError, ValueError):
            return None
        if family != socket.AF_UNIX and connection.getsockname() == connection.getpeername():
            return None  # a connection with itself
        return peer_of(connection) or 0


def peer_of(connection: socket.socket) -> int | None:
    """Return the process that listens at the other end of a UNIX socket; None where the system does not tell."""
    if connection.family != socket.AF_UNIX or sys.platform != "linux":
        return None
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(data)[0]
    return pid if pid > 0 and os.path.exists(f"/proc/{pid}") else None
