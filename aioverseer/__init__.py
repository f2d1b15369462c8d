"""A process supervisor that lives inside an asyncio program.

This module exports the public names. It imports each one when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if sys.platform == "win32":
    raise ImportError("aioverseer needs sessions, process groups and POSIX signals: use WSL on Windows")

if TYPE_CHECKING:
    from aioverseer import abc as abc
    from aioverseer import forms as forms
    from aioverseer import framing as framing
    from aioverseer import listen as listen
    from aioverseer import ready as ready
    from aioverseer._engine.events.journal import EventStream
    from aioverseer._engine.events.recorder import Recorder
    from aioverseer._engine.output.line_queue import LineQueue, QueueShutDown
    from aioverseer._engine.output.output_queue import OutputQueue
    from aioverseer._engine.output.subscription import Subscription
    from aioverseer._engine.overseer.changes import Plan
    from aioverseer._engine.overseer.critical import Body
    from aioverseer._engine.overseer.instances import Instances
    from aioverseer._engine.overseer.overseer import Overseer
    from aioverseer._engine.process.process import Process
    from aioverseer._engine.service.conversation import LateAnswer
    from aioverseer._engine.service.request_channel import RequestChannel
    from aioverseer._engine.service.runs import Runs
    from aioverseer._engine.service.service import Service
    from aioverseer.core.errors import (
        ContainmentError,
        DependencyCycle,
        DuplicateService,
        OverseerError,
        ProcessNotRunning,
        ServiceIsLive,
        SpawnError,
        SpecError,
        UnknownService,
    )
    from aioverseer.core.options.after import After
    from aioverseer.core.options.alive import Alive
    from aioverseer.core.options.backoff import Backoff
    from aioverseer.core.options.containment import Containment, Survivor
    from aioverseer.core.options.event_hook import EventHook
    from aioverseer.core.options.group import Group
    from aioverseer.core.options.keywords import SpecOptions
    from aioverseer.core.options.log import LogBridge, LogFile
    from aioverseer.core.options.main_pid import PidFile
    from aioverseer.core.options.overseer_options import OverseerOptions
    from aioverseer.core.options.recycle import Recycle
    from aioverseer.core.options.restart import Restart
    from aioverseer.core.options.roll import Roll
    from aioverseer.core.options.schedule import Cron, Every
    from aioverseer.core.options.schedule_base import Schedule
    from aioverseer.core.options.spec import Spec
    from aioverseer.core.options.stop import Stop
    from aioverseer.core.options.stop_steps import CloseStdin, RunCommand, Step, WriteStdin
    from aioverseer.core.options.watch import Watch
    from aioverseer.core.report.changes import ApplyFailed, ApplyReport, OptionChange, PlanIsStale, PlanStep
    from aioverseer.core.report.events import Event, StopOutcome, StopReport
    from aioverseer.core.report.group import GroupStatus
    from aioverseer.core.report.instances import InstancesStatus
    from aioverseer.core.report.roll import RollFailed, RollReport
    from aioverseer.core.report.status import (
        CriticalServiceEnded,
        GaveUp,
        NotReady,
        NotReadyInTime,
        ProcessFailed,
        ProgramError,
        RunEnded,
        Status,
        StopFailed,
    )
    from aioverseer.core.report.usage import Usage
    from aioverseer.core.report.why import Awaited, Why
    from aioverseer.core.state import Exit, State
    from aioverseer.core.text.lines import ContinuedBytes, ContinuedLine, Line, PartialBytes, PartialLine
    from aioverseer.core.text.unframed import UnframedBytes
    from aioverseer.core.typing import DEFAULT_LINE_BUFFER_SIZE, DEFAULT_STREAM_QUEUE_SIZE
    from aioverseer.threaded import (
        ThreadedEvents,
        ThreadedInstances,
        ThreadedItems,
        ThreadedLines,
        ThreadedOverseer,
        ThreadedPlan,
        ThreadedRequestChannel,
        ThreadedRun,
        ThreadedRuns,
        ThreadedService,
    )

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_LINE_BUFFER_SIZE",
    "DEFAULT_STREAM_QUEUE_SIZE",
    "After",
    "Alive",
    "ApplyFailed",
    "ApplyReport",
    "Awaited",
    "Backoff",
    "Body",
    "CloseStdin",
    "Containment",
    "ContainmentError",
    "ContinuedBytes",
    "ContinuedLine",
    "CriticalServiceEnded",
    "Cron",
    "DependencyCycle",
    "DuplicateService",
    "Event",
    "EventHook",
    "EventStream",
    "Every",
    "Exit",
    "GaveUp",
    "Group",
    "GroupStatus",
    "Instances",
    "InstancesStatus",
    "LateAnswer",
    "Line",
    "LineQueue",
    "LogBridge",
    "LogFile",
    "NotReady",
    "NotReadyInTime",
    "OptionChange",
    "OutputQueue",
    "Overseer",
    "OverseerError",
    "OverseerOptions",
    "PartialBytes",
    "PartialLine",
    "PidFile",
    "Plan",
    "PlanIsStale",
    "PlanStep",
    "Process",
    "ProcessFailed",
    "ProcessNotRunning",
    "ProgramError",
    "QueueShutDown",
    "Recorder",
    "Recycle",
    "RequestChannel",
    "Restart",
    "Roll",
    "RollFailed",
    "RollReport",
    "RunCommand",
    "RunEnded",
    "Runs",
    "Schedule",
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
    "ThreadedInstances",
    "ThreadedItems",
    "ThreadedLines",
    "ThreadedOverseer",
    "ThreadedPlan",
    "ThreadedRequestChannel",
    "ThreadedRun",
    "ThreadedRuns",
    "ThreadedService",
    "UnframedBytes",
    "UnknownService",
    "Usage",
    "Watch",
    "Why",
    "WriteStdin",
]


_HOMES = {
    "After": "aioverseer.core.options.after",
    "Alive": "aioverseer.core.options.alive",
    "ApplyFailed": "aioverseer.core.report.changes",
    "ApplyReport": "aioverseer.core.report.changes",
    "Awaited": "aioverseer.core.report.why",
    "Backoff": "aioverseer.core.options.backoff",
    "Body": "aioverseer._engine.overseer.critical",
    "CloseStdin": "aioverseer.core.options.stop_steps",
    "Containment": "aioverseer.core.options.containment",
    "ContainmentError": "aioverseer.core.errors",
    "ContinuedBytes": "aioverseer.core.text.lines",
    "ContinuedLine": "aioverseer.core.text.lines",
    "CriticalServiceEnded": "aioverseer.core.report.status",
    "Cron": "aioverseer.core.options.schedule",
    "DEFAULT_LINE_BUFFER_SIZE": "aioverseer.core.typing",
    "DEFAULT_STREAM_QUEUE_SIZE": "aioverseer.core.typing",
    "DependencyCycle": "aioverseer.core.errors",
    "DuplicateService": "aioverseer.core.errors",
    "Event": "aioverseer.core.report.events",
    "EventHook": "aioverseer.core.options.event_hook",
    "EventStream": "aioverseer._engine.events.journal",
    "Every": "aioverseer.core.options.schedule",
    "Exit": "aioverseer.core.state",
    "GaveUp": "aioverseer.core.report.status",
    "Group": "aioverseer.core.options.group",
    "GroupStatus": "aioverseer.core.report.group",
    "Instances": "aioverseer._engine.overseer.instances",
    "InstancesStatus": "aioverseer.core.report.instances",
    "LateAnswer": "aioverseer._engine.service.conversation",
    "Line": "aioverseer.core.text.lines",
    "LineQueue": "aioverseer._engine.output.line_queue",
    "LogBridge": "aioverseer.core.options.log",
    "LogFile": "aioverseer.core.options.log",
    "NotReady": "aioverseer.core.report.status",
    "NotReadyInTime": "aioverseer.core.report.status",
    "OutputQueue": "aioverseer._engine.output.output_queue",
    "Overseer": "aioverseer._engine.overseer.overseer",
    "OverseerError": "aioverseer.core.errors",
    "OverseerOptions": "aioverseer.core.options.overseer_options",
    "PartialBytes": "aioverseer.core.text.lines",
    "PartialLine": "aioverseer.core.text.lines",
    "PidFile": "aioverseer.core.options.main_pid",
    "OptionChange": "aioverseer.core.report.changes",
    "Plan": "aioverseer._engine.overseer.changes",
    "PlanIsStale": "aioverseer.core.report.changes",
    "PlanStep": "aioverseer.core.report.changes",
    "Process": "aioverseer._engine.process.process",
    "ProcessFailed": "aioverseer.core.report.status",
    "ProcessNotRunning": "aioverseer.core.errors",
    "ProgramError": "aioverseer.core.report.status",
    "RunCommand": "aioverseer.core.options.stop_steps",
    "Roll": "aioverseer.core.options.roll",
    "RollFailed": "aioverseer.core.report.roll",
    "RollReport": "aioverseer.core.report.roll",
    "RunEnded": "aioverseer.core.report.status",
    "Runs": "aioverseer._engine.service.runs",
    "QueueShutDown": "aioverseer._engine.output.line_queue",
    "Recorder": "aioverseer._engine.events.recorder",
    "RequestChannel": "aioverseer._engine.service.request_channel",
    "Recycle": "aioverseer.core.options.recycle",
    "Watch": "aioverseer.core.options.watch",
    "Restart": "aioverseer.core.options.restart",
    "Schedule": "aioverseer.core.options.schedule_base",
    "Service": "aioverseer._engine.service.service",
    "ServiceIsLive": "aioverseer.core.errors",
    "SpawnError": "aioverseer.core.errors",
    "Spec": "aioverseer.core.options.spec",
    "SpecError": "aioverseer.core.errors",
    "SpecOptions": "aioverseer.core.options.keywords",
    "State": "aioverseer.core.state",
    "Status": "aioverseer.core.report.status",
    "Step": "aioverseer.core.options.stop_steps",
    "Stop": "aioverseer.core.options.stop",
    "StopFailed": "aioverseer.core.report.status",
    "StopOutcome": "aioverseer.core.report.events",
    "StopReport": "aioverseer.core.report.events",
    "Subscription": "aioverseer._engine.output.subscription",
    "Survivor": "aioverseer.core.options.containment",
    "ThreadedEvents": "aioverseer.threaded",
    "ThreadedInstances": "aioverseer.threaded",
    "ThreadedItems": "aioverseer.threaded",
    "ThreadedLines": "aioverseer.threaded",
    "ThreadedOverseer": "aioverseer.threaded",
    "ThreadedPlan": "aioverseer.threaded",
    "ThreadedRequestChannel": "aioverseer.threaded",
    "ThreadedRun": "aioverseer.threaded",
    "ThreadedRuns": "aioverseer.threaded",
    "ThreadedService": "aioverseer.threaded",
    "UnframedBytes": "aioverseer.core.text.unframed",
    "UnknownService": "aioverseer.core.errors",
    "Usage": "aioverseer.core.report.usage",
    "Why": "aioverseer.core.report.why",
    "WriteStdin": "aioverseer.core.options.stop_steps",
}
"""The module that defines each name. It is imported late: pytest imports this package in every run, for its plugin."""


def __getattr__(name: str) -> object:
    """Return a public name, and import it on its first use."""
    if name in {"abc", "forms", "framing", "listen", "ready"}:
        return importlib.import_module(f"aioverseer.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    _provide_rng()
    globals()[name] = found
    return found


def _provide_rng() -> None:
    """Give a Backoff without random numbers of its own those of the operating system.

    Such numbers have no state, so two forks of a host do not spread their delays alike.
    """
    backoff = sys.modules.get("aioverseer.core.options.backoff")
    if backoff is not None:
        backoff.use_rng(lambda: importlib.import_module("random").SystemRandom())


def __dir__() -> list[str]:
    """Return all names, whether they were imported yet or not."""
    return sorted({*globals(), *__all__})
