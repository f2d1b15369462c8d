"""The host's limit of open descriptors: how many services fit, and raising it on request.

The only place that looks at it or changes it. Nothing in here starts or stops anything.
"""

from __future__ import annotations

import resource

__all__ = ["PER_SERVICE", "DescriptorLimit", "fitting"]

PER_SERVICE = 5
"""asyncio's pidfd and ours, stdout and stderr, and what a spawn or an input needs besides."""

_OTHERS = 64
"""Descriptors left to the host itself."""


def fitting() -> tuple[int, int]:
    """Return the limit in force, and how many services fit below it at once, roughly."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 1 << 30
    return soft, max(0, soft - _OTHERS) // PER_SERVICE


class DescriptorLimit:
    """Raises the limit to the hardest allowed while somebody has asked for that."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._before: tuple[int, int] | None = None
        self._raised: tuple[int, int] | None = None

    def install(self) -> None:
        """Raise it as far as a plain user may. Programs that are started inherit it."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        if before[0] != before[1]:
            self._before, self._raised = before, (before[1], before[1])
            resource.setrlimit(resource.RLIMIT_NOFILE, self._raised)

    def restore(self) -> None:
        """Put back what was there, unless somebody else has changed it since. Idempotent."""
        if self._before is not None and resource.getrlimit(resource.RLIMIT_NOFILE) == self._raised:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._before)
        self._before = None
