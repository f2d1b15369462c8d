"""Output: what the bytes of a pipe go through on their way to whoever reads the lines.

``pump`` moves a pipe's lines to its outlets, ``streams`` is both pipes of one run, ``queue`` is the queue of a reader,
``subscription`` that of one of many with its rule for overflow, ``hub`` the fan-out of a Service, ``tail`` its memory
of the last lines, ``logs`` its way to files and loggers. Nothing in here knows of states, starts a task or touches a
descriptor.
"""

from aioverseer.output.hub import Hub
from aioverseer.output.logs import Logs, LogSink
from aioverseer.output.pump import Outlet
from aioverseer.output.queue import LineQueue, QueueShutDown
from aioverseer.output.streams import Streams
from aioverseer.output.subscription import Overflow, Subscribers, Subscription, release_when_forgotten
from aioverseer.output.tail import TAIL_BYTES, TAIL_LINES

__all__ = [
    "TAIL_BYTES",
    "TAIL_LINES",
    "Hub",
    "LineQueue",
    "LogSink",
    "Logs",
    "Outlet",
    "Overflow",
    "QueueShutDown",
    "Streams",
    "Subscribers",
    "Subscription",
    "release_when_forgotten",
]
