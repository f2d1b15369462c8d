"""What ties a run to the service that owns it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aioverseer._engine.output.pump import LineSink
from aioverseer.core.machine.table import Transition
from aioverseer.core.report.events import Kind

if TYPE_CHECKING:
    from aioverseer._engine.process.process import Process

__all__ = ["Hooks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """How a Process is tied to the Service that owns it."""

    run_soon: Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
    outlet: Callable[[str], LineSink]
    on_report: Callable[[Process, Transition], None]
    on_unstoppable: Callable[[], None]
    on_spawn: Callable[[], None]
    on_news: Callable[[str, Kind], None]
    last_lines: Callable[[], list[str]]
