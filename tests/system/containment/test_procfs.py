"""Reads of /proc by a host that has no descriptor left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aioverseer._system.containment import procfs
from aioverseer._system.containment.strays import StrayRegistry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process in a session of its own, without a mark in its environment."""
    with subprocess.Popen(["sleep", "100"], env={}, start_new_session=True) as process:
        yield process.pid
        process.kill()


@pytest.fixture
def no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to open anything."""

    def refuse(path: str, _flags: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    monkeypatch.setattr(os, "open", refuse)


def test_process_that_cannot_be_read_is_not_taken_for_gone(stranger: int, no_descriptors: None) -> None:
    assert "?" == procfs.state_of(stranger)
    assert procfs.is_between_programs(stranger)
    assert (b"", 0) == (procfs.environment_of(stranger), procfs.parent_of(stranger))


def test_leftover_that_cannot_be_read_is_a_stray_by_its_limit(
    stranger: int, no_descriptors: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that found none would count as clean, and the leftover would live for ever."""
    runs = StrayRegistry()
    run = runs.begin()
    runs.end(run, 1, kept=False)
    assert runs.judge(stranger) is None
    monkeypatch.setattr(runs.limit_mark, "find", lambda _pid: (run, False))
    assert runs.judge(stranger) is True


def test_missing_process_is_gone() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert "X" == procfs.state_of(process.pid)
    assert not procfs.is_between_programs(process.pid)
