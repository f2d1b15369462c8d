"""Durations and sizes as texts: ``5m``, ``1h 30m``, ``512 MiB``."""

from __future__ import annotations

import re

__all__ = ["BYTES_IN", "DURATION", "SECONDS_IN", "SIZE"]

SECONDS_IN = {
    unit: factor
    for units, factor in (
        ("ms", 0.001),
        ("s sec secs second seconds", 1),
        ("m min mins minute minutes", 60),
        ("h hour hours", 3600),
        ("d day days", 86_400),
        ("w week weeks", 604_800),
    )
    for unit in units.split()
}
"""Seconds of each unit of a duration."""
_PART = rf"[0-9]+(?:\.[0-9]+)?\s*(?:{'|'.join(sorted(SECONDS_IN, key=len, reverse=True))})"
DURATION = re.compile(rf"\s*(?:{_PART}\s*)+")
"""Text of a duration, such as ``5m`` or ``1h 30m``."""
BYTES_IN = {"b": 1} | {
    f"{letter}{end}": 1024**power for power, letter in enumerate("kmgt", 1) for end in ("", "b", "i", "ib")
}
"""Bytes of each unit of a size, in powers of 1024, as systemd, Docker and supervisord read them."""
SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([bB]|[kKmMgGtT](?:[bB]|[iI][bB]?)?)\s*")
"""Text of a size, such as ``512 MiB``."""
