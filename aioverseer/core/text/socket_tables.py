"""Parsing of /proc/net/tcp and /proc/net/tcp6, the kernel's tables of TCP sockets.

Each table begins with the sockets that listen (Documentation/networking/proc_net_tcp.rst of Linux), one socket a line.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Address", "ListeningSocket", "answering", "as_address", "ends_listeners", "listeners_on", "reached_by"]

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_ADDRESS, _STATE, _USER, _INODE = 1, 3, 7, 9
"""Indexes of fields in a line, counted from 0."""
_LISTENS = b"0A"
_LOOPBACK, _LOOPBACK6 = ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListeningSocket:
    """A TCP socket that listens.

    Attributes:
        address: Local address; the unspecified address of a family listens on all of them.
        port: Local port.
        inode: Number of the socket, which no other socket has.
        uid: User id of the owner.
    """

    address: Address
    port: int
    inode: int
    uid: int


def as_address(text: str) -> Address | None:
    """Return an address of text, with an IPv4 address inside of IPv6 as IPv4; None when the text is a name."""
    try:
        return _plain(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def reached_by(host: str) -> tuple[Address, ...]:
    """Return the addresses that a connection to a host can reach; none when a resolver is needed to know.

    ``localhost`` is the loopback of either family (RFC 6761, 6.3), and the kernel leads a connection to the unspecified
    address to the loopback.
    """
    if host == "localhost":
        return (_LOOPBACK, _LOOPBACK6)
    address = as_address(host)
    if address is None:
        return ()
    if address.is_unspecified:
        return (_LOOPBACK if address.version == _LOOPBACK.version else _LOOPBACK6,)
    return (address,)


def listeners_on(table: bytes, ports: Iterable[int]) -> list[ListeningSocket]:
    """Return the sockets of a table that listen on one of the ports. Lines that cannot be understood are skipped.

    Args:
        table: Content of /proc/net/tcp or /proc/net/tcp6, or the beginning of it.
        ports: Numbers of ports.
    """
    wanted = tuple(f":{port:04X} ".encode() for port in ports)
    found: list[ListeningSocket] = []
    for line in table.splitlines():
        # Most lines are about other ports: looking for the text first is faster than splitting each line.
        if not any(port in line for port in wanted):
            continue
        fields = line.split()
        if len(fields) <= _INODE or fields[_STATE] != _LISTENS:
            continue
        address, _, port = fields[_ADDRESS].partition(b":")
        if b":%b " % port not in wanted:
            continue
        try:
            found.append(
                ListeningSocket(
                    address=_read_address(address),
                    port=int(port, 16),
                    inode=int(fields[_INODE]),
                    uid=int(fields[_USER]),
                )
            )
        except (ValueError, OverflowError):
            continue
    return found


def ends_listeners(table: bytes) -> bool:
    """Return whether the last whole line of a table is about a socket that does not listen, so none follows."""
    lines = table.rpartition(b"\n")[0].rsplit(b"\n", 1)
    fields = lines[-1].split()
    return len(lines) > 1 and len(fields) > _INODE and fields[_STATE] != _LISTENS


def answering(listeners: Iterable[ListeningSocket], address: Address) -> list[ListeningSocket]:
    """Return the sockets that can answer a connection to an address, of those on its port.

    A socket on the address itself comes before one on all addresses, and one of the same family before one of IPv6
    that also accepts IPv4. Several sockets remain if they share an address (SO_REUSEPORT).
    """
    best: list[ListeningSocket] = []
    least = _NEVER
    for listener in listeners:
        rank = _rank(listener.address, address)
        if rank < least:
            best, least = [], rank
        if rank == least != _NEVER:
            best.append(listener)
    return best


_NEVER = 3


def _rank(local: Address, address: Address) -> int:
    if local == address:
        return 0
    if not local.is_unspecified:
        return _NEVER
    if local.version == address.version:
        return 1
    return 2 if local.version > address.version else _NEVER


def _read_address(text: bytes) -> Address:
    """Return the address of a line.

    Raises:
        ValueError: If the text is no address.
        OverflowError: If a number of it is negative.
    """
    # The kernel prints 32-bit numbers of the machine, each of which holds four bytes in network order.
    words = [int(text[place : place + 8], 16) for place in range(0, len(text), 8)]
    return _plain(ipaddress.ip_address(b"".join(word.to_bytes(4, sys.byteorder) for word in words)))


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
