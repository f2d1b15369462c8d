"""PortPool: a port for each run."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from aioverseer import SpawnError
from aioverseer._system.host.free_ports import is_free, quiet_ports
from aioverseer._system.host.port_pool import PortPool


@pytest.fixture
def free() -> range:
    """Three free ports in a row."""
    ports = quiet_ports()
    for first in range(ports[-4], ports[0], -1):
        found = range(first, first + 3)
        if all(map(is_free, found)):
            return found
    raise AssertionError("no three free ports in a row")


@pytest.fixture
def listener(free: range) -> Iterator[socket.socket]:
    """A socket that listens on the second one."""
    with socket.create_server(("127.0.0.1", free[1])) as server:
        yield server


def test_each_owner_gets_a_port_of_its_own(free: range) -> None:
    pool = PortPool()
    assert list(free) == [pool.take(free, f"web.{number}") for number in range(3)]
    with pytest.raises(SpawnError) as caught:
        pool.take(free, "web.3")
    assert errno.EADDRINUSE == caught.value.errno
    held = ", ".join(f"{port} by 'web.{number}'" for number, port in enumerate(free))
    assert f"'web.3' gets no port: none of {free} is free (3 held: {held}): pass a larger port=range(...)" == str(
        caught.value
    )
    pool.give_back(free[1])
    assert free[1] == pool.take(free, "web.3")


def test_a_port_that_was_given_back_comes_last(free: range) -> None:
    pool = PortPool()
    first = pool.take(free, "a")
    pool.give_back(first)
    assert [free[1], free[2], first] == [pool.take(free, "a") for _ in range(3)]


def test_ranges_share_their_ports(free: range) -> None:
    pool = PortPool()
    pool.take(free, "a")
    assert free[1] == pool.take(free[:2], "b")
    with pytest.raises(SpawnError):
        pool.take(free[:1], "c")


def test_ports_of_other_programs_are_left_out(free: range, listener: socket.socket) -> None:
    pool = PortPool()
    assert listener.getsockname()[1] == free[1]
    assert [free[0], free[2]] == [pool.take(free, "a") for _ in range(2)]
    with pytest.raises(SpawnError, match="1 in use by programs outside of this overseer"):
        pool.take(free, "a")


def test_any_port_is_outside_of_the_range_of_the_kernel() -> None:
    pool = PortPool()
    ports = [pool.take(None, "a") for _ in range(5)]
    assert 5 == len(set(ports))
    assert set(ports) <= set(quiet_ports())


def test_a_connection_in_time_wait_does_not_take_a_port_away(free: range) -> None:
    """A server that closes first leaves its port in TIME_WAIT."""
    with (
        socket.create_server(("127.0.0.1", free[0])) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        accepted, _ = server.accept()
        accepted.close()
        assert b"" == client.recv(1)
    assert is_free(free[0], reuse=True)
