"""Protocols that users may implement, for example a Launcher that starts programs in another way.

An object needs no base class from here: it fits when it has the methods. ``Overseer(clock=..., rng=..., launcher=...)``
takes such objects, and ``aioverseer.testing`` has a clock and a launcher for tests.
"""

from __future__ import annotations

from aioverseer._system.protocols import Child, Launcher, Leftovers, ReadinessChannels, ReadStream, WriteStream
from aioverseer.core.clock import Clock, Rng, Timer
from aioverseer.core.options.framing import Framing

__all__ = [
    "Child",
    "Clock",
    "Framing",
    "Launcher",
    "Leftovers",
    "ReadStream",
    "ReadinessChannels",
    "Rng",
    "Timer",
    "WriteStream",
]
