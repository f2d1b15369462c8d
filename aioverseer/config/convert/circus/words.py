"""Words as circus reads them."""

from __future__ import annotations

__all__ = ["NO", "YES"]

YES = ("true", "t", "yes", "y", "1", "on")
NO = ("false", "f", "no", "n", "0", "off")
