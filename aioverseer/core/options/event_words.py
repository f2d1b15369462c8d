"""Words for the events that start the command of a hook."""

from __future__ import annotations

__all__ = ["KINDS", "STATES", "WORDS"]

STATES = ("waiting", "starting", "backoff", "running", "stopping", "interrupted", "finished", "fatal")
"""Texts of the states that a service may enter."""
KINDS = (
    *("state", "log", "health", "leftovers", "throttle", "stop", "group", "trigger", "change", "reload", "cleanup"),
    *("roll", "recycle", "watch"),
)
"""Kinds of events, as in ``Event.kind``; a test compares the two."""
WORDS = ("failed", *STATES, *KINDS)
"""Everything that ``EventHook.on`` may name."""
