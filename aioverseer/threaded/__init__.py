"""An Overseer for code without an event loop, or whose loop does not run all the time.

The overseer runs on an event loop in a thread of its own. Each method calls its namesake of the public ``Overseer`` or
``Service`` in that thread, and waits for the result.
"""

from __future__ import annotations

from aioverseer.threaded.instances import ThreadedInstances
from aioverseer.threaded.overseer import ThreadedOverseer
from aioverseer.threaded.plan import ThreadedPlan
from aioverseer.threaded.request_channel import ThreadedRequestChannel
from aioverseer.threaded.runs import ThreadedItems, ThreadedRun, ThreadedRuns
from aioverseer.threaded.service import ThreadedService
from aioverseer.threaded.streams import ThreadedEvents, ThreadedLines

__all__ = [
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
]
