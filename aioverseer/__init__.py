"""The process supervisor that lives inside an asyncio program.

This is the public face: names are re-exported here, and made elsewhere.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if sys.platform == "win32":
    raise ImportError("aioverseer needs sessions, process groups and POSIX signals: use WSL on Windows")

if TYPE_CHECKING:
    from aioverseer import ready as ready
    from aioverseer.body import Body
    from aioverseer.core.backoff import Backoff
    from aioverseer.core.containment import Containment, Survivor
    from aioverseer.core.errors import (
        ContainmentError,
        CriticalServiceEnded,
        DependencyCycle,
        DuplicateService,
        GaveUp,
        NotReady,
        NotReadyInTime,
        OverseerError,
        ProcessFailed,
        ProcessNotRunning,
        ProgramError,
        ServiceIsLive,
        SpawnError,
        SpecError,
        StopFailed,
        UnknownService,
    )
    from aioverseer.core.events import Event, StopOutcome, StopReport
    from aioverseer.core.group import Group, GroupStatus
    from aioverseer.core.ladder import Step, Stop
    from aioverseer.core.lines import (
        DEFAULT_LINE_BUFFER_SIZE,
        DEFAULT_STREAM_QUEUE_SIZE,
        ContinuedBytes,
        ContinuedLine,
        Dropped,
        Line,
    )
    from aioverseer.core.liveness import Alive
    from aioverseer.core.logs import LogBridge, LogFile
    from aioverseer.core.options import SpecOptions
    from aioverseer.core.order import After
    from aioverseer.core.restart import Restart
    from aioverseer.core.spec import Spec
    from aioverseer.core.state import Exit, State
    from aioverseer.core.status import Status
    from aioverseer.core.why import Awaited, Why
    from aioverseer.journal import EventStream
    from aioverseer.output import LineQueue, QueueShutDown, Subscription
    from aioverseer.overseer import Overseer
    from aioverseer.process import Process
    from aioverseer.recorder import Recorder
    from aioverseer.service import Service
    from aioverseer.threaded import ThreadedEvents, ThreadedOverseer, ThreadedService

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_LINE_BUFFER_SIZE",
    "DEFAULT_STREAM_QUEUE_SIZE",
    "After",
    "Alive",
    "Awaited",
    "Backoff",
    "Body",
    "Containment",
    "ContainmentError",
    "ContinuedBytes",
    "ContinuedLine",
    "CriticalServiceEnded",
    "DependencyCycle",
    "Dropped",
    "DuplicateService",
    "Event",
    "EventStream",
    "Exit",
    "GaveUp",
    "Group",
    "GroupStatus",
    "Line",
    "LineQueue",
    "LogBridge",
    "LogFile",
    "NotReady",
    "NotReadyInTime",
    "Overseer",
    "OverseerError",
    "Process",
    "ProcessFailed",
    "ProcessNotRunning",
    "ProgramError",
    "QueueShutDown",
    "Recorder",
    "Restart",
    "Service",
    "ServiceIsLive",
    "SpawnError",
    "Spec",
    "SpecError",
    "SpecOptions",
    "State",
    "Status",
    "Step",
    "Stop",
    "StopFailed",
    "StopOutcome",
    "StopReport",
    "Subscription",
    "Survivor",
    "ThreadedEvents",
    "ThreadedOverseer",
    "ThreadedService",
    "UnknownService",
    "Why",
]


_HOMES = {
    "After": "aioverseer.core.order",
    "Alive": "aioverseer.core.liveness",
    "Awaited": "aioverseer.core.why",
    "Backoff": "aioverseer.core.backoff",
    "Body": "aioverseer.body",
    "Containment": "aioverseer.core.containment",
    "ContainmentError": "aioverseer.core.errors",
    "ContinuedBytes": "aioverseer.core.lines",
    "ContinuedLine": "aioverseer.core.lines",
    "CriticalServiceEnded": "aioverseer.core.errors",
    "DEFAULT_LINE_BUFFER_SIZE": "aioverseer.core.lines",
    "DEFAULT_STREAM_QUEUE_SIZE": "aioverseer.core.lines",
    "DependencyCycle": "aioverseer.core.errors",
    "Dropped": "aioverseer.core.lines",
    "DuplicateService": "aioverseer.core.errors",
    "Event": "aioverseer.core.events",
    "EventStream": "aioverseer.journal",
    "Exit": "aioverseer.core.state",
    "GaveUp": "aioverseer.core.errors",
    "Group": "aioverseer.core.group",
    "GroupStatus": "aioverseer.core.group",
    "Line": "aioverseer.core.lines",
    "LineQueue": "aioverseer.output",
    "LogBridge": "aioverseer.core.logs",
    "LogFile": "aioverseer.core.logs",
    "NotReady": "aioverseer.core.errors",
    "NotReadyInTime": "aioverseer.core.errors",
    "Overseer": "aioverseer.overseer",
    "OverseerError": "aioverseer.core.errors",
    "Process": "aioverseer.process",
    "ProcessFailed": "aioverseer.core.errors",
    "ProcessNotRunning": "aioverseer.core.errors",
    "ProgramError": "aioverseer.core.errors",
    "QueueShutDown": "aioverseer.output",
    "Recorder": "aioverseer.recorder",
    "Restart": "aioverseer.core.restart",
    "Service": "aioverseer.service",
    "ServiceIsLive": "aioverseer.core.errors",
    "SpawnError": "aioverseer.core.errors",
    "Spec": "aioverseer.core.spec",
    "SpecError": "aioverseer.core.errors",
    "SpecOptions": "aioverseer.core.options",
    "State": "aioverseer.core.state",
    "Status": "aioverseer.core.status",
    "Step": "aioverseer.core.ladder",
    "Stop": "aioverseer.core.ladder",
    "StopFailed": "aioverseer.core.errors",
    "StopOutcome": "aioverseer.core.events",
    "StopReport": "aioverseer.core.events",
    "Subscription": "aioverseer.output",
    "Survivor": "aioverseer.core.containment",
    "ThreadedEvents": "aioverseer.threaded",
    "ThreadedOverseer": "aioverseer.threaded",
    "ThreadedService": "aioverseer.threaded",
    "UnknownService": "aioverseer.core.errors",
    "Why": "aioverseer.core.why",
}
"""Where each name is made. It is imported when it is first asked for: pytest imports a plugin of ours in every run."""


def __getattr__(name: str) -> object:
    """Import a name when it is first asked for."""
    if name == "ready":
        return importlib.import_module("aioverseer.ready")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return what there is, imported or not."""
    return sorted({*globals(), *__all__})
