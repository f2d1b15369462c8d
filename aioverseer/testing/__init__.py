"""What tests of your own need: time that they own, children that follow a script, assertions about events.

The public names; each lives in the file beside that is named for it. They keep the protocols of ``core/clock.py`` and
``_system/protocols.py``, and pass the same contract tests as the real ones. Nothing in here spawns or signals, and nothing
of the library imports it but the plugin for pytest.
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
