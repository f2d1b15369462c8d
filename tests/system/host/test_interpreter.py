"""Whether ``sys.executable`` runs Python programs, and what a host does where it is the application itself."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

from aioverseer import Overseer, State
from aioverseer._system.containment.shim import client as shim_client
from aioverseer._system.host.interpreter import missing_interpreter
from tests.support.programs import limit


@pytest.fixture(name="runs")
def runs_fixture(tmp_path: Path) -> Path:
    """Return the file in which the application of ``application`` records its runs."""
    return tmp_path / "runs"


@pytest.fixture(name="application")
def application_fixture(tmp_path: Path, runs: Path) -> str:
    """Return the path of an application that is no interpreter."""
    path = tmp_path / "application"
    path.write_text(f"#!/bin/sh\necho \"$@\" >> '{runs}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("is_frozen", [True, False])
async def test_application_is_not_run_a_second_time(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    application: str,
    runs: Path,
    *,
    is_frozen: bool,
) -> None:
    """It would start a guardian of its own, which would be the application again, and so on."""
    monkeypatch.setattr(sys, "executable", application)
    if is_frozen:
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    with caplog.at_level(logging.WARNING, "aioverseer"):
        async with limit(), Overseer() as overseer:
            assert State.RUNNING is (await overseer.add("a", "sleep", "60").start()).state
            assert "basic" == overseer.containment.level
            assert f"{application!r}" in overseer.containment.reason
    assert not runs.exists()
    assert f"{application!r}" in str(shim_client.missing())
    assert 1 == sum(application in record.message for record in caplog.records)


@pytest.mark.parametrize("name", ["python", "python3.13", "pypy3", "mayapy"])
def test_interpreters_are_known_by_their_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "executable", f"/opt/bin/{name}")
    assert missing_interpreter() is None


def test_link_to_an_interpreter_may_have_any_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    link = tmp_path / "worker"
    link.symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setattr(sys, "executable", str(link))
    assert missing_interpreter() is None
