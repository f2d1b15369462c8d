"""Which run of pytest this is, and which of its workers: what those of pytest-xdist have in common, and what not.

It is asked of pytest and not of the environment, which a pytest within a test of another one inherits.
"""

from __future__ import annotations

import os

import pytest

__all__ = ["run_of", "worker_of"]

_run = pytest.StashKey[str]()


def run_of(config: pytest.Config) -> str:
    """Return what all workers of this run have in common, and no other run has."""
    if worker := _workerinput(config):
        return worker["testrunuid"]
    if _run not in config.stash:
        config.stash[_run] = os.urandom(16).hex()
    return config.stash[_run]


def worker_of(config: pytest.Config) -> str | None:
    """Return the name of this worker; None without pytest-xdist."""
    return _workerinput(config).get("workerid")


def _workerinput(config: pytest.Config) -> dict[str, str]:
    found: dict[str, str] = getattr(config, "workerinput", {})
    return found
