"""The time at which a change of each option takes effect.

**A new option needs a row in exactly one of the three sets**, and a form in ``spec_data.py``.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["EFFECTS", "IN_PLACE", "NEXT_RUN", "RESTART", "Effect"]

Effect = Literal["in place", "next run", "restart"]
"""Time at which a change of an option takes effect; see ``EFFECTS``."""

IN_PLACE = frozenset(
    {
        "after",
        "alive",
        "critical",
        "group",
        "log",
        "on_give_up",
        "restart",
        "significant",
        "stop",
    }
)
"""Options of supervision. A change counts at once, also for the program that runs."""

NEXT_RUN = frozenset(
    {
        "buffered",
        "delay_start",
        "drain_timeout",
        "leftovers",
        "line_limit",
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
        "memory_max",
        "merge_stderr",
        "nice",
        "no_new_privileges",
        "oom_score_adj",
        "output",
        "pids_max",
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
