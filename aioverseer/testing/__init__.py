"""Helpers for tests: a clock that the test moves, children that follow a script, assertions about events.

The clock and the scripted children pass the same contract tests as the real ones. Of the library only the pytest plugin
imports this package.
"""

from __future__ import annotations

from aioverseer.core.machine.simulation import SimulatedRun, Timeline, simulate
from aioverseer.testing.child import RunningChild
from aioverseer.testing.clock import ManualClock, Stalled
from aioverseer.testing.keeping import Keeper
from aioverseer.testing.launcher import ScriptedLauncher
from aioverseer.testing.ports import Ports
from aioverseer.testing.recorder import EventRecorder
from aioverseer.testing.script import FakeChild

__all__ = [
    "EventRecorder",
    "FakeChild",
    "Keeper",
    "ManualClock",
    "Ports",
    "RunningChild",
    "ScriptedLauncher",
    "SimulatedRun",
    "Stalled",
    "Timeline",
    "simulate",
]
