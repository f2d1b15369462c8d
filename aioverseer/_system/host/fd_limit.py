"""The host's limit of open descriptors: how many services fit below it, and how to raise it on request."""

from __future__ import annotations

import resource

__all__ = ["PER_SERVICE", "DescriptorLimit", "fitting"]

PER_SERVICE = 5
"""Descriptors of a service: the pidfd of asyncio and ours, stdout, stderr, and one for a spawn or stdin."""

_OTHERS = 64
"""Descriptors reserved for the host itself."""


def fitting() -> tuple[int, int]:
    """Return the limit in force, and the approximate number of services that fit below it."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 1 << 30
    return soft, max(0, soft - _OTHERS) // PER_SERVICE


class DescriptorLimit:
    """Raises the soft limit to the hard limit for a while."""

    def __init__(self) -> None:
        """Change nothing before ``install``."""
        self._before: tuple[int, int] | None = None
        self._raised: tuple[int, int] | None = None

    def install(self) -> None:
        """Raise the soft limit to the hard one. Programs that are started inherit it."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        if before[0] != before[1]:
            self._before, self._raised = before, (before[1], before[1])
            resource.setrlimit(resource.RLIMIT_NOFILE, self._raised)

    def restore(self) -> None:
        """Restore the limit, unless other code has changed it since. Idempotent."""
        if self._before is not None and resource.getrlimit(resource.RLIMIT_NOFILE) == self._raised:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._before)
        self._before = None
