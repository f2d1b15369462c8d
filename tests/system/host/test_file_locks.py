"""File locks: a name has one owner at a time, even if the file is removed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from aioverseer._system.host.file_locks import locked, make_private, open_locked, private_folder


def test_file_removed_while_waiting_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner has removed it, and a third process holds a new file of that name."""
    path = tmp_path / "lock"
    real = fcntl.flock
    third: list[int | None] = []

    def late(descriptor: int, kind: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        path.unlink()
        third.append(open_locked(path))
        real(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    assert open_locked(path, wait=False) is None
    assert third[0] is not None
    os.close(third[0])
    with locked(path) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), path.stat())


def test_shared_lock_keeps_an_exclusive_one_out(tmp_path: Path) -> None:
    """And an exclusive lock keeps a shared one out."""
    one, two = open_locked(tmp_path / "lock", shared=True), open_locked(tmp_path / "lock", shared=True, wait=False)
    assert open_locked(tmp_path / "lock", wait=False) is None
    for descriptor in (one, two):
        assert descriptor is not None
        os.close(descriptor)
    with locked(tmp_path / "lock"):
        assert open_locked(tmp_path / "lock", shared=True, wait=False) is None


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """Others could put any file in it."""
    folder = tmp_path / "folder"
    make_private(folder)
    make_private(folder)
    folder.chmod(mode)
    with pytest.raises(PermissionError, match=r"folder belongs to another user, or others can write to it: remove it"):
        make_private(folder)


def test_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Wherever the link points."""
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        make_private(tmp_path / "link")


def test_folder_with_too_long_a_path_moves_to_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a socket has a hundred bytes at most."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 100)))
    assert private_folder("kind").parent == tmp_path / ("x" * 100)
    assert private_folder("kind", longest=70).parent == Path("/tmp")


def test_file_removed_while_waiting_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner has removed it, and nobody else has made a new one."""
    path = tmp_path / "lock"
    real = fcntl.flock

    def late(descriptor: int, kind: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        path.unlink()
        real(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(path) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), path.stat())
