"""An Overseer for code whose event loop stands still or does not exist.

The overseer lives on an event loop in a thread of its own (``loop.py``); the calls of ``_engine/overseer/overseer.py`` and
``_engine/service/service.py`` hand over to it and wait, and so do the iterators of ``streams.py``. No rule of its own lives here:
whatever is asked is asked of the public ``Overseer`` and ``Service``.
"""

from __future__ import annotations

from aioverseer.threaded.overseer import ThreadedOverseer
from aioverseer.threaded.service import ThreadedService
from aioverseer.threaded.streams import ThreadedEvents

__all__ = ["ThreadedEvents", "ThreadedOverseer", "ThreadedService"]
