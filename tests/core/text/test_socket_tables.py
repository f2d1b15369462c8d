"""The kernel's tables of TCP sockets as values."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer.core.text.socket_tables import (
    ListeningSocket,
    answering,
    as_address,
    ends_listeners,
    listeners_on,
    reached_by,
)

HEAD = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
REST = b" 00000000:00000000 00:00000000 00000000   %d        0 %d 1 000000006205b61a 100 0 0 10 0\n"
little = pytest.mark.skipif(sys.byteorder != "little", reason="the kernel prints numbers of the machine")


def line(address: bytes, state: bytes, *, uid: int = 0, inode: int = 1) -> bytes:
    """Return a line of a table."""
    return b"   0: " + address + b" " + b"0" * 8 + b":0000 " + state + REST % (uid, inode)


def listener(address: str, inode: int = 1) -> ListeningSocket:
    """Return a socket that listens on port 80."""
    return ListeningSocket(address=ipaddress.ip_address(address), port=80, inode=inode, uid=0)


@little
def test_sockets_that_listen_on_a_port_are_found() -> None:
    """Neither those on other ports nor connections of that port."""
    table = HEAD + b"".join(
        (
            line(b"0100007F:1F90", b"0A", uid=26, inode=7),
            line(b"00000000:1F91", b"0A", inode=8),
            line(b"00000000000000000000000001000000:1F90", b"0A", inode=9),
            line(b"0000000000000000FFFF00000100007F:1F90", b"0A", inode=10),
            line(b"0100007F:1F90", b"01", inode=11),
        )
    )
    found = listeners_on(table, {8080})
    assert [("127.0.0.1", 7, 26), ("::1", 9, 0), ("127.0.0.1", 10, 0)] == [
        (str(one.address), one.inode, one.uid) for one in found
    ]
    assert [8] == [one.inode for one in listeners_on(table, {8081, 8082})]


def test_table_of_this_machine_is_understood() -> None:
    """The real one, for both families."""
    if not os.path.exists("/proc/net/tcp"):
        pytest.skip("this system has no /proc/net/tcp")
    families = [(socket.AF_INET, "127.0.0.1", "tcp")]
    if socket.has_ipv6:
        families.append((socket.AF_INET6, "::1", "tcp6"))
    for family, address, name in families:
        with socket.create_server((address, 0), family=family) as server:
            port = server.getsockname()[1]
            with open(f"/proc/net/{name}", "rb") as file:
                (found,) = listeners_on(file.read(), {port})
            assert (address, port, os.getuid()) == (str(found.address), found.port, found.uid)
            assert os.fstat(server.fileno()).st_ino == found.inode


@given(st.binary(max_size=200), st.sets(st.integers(1, 65535), max_size=2))
def test_any_text_is_read_without_an_error(text: bytes, ports: set[int]) -> None:
    """Another kernel may print something else."""
    for port in ports:
        for address in (text[:8], b"-100007F", b"zz00007F", b"", b"0100007F00"):
            table = HEAD + line(address + b":%04X" % port, b"0A") + text
            assert isinstance(listeners_on(table, ports), list)
    assert isinstance(ends_listeners(HEAD + text), bool)


def test_first_connection_ends_the_listening_sockets() -> None:
    """The rest of the table need not be read. A line that is cut off tells nothing."""
    one, other = line(b"0100007F:1F90", b"0A"), line(b"0100007F:1F90", b"01")
    assert not ends_listeners(HEAD)
    assert not ends_listeners(HEAD + one)
    assert not ends_listeners(HEAD + one + other[:-10])
    assert ends_listeners(HEAD + one + other)
    assert ends_listeners(HEAD + one + other + one[:30])


@pytest.mark.parametrize(
    ("address", "there", "first"),
    [
        ("127.0.0.1", ["127.0.0.1", "0.0.0.0"], ["127.0.0.1"]),
        ("127.0.0.1", ["127.0.0.2", "::1"], []),
        ("127.0.0.1", ["0.0.0.0", "::"], ["0.0.0.0"]),
        ("127.0.0.1", ["::"], ["::"]),
        ("::1", ["0.0.0.0", "127.0.0.1"], []),
        ("::1", ["::", "0.0.0.0"], ["::"]),
        ("10.0.0.1", ["127.0.0.1", "0.0.0.0"], ["0.0.0.0"]),
    ],
)
def test_socket_nearest_to_an_address_answers(address: str, there: list[str], first: list[str]) -> None:
    """As the kernel chooses it: the address itself, then all addresses of its family, then IPv6 for IPv4."""
    target = ipaddress.ip_address(address)
    for order in (there, there[::-1]):
        assert first == [str(one.address) for one in answering(map(listener, order), target)]


def test_sockets_that_share_an_address_all_answer() -> None:
    """With SO_REUSEPORT."""
    one, two = listener("127.0.0.1", 1), listener("127.0.0.1", 2)
    assert [one, two] == answering([one, listener("0.0.0.0", 3), two], ipaddress.ip_address("127.0.0.1"))


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("localhost", ["127.0.0.1", "::1"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("::", ["::1"]),
        ("::ffff:127.0.0.1", ["127.0.0.1"]),
        ("fe80::1%eth0", ["fe80::1"]),
        ("db.example.com", []),
    ],
)
def test_addresses_that_a_host_stands_for(host: str, reached: list[str]) -> None:
    """A name needs a resolver, so it stands for none yet."""
    assert reached == [str(address) for address in reached_by(host)]
    assert (as_address(host) is None) == (host in ("localhost", "db.example.com"))
