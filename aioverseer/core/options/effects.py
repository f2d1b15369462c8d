"""The time at which a change of each option takes effect.

**A new option needs a row in exactly one of the three sets**, and a form in ``spec_data.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import compress
from operator import attrgetter, is_not
from typing import Literal

from aioverseer.core.options.by import asked

__all__ = ["EFFECTS", "IN_PLACE", "NEXT_RUN", "RESTART", "Effect", "changed_options", "described_change"]

Effect = Literal["in place", "next run", "restart"]
"""Time at which a change of an option takes effect; see ``EFFECTS``."""

IN_PLACE = frozenset(
    {
        "after",
        "alive",
        "critical",
        "group",
        "on_demand",
        "instances",
        "log",
        "on_give_up",
        "reload",
        "recycle",
        "restart",
        "roll",
        "schedule",
        "significant",
        "stop",
        "watch",
    }
)
"""Options of supervision. A change counts at once, also for the program that runs."""

NEXT_RUN = frozenset(
    {
        "buffered",
        "cleanup",
        "delay_start",
        "drain_timeout",
        "leftovers",
        "line_limit",
        "max_runtime",
        "prepare",
        "queue_size",
        "ready",
        "ready_timeout",
        "streaming",
    }
)
"""Options that a run reads once, at its start, and that its program does not notice. No change is worth a restart."""

RESTART = frozenset(
    {
        "ambient_capabilities",
        "argv",
        "containment",
        "cpu_max",
        "cpus",
        "cwd",
        "encoding",
        "env",
        "errors",
        "extra_env",
        "extra_groups",
        "framing",
        "io_class",
        "main_pid",
        "listen",
        "memory_max",
        "merge_stderr",
        "nice",
        "no_new_privileges",
        "oom_score_adj",
        "output",
        "pids_max",
        "port",
        "pty",
        "rlimits",
        "stderr",
        "stdin",
        "stdout",
        "umask",
        "user",
        "window_size",
    }
)
"""Options of the program itself. A change needs a new run: a plan restarts the service, or rolls its instances."""

EFFECTS: dict[str, Effect] = {
    **dict.fromkeys(sorted(IN_PLACE), "in place"),
    **dict.fromkeys(sorted(NEXT_RUN), "next run"),
    **dict.fromkeys(sorted(RESTART), "restart"),
}
"""The time for each option, by its name."""

_NAMES = tuple(sorted(EFFECTS))
_values_of: Callable[[object], tuple[object, ...]] = attrgetter(*_NAMES)


def changed_options(before: object, after: object) -> tuple[str, ...]:
    """Return the names of the options in which two Specs differ, sorted; functions differ if they are not the same."""
    # Nearly all values of two Specs are the same objects: a plan compares thousands of Specs.
    old, new = _values_of(before), _values_of(after)
    others = compress(zip(_NAMES, old, new, strict=True), map(is_not, old, new))
    return tuple(name for name, one, other in others if one != other)


def described_change(changed: Iterable[str], by: str) -> str:
    """Return what has changed in a service, and when it takes effect, as the end of a sentence.

    Args:
        changed: Names of the options.
        by: Name of the one who asked for it.
    """
    later = [name for name in changed if EFFECTS[name] != "in place"]
    text = asked(f"has other options: {', '.join(changed)}", by)
    return f"{text}; {', '.join(later)} with the next run" if later else text
