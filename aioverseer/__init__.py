"""The process supervisor that lives inside an asyncio program.

This is the public face: names are re-exported here, and made elsewhere.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if sys.platform == "win32":
    raise ImportError("aioverseer needs sessions, process groups and POSIX signals: use WSL on Windows")

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
from aioverseer.core.ladder import Step, Stop
from aioverseer.core.lines import (
    DEFAULT_LINE_BUFFER_SIZE,
    DEFAULT_STREAM_QUEUE_SIZE,
    ContinuedBytes,
    ContinuedLine,
    Dropped,
    Line,
)
from aioverseer.core.logs import LogBridge, LogFile
from aioverseer.core.restart import Restart
from aioverseer.core.spec import Spec, SpecOptions
from aioverseer.core.state import Exit, State
from aioverseer.core.status import Status
from aioverseer.journal import EventStream
from aioverseer.output import LineQueue, QueueShutDown, Subscription
from aioverseer.overseer import Overseer
from aioverseer.process import Process
from aioverseer.service import Service

if TYPE_CHECKING:
    from aioverseer import ready as ready
    from aioverseer.core.groups import Group
    from aioverseer.core.liveness import Alive
    from aioverseer.core.order import After
    from aioverseer.core.why import Why
    from aioverseer.recorder import Recorder
    from aioverseer.threaded import ThreadedEvents, ThreadedOverseer, ThreadedService

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_LINE_BUFFER_SIZE",
    "DEFAULT_STREAM_QUEUE_SIZE",
    "After",
    "Alive",
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


_LATE = {
    "Alive": "aioverseer.core.liveness",
    "Group": "aioverseer.core.groups",
    "After": "aioverseer.core.order",
    "Recorder": "aioverseer.recorder",
    "ThreadedEvents": "aioverseer.threaded",
    "ThreadedOverseer": "aioverseer.threaded",
    "ThreadedService": "aioverseer.threaded",
    "Why": "aioverseer.core.why",
}
"""What few applications need is imported when it is first asked for."""


def __getattr__(name: str) -> object:
    """Import what is imported late."""
    if name == "ready":
        return importlib.import_module("aioverseer.ready")
    if name in _LATE:
        found = getattr(importlib.import_module(_LATE[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
