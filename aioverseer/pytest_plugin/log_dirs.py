"""``--aioverseer-logs``: a folder for the log files of each test."""

from __future__ import annotations

import os
import re

import pytest

from aioverseer import LogFile
from aioverseer.pytest_plugin.xdist import worker_id

__all__ = ["log_for", "log_for_all_workers"]

_MAX_STEM_BYTES = 200
"""Bytes of a folder's name that come from the test. Most file systems allow 255 in all."""

_folders = pytest.StashKey[dict[str, str]]()
"""The node id of the test that has each folder."""


def log_for(request: pytest.FixtureRequest) -> LogFile | None:
    """Return the option ``log`` for a fixture; None without ``--aioverseer-logs``.

    Each test has a folder, and each service a file in it. No two workers of pytest-xdist share a folder.
    """
    return _log(request.config, request.node.nodeid or "session", worker_id(request.config))


def log_for_all_workers(config: pytest.Config) -> LogFile | None:
    """Return the option ``log`` for a service that the workers share."""
    return _log(config, "shared", None)


def _log(config: pytest.Config, node_id: str, worker: str | None) -> LogFile | None:
    folder: str | None = config.getoption("--aioverseer-logs")
    if folder is None:
        return None
    # Relative to the folder in which pytest was started, as a test may have changed the current folder.
    path = os.path.join(config.invocation_params.dir, folder, _folder_name(config, node_id, worker))
    os.makedirs(path, exist_ok=True)
    return LogFile(os.path.join(path.replace("{", "{{").replace("}", "}}"), "{id}.log"))


def _folder_name(config: pytest.Config, node_id: str, worker: str | None) -> str:
    """Return a readable and unique name for the folder of a node."""
    folders = config.stash.setdefault(_folders, {})
    stem = os.fsencode(re.sub(r"[^\w.=,-]+", "_", node_id))[:_MAX_STEM_BYTES].decode(errors="ignore")
    end = "" if worker is None else f"-{worker}"
    name, number = stem + end, 1
    while folders.setdefault(name, node_id) != node_id:
        number += 1
        name = f"{stem}-{number}{end}"
    return name
