"""Keepers: one for all clients with the same name, until the last client has left."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aioverseer.testing import Keeper

PROGRAM = """
import contextlib, os, selectors, socket, sys

def has_gone(held):
    try:
        return not (os.read(held, 100) if held == 0 else held.recv(100))
    except ConnectionResetError:
        return True

listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("listening", flush=True)
os.close(1)
waiting = selectors.DefaultSelector()
waiting.register(listening, selectors.EVENT_READ)
waiting.register(0, selectors.EVENT_READ)
held, gone = {0}, set()
while held:
    for key, _ in waiting.select():
        if key.fileobj is listening:
            other, _ = listening.accept()
            with contextlib.suppress(OSError):  # a client that only tests the connection
                other.sendall(b"%d\\n" % os.getpid())
            held.add(other)
            waiting.register(other, selectors.EVENT_READ)
        elif has_gone(key.fileobj):
            waiting.unregister(key.fileobj)
            held.remove(key.fileobj)
            gone |= {key.fileobj} - {0}
            while gone and held - {0}:  # the last clients see the end of this process
                left = gone.pop()
                with contextlib.suppress(OSError):
                    left.sendall(b"stays")
                left.close()
os._exit(0)  # connections end at the same moment as the process
"""


@contextmanager
def keeper(name: str, folder: Path, program: str = PROGRAM) -> Generator[int]:
    """Connect to the keeper of this name, and yield its process id."""
    has_ended = True
    found = Keeper(name, [sys.executable, "-S", "-c", program], b"hello", folder=folder)
    try:
        with found.connection.makefile() as answers:
            yield int(answers.readline())
            found.release()
            found.connection.shutdown(socket.SHUT_WR)
            has_ended = answers.read() != "stays"
    finally:
        found.leave(has_ended=has_ended)


def test_clients_with_the_same_name_share_a_keeper(tmp_path: Path) -> None:
    """A name may have any length, and each character counts."""
    for same, other in (("x" * 300, "y" + "x" * 299), ("a/b", "a_b")):
        with keeper(same, tmp_path) as first, keeper(same, tmp_path) as second, keeper(other, tmp_path) as third:
            assert first == second != third


def test_client_that_started_the_keeper_may_leave_first(tmp_path: Path) -> None:
    """The keeper is no child of that client, so there is no zombie to reap."""
    starter = keeper("name", tmp_path)
    pid = starter.__enter__()
    with keeper("name", tmp_path) as other:
        starter.__exit__(None, None, None)
        with keeper("name", tmp_path) as later:
            assert pid == other == later
    assert [] == list(tmp_path.iterdir())


def test_failed_start_has_the_output_of_the_keeper(tmp_path: Path) -> None:
    """The error is raised for the client that started it."""
    with (
        pytest.raises(OSError, match="the keeper of 'name' has not begun: out of cheese"),
        keeper("name", tmp_path, "print('out of cheese')"),
    ):
        pass


def test_missing_socket_file_does_not_disturb_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper is about to end; files of that name may belong to the next keeper already."""
    with keeper("name", tmp_path) as first:
        real = Path.stat

        def gone(path: Path, **options: bool) -> os.stat_result:
            return real(path if path == tmp_path else path.with_name("nowhere"), **options)

        monkeypatch.setattr(Path, "stat", gone)
        late = keeper("name", tmp_path)
        assert first == late.__enter__()
        monkeypatch.undo()
        late.__exit__(None, None, None)
        assert list(tmp_path.iterdir())
    assert [] == list(tmp_path.iterdir())
