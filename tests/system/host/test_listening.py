"""Listening sockets of the host: what is bound, taken over, removed, and said when it cannot be."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aioverseer import SpawnError, listen
from aioverseer._system.host.listening import OpenListener, open_listening
from aioverseer.testing import Ports


def opened(held: Any, **environment: str) -> OpenListener:
    """Open a socket of the service web."""
    return open_listening("web", "http", held, environment)


def of(listening: OpenListener) -> socket.socket:
    """A copy as a socket object, to look at it."""
    return socket.socket(fileno=os.dup(listening.descriptor))


def connects(address: Any, family: int = socket.AF_INET) -> bool:
    """Whether somebody listens."""
    with socket.socket(family) as asking:
        return asking.connect_ex(address) == 0


@pytest.fixture(name="port")
def port_fixture() -> Any:
    """A free port."""
    ports = Ports()
    taken = ports.reserve()
    yield taken
    ports.release(taken)


def test_tcp_socket_listens_until_it_is_closed(port: int) -> None:
    listening = opened(listen.tcp(port))
    with of(listening) as copy:
        assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not copy.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        assert not os.get_inheritable(listening.descriptor)
        assert os.get_blocking(listening.descriptor)
        assert listening.descriptor >= 32  # a program expects no such number
    assert connects(("127.0.0.1", port))
    listening.close()
    listening.close()
    assert not connects(("127.0.0.1", port))
    opened(listen.tcp(port)).close()  # at once, although a connection has just ended


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6")
def test_two_colons_are_both_kinds_of_addresses(port: int) -> None:
    listening = opened(listen.tcp(port, host="::"))
    assert connects(("127.0.0.1", port))
    assert connects(("::1", port), socket.AF_INET6)
    listening.close()
    only = opened(listen.tcp(port, host="::1"))
    assert not connects(("127.0.0.1", port))
    only.close()


def test_file_is_made_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listening = opened(listen.unix(path, mode=0o620))
    assert 0o620 == stat.S_IMODE(path.stat().st_mode)
    assert connects(str(path), socket.AF_UNIX)
    listening.close()
    assert not path.exists()


def test_name_of_the_abstract_namespace_leaves_no_file() -> None:
    listening = opened(listen.unix(f"@aioverseer-test-{os.getpid()}"))
    assert connects(f"\0aioverseer-test-{os.getpid()}", socket.AF_UNIX)
    listening.close()
    assert not connects(f"\0aioverseer-test-{os.getpid()}", socket.AF_UNIX)


def test_file_of_somebody_else_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listening = opened(listen.unix(path))
    path.unlink()
    path.write_text("another one")
    listening.close()
    assert "another one" == path.read_text()


def test_file_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    """An overseer that was killed has left it."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    listening = opened(listen.unix(path))
    assert connects(path, socket.AF_UNIX)
    listening.close()


@pytest.mark.parametrize("kind", ["file", "listener"])
def test_file_in_use_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "listener":
            other.bind(str(path))
            other.listen()
        else:
            path.write_text("data")
        with pytest.raises(SpawnError, match="is in use or no socket: end the program") as caught:
            opened(listen.unix(path))
        assert (errno.EADDRINUSE, True) == (caught.value.errno, path.exists())


def test_each_refusal_says_what_to_do(port: int, tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with socket.create_server(("127.0.0.1", port)):
        cases: list[tuple[Any, int, str]] = [
            (listen.tcp(port), errno.EADDRINUSE, "another program listens there: end it, or take another port"),
            (listen.tcp(port, host="192.0.2.1"), errno.EADDRNOTAVAIL, "this machine has no such address"),
            (listen.unix(tmp_path / "no" / "s"), errno.ENOENT, "No such file or directory"),
            (listen.unix("x" * 108), errno.ENAMETOOLONG, "a socket has 107 bytes at most"),
            (listen.inherited("http"), errno.ENOENT, "systemd has passed no socket to this process"),
        ]
        for held, number, words in cases:
            with pytest.raises(SpawnError) as caught:
                opened(held)
            assert number == caught.value.errno
            assert str(caught.value).startswith(f"service 'web' cannot be started with listen={{'http': {held}}}: ")
            assert words in str(caught.value)
    assert before == os.listdir("/proc/self/fd")


# --- sockets of systemd: in a process of their own, as they are descriptors 3, 4 and 5

SYSTEMD = """
import os, socket, sys
from aioverseer import SpawnError, listen
from aioverseer._system.host.listening import open_listening
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
ports = [opened.getsockname()[1] for opened in sockets]
for number, opened in enumerate([os.dup(opened.fileno()) for opened in sockets], 3):
    os.dup2(opened, number)
names = {"LISTEN_FDS": "3", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "http:admin:admin"}
for _ in range(2):  # it can be taken again
    taken = open_listening("web", "x", listen.inherited("http"), names)
    assert socket.socket(fileno=os.dup(taken.descriptor)).getsockname()[1] == ports[0]
    assert taken.descriptor > 5 and not os.get_inheritable(3)
    taken.close()
os.fstat(3)
unnamed = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
open_listening("web", "x", listen.inherited("unknown"), unnamed).close()
for name, given, words in (
    ("admin", names, "2 sockets have that name: give each"),
    ("other", names, "no socket of that name: give each a FileDescriptorName= of its own; passed: http, admin"),
    ("http", {**names, "LISTEN_PID": "1"}, "passed no socket to this process"),
):
    try:
        open_listening("web", "x", listen.inherited(name), given)
    except SpawnError as error:
        assert words in str(error), error
    else:
        raise AssertionError(name)
os._exit(0)  # without the clean-up of sockets that dup2 has replaced
"""


def test_socket_of_systemd_is_taken_by_its_name() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", SYSTEMD], capture_output=True, text=True, check=False, cwd=root)
    assert (0, "") == (done.returncode, done.stderr)
