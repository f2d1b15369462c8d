"""The address on which two runs of one program would both listen, as its probe of readiness tells it."""

from __future__ import annotations

from aioverseer.core.options.composition import Probe, leaves
from aioverseer.core.options.probes import Unix, endpoint_of

__all__ = ["shared_address"]


def shared_address(ready: Probe | None) -> str | None:
    """Return an address on which two runs of a program would both listen, by its probe; None if none is known."""
    for leaf in () if ready is None else leaves(ready):
        if endpoint_of(leaf) is not None or (isinstance(leaf, Unix) and leaf.owner == "program"):
            return str(leaf)
    return None
