"""Words of our file about restarts that the readers share."""

from __future__ import annotations

__all__ = ["NO_LIMIT"]

NO_LIMIT = "none"
"""Value of ``max_restarts`` and ``within`` without a limit."""
