"""Keepers: one for all who give the same name, and gone with the last of them."""

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
            with contextlib.suppress(OSError):  # who only looks whether this is there
                other.sendall(b"%d\\n" % os.getpid())
            held.add(other)
            waiting.register(other, selectors.EVENT_READ)
        elif has_gone(key.fileobj):
            waiting.unregister(key.fileobj)
            held.remove(key.fileobj)
            gone |= {key.fileobj} - {0}
            while gone and held - {0}:  # the last ones are told by the end of this
                left = gone.pop()
                with contextlib.suppress(OSError):
                    left.sendall(b"stays")
                left.close()
os._exit(0)  # so that the end of its connections is that of the process
"""


@contextmanager
def keeper(name: str, folder: Path, program: str = PROGRAM) -> Generator[int]:
    """The process id of the keeper of that name."""
    has_ended = True
    found = Keeper(name, [sys.executable, "-S", "-c", program], b"hello", folder=folder)
    try:
        with found.connection.makefile() as said:
            yield int(said.readline())
            found.let_go()
            found.connection.shutdown(socket.SHUT_WR)
            has_ended = said.read() != "stays"
    finally:
        found.leave(has_ended=has_ended)


def test_those_who_give_the_same_name_have_the_same(tmp_path: Path) -> None:
    """Of any length; and with another name, another one, in whichever letter it differs."""
    for same, other in (("x" * 300, "y" + "x" * 299), ("a/b", "a_b")):
        with keeper(same, tmp_path) as first, keeper(same, tmp_path) as second, keeper(other, tmp_path) as third:
            assert first == second != third


def test_who_has_started_it_may_leave_before_the_others(tmp_path: Path) -> None:
    """It is nobody's child, so there is nothing to wait for."""
    starter = keeper("name", tmp_path)
    pid = starter.__enter__()
    with keeper("name", tmp_path) as other:
        starter.__exit__(None, None, None)
        with keeper("name", tmp_path) as later:
            assert pid == other == later
    assert [] == list(tmp_path.iterdir())


def test_keeper_that_cannot_begin_says_why(tmp_path: Path) -> None:
    """In the error of who wanted it."""
    with (
        pytest.raises(OSError, match="the keeper of 'name' has not begun: out of cheese"),
        keeper("name", tmp_path, "print('out of cheese')"),
    ):
        pass


def test_one_whose_socket_is_gone_is_left_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is about to end, so the files of that name may be those of the next one already."""
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
