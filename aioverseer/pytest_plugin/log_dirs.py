"""Where whole logs are kept, when they are asked for: which folder each test has."""

from __future__ import annotations

import os
import re

import pytest

from aioverseer import LogFile
from aioverseer.pytest_plugin.xdist import worker_of

__all__ = ["log_for", "log_for_all_workers"]

_LONGEST = 200
"""Bytes of a folder's name that come from the test: file systems take 255."""

_taken = pytest.StashKey[dict[str, str]]()
"""Whose folder each one is."""


def log_for(request: pytest.FixtureRequest) -> LogFile | None:
    """Return where all lines go, when ``--aioverseer-logs`` was given: a folder for each test, a file for each id.

    What a worker of pytest-xdist writes, no other one writes to.
    """
    return _log(request.config, request.node.nodeid or "session", worker_of(request.config))


def log_for_all_workers(config: pytest.Config) -> LogFile | None:
    """Return the same for a service that the workers share."""
    return _log(config, "shared", None)


def _log(config: pytest.Config, what: str, worker: str | None) -> LogFile | None:
    folder: str | None = config.getoption("--aioverseer-logs")
    if folder is None:
        return None
    # Not where a test happens to be at the moment.
    path = os.path.join(config.invocation_params.dir, folder, _folder_of(config, what, worker))
    os.makedirs(path, exist_ok=True)
    return LogFile(os.path.join(path.replace("{", "{{").replace("}", "}}"), "{id}.log"))


def _folder_of(config: pytest.Config, what: str, worker: str | None) -> str:
    """Return a name that tells what it is of, and is of nothing else."""
    taken = config.stash.setdefault(_taken, {})
    stem = os.fsencode(re.sub(r"[^\w.=,-]+", "_", what))[:_LONGEST].decode(errors="ignore")
    end = "" if worker is None else f"-{worker}"
    name, number = stem + end, 1
    while taken.setdefault(name, what) != what:
        number += 1
        name = f"{stem}-{number}{end}"
    return name
