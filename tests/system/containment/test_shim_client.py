"""The host's side of a shim: its socket, and what it needs."""

from __future__ import annotations

import importlib.machinery
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from aioverseer._system.containment.guardian import client as guardian_client
from aioverseer._system.containment.shim import client as shim_client
from aioverseer._system.containment.shim.client import Shim

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")


@pytest.fixture(name="shim")
def shim_fixture() -> Iterator[Shim]:
    """A shim whose program is not started."""
    shim = Shim("kill")
    yield shim
    shim.close()


def test_full_socket_leaves_the_signal_to_the_caller(shim: Shim) -> None:
    """A stopped shim has not read thousands of requests."""
    sent = 0
    while shim.relay(signal.SIGKILL, leader_only=False):
        sent += 1
    assert sent > 100
    assert not shim.relay(signal.SIGTERM, leader_only=True)


def test_ended_shim_is_no_process(shim: Shim) -> None:
    """Its end of the sockets is closed."""
    shim.adopted()
    with pytest.raises(ProcessLookupError, match="the shim has ended"):
        shim.relay(signal.SIGKILL, leader_only=False)


@linux
def test_shim_needs_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded Python may have none."""
    monkeypatch.setattr(sys, "executable", "")
    assert "no Python interpreter" in str(shim_client.missing())


@linux
def test_shim_needs_ctypes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python may be built without it."""

    def none(*_: Any) -> None:
        return None

    monkeypatch.setattr(importlib.machinery.PathFinder, "find_spec", none)
    monkeypatch.setattr(sys, "builtin_module_names", ())
    assert "has no ctypes" in str(shim_client.missing())


def test_guardian_needs_the_files_of_its_program(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    """A program frozen into one file does not have them."""
    gone = os.path.join(tmp_path, "boot.py")
    monkeypatch.setattr(guardian_client, "_PARTS", (gone,))
    assert f"the guardian's program {gone!r} is not there" == guardian_client.missing()
