"""The launch of real programs, and what is known of them until they are gone. Nothing in here decides."""

from __future__ import annotations

from aioverseer.system.launch.child import SystemChild
from aioverseer.system.launch.launcher import SystemLauncher

__all__ = ["SystemChild", "SystemLauncher"]
