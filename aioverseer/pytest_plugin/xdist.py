"""The identity of a run of pytest, and of a worker of pytest-xdist.

Both come from pytest's configuration. The environment variables of pytest-xdist would be inherited by a pytest that a
test starts.
"""

from __future__ import annotations

import os

import pytest

__all__ = ["run_id", "worker_id"]

_run_id = pytest.StashKey[str]()


def run_id(config: pytest.Config) -> str:
    """Return the id that all workers of this run share, and no other run has."""
    if worker := _workerinput(config):
        return worker["testrunuid"]
    if _run_id not in config.stash:
        config.stash[_run_id] = os.urandom(16).hex()
    return config.stash[_run_id]


def worker_id(config: pytest.Config) -> str | None:
    """Return the name of this worker; None without pytest-xdist."""
    return _workerinput(config).get("workerid")


def _workerinput(config: pytest.Config) -> dict[str, str]:
    found: dict[str, str] = getattr(config, "workerinput", {})
    return found
