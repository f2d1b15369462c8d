"""The levels of containment as parameters of a test, each skipped where this machine does not have it."""

from __future__ import annotations

from typing import Any

import pytest

from aioverseer._system.containment import cgroup
from aioverseer._system.containment.guardian import client as guardian_client
from aioverseer._system.containment.shim import client as shim_client


def levels(*names: str) -> list[Any]:
    """Return one parameter for each level."""
    missing = {
        "guarded": guardian_client.missing(),
        "strict": cgroup.tree().missing() and shim_client.missing(),
        "pidns": shim_client.missing_namespace(),
    }
    return [
        pytest.param(name, marks=pytest.mark.skipif(missing.get(name) is not None, reason=str(missing.get(name))))
        for name in names
    ]
