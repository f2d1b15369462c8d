"""Schedule: the base of schedules. It is apart from them because few services have one."""

from __future__ import annotations

from typing import Literal

from aioverseer.core.export import exported_from

__all__ = ["Overlap", "Schedule"]

Overlap = Literal["skip", "queue", "replace"]
"""Treatment of a time that comes while a run is under way; see ``Cron``."""


@exported_from("aioverseer")
class Schedule:
    """Base of ``Cron`` and ``Every``, the values of the option ``schedule``."""

    __slots__ = ()

    overlap: Overlap
