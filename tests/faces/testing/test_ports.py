"""Ports of the loopback interface: reserved once, and released."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from aioverseer.testing import Ports


def test_ports_reserved_at_the_same_time_differ(tmp_path: Path) -> None:
    """In one process and in two."""
    one, two = Ports(folder=tmp_path), Ports(folder=tmp_path)
    found = [ports.reserve() for _ in range(20) for ports in (one, two)]
    code = f"""
from pathlib import Path
from aioverseer.testing import Ports
ports = Ports(folder=Path({str(tmp_path)!r}))
print(*(ports.reserve() for _ in range(20)))
"""
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 60 == len({*found, *map(int, other.stdout.split())})
    one.release()
    two.release()


def test_port_in_use_is_skipped(tmp_path: Path) -> None:
    """A server listens on the port without having reserved it."""
    ports = Ports(folder=tmp_path)
    port = ports.reserve()
    ports.release(port)
    with socket.create_server(("127.0.0.1", port)):
        assert port != ports.reserve()
    ports.release()


def test_released_port_comes_last(tmp_path: Path) -> None:
    """Other processes get other ports first, as the server of the last test may still be ending."""
    one, two = Ports(folder=tmp_path), Ports(folder=tmp_path)
    port = one.reserve()
    one.release()
    assert port + 1 == two.reserve()
    one._range = two._range = range(port, port + 3)
    assert [port + 2, port] == [one.reserve(), two.reserve()]
    one.release()
    two.release()


def test_port_in_time_wait_is_not_free(tmp_path: Path) -> None:
    """A server without SO_REUSEADDR could not bind it."""
    ports = Ports(folder=tmp_path)
    port = ports.reserve()
    ports.release()
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT for a minute
        assert client.recv(1) == b""
    ports._range = range(port, port + 2)
    assert port + 1 == ports.reserve()
    with pytest.raises(OSError, match="is free"):
        ports.reserve()
    ports.release()


def test_release_leaves_no_files_and_no_descriptors(tmp_path: Path) -> None:
    """Only the one lock file stays."""
    ports = Ports("run", folder=tmp_path)
    before = os.listdir("/proc/self/fd") if sys.platform == "linux" else []
    port, named = ports.reserve(), ports.reserve("name")
    ports.release(port)
    assert port != ports.reserve()
    assert named == ports.reserve("name")
    ports.release()
    ports.release()
    assert ["lock"] == os.listdir(tmp_path)
    assert len(before) == (len(os.listdir("/proc/self/fd")) if before else 0)


@pytest.mark.parametrize("names", [("a/b", "a_b"), ("x" * 300 + "1", "x" * 300 + "2"), ("[a]*", "ä\0")])
def test_port_names_may_be_any_text(tmp_path: Path, names: tuple[str, str]) -> None:
    """Two names have two ports."""
    ports = Ports("run/*", folder=tmp_path)
    first, second = map(ports.reserve, names)
    assert first != second
    other = Ports("run/*", folder=tmp_path)
    assert [first, second] == [other.reserve(name) for name in names]
    other.release()
    ports.release()


def test_named_port_of_a_killed_process_is_not_handed_out_twice(tmp_path: Path) -> None:
    """Another holder may have reserved the port meanwhile; files of killed runs are removed."""

    def kill(run: str) -> int:
        killed = Ports(run, folder=tmp_path)
        port = killed.reserve("redis")
        os.close(killed._held[port])  # as the kernel does when the process is killed
        return port

    port = kill("run")
    ports = Ports("run", folder=tmp_path)
    ports._range = range(port, port + 2)
    assert {port, port + 1} == {ports.reserve(), ports.reserve()}
    ports._range = range(port, port + 4)
    assert ports.reserve("redis") not in {port, port + 1}
    ports.release()
    assert ["lock"] == os.listdir(tmp_path)

    kill("killed run")
    assert ports.reserve("other")
    assert 1 == len(list(tmp_path.glob("*.name")))
    ports.release()


def test_named_port_is_shared_in_its_run_while_a_process_holds_it(tmp_path: Path) -> None:
    """Another run gets another port."""
    first, second, other, third = (Ports(run, tmp_path) for run in ("run", "run", "other", "run"))
    port = first.reserve("redis")
    assert (port, True) == (second.reserve("redis"), port != other.reserve("redis"))
    first.release()
    assert port == third.reserve("redis")
    assert port not in {other.reserve() for _ in range(5)}
    for ports in (second, other, third):
        ports.release()


def test_no_free_port_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the range."""
    monkeypatch.setattr("aioverseer.testing.ports.is_free", lambda port: False)
    with pytest.raises(OSError, match=r"no port between \d+ and \d+ is free"):
        Ports(folder=tmp_path).reserve()


def test_named_port_belongs_to_the_object_without_a_run(tmp_path: Path) -> None:
    """Nothing is shared with other processes, nor with another object."""
    one, two = Ports(folder=tmp_path), Ports(folder=tmp_path)
    port = one.reserve("db")
    assert port == one.reserve("db")
    assert port != two.reserve("db")
    one.release()
    two.release()


def test_release_is_idempotent(tmp_path: Path) -> None:
    """A port that was never reserved counts as released."""
    ports = Ports(folder=tmp_path)
    port = ports.reserve()
    ports.release(port)
    ports.release(port, 1)
    assert {} == ports._held
