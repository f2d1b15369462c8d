"""An order of starts from priorities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["PRIORITY", "order_by"]

PRIORITY = "after = names the services that come right before it, and waits until they are started"
"""Note about a priority."""


def order_by(ranked: Iterable[tuple[Any, dict[str, dict[str, Any]]]]) -> None:
    """Let each service start after those of the rank before its own. Services that are left out are no part of it.

    Args:
        ranked: Rank, the least first, and options of services by their names.
    """
    ranks: dict[Any, dict[str, dict[str, Any]]] = {}
    for rank, services in sorted(ranked, key=lambda each: each[0]):
        here = {name: options for name, options in services.items() if options.get("enabled", True)}
        if here:
            ranks.setdefault(rank, {}).update(here)
    before: Iterable[str] = ()
    for services in ranks.values():
        if before:
            for options in services.values():
                options["after"] = {name: {"until": "started", "hard": False} for name in before}
        before = [*services]
