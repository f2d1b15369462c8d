"""Notifications of a program to the socket in ``NOTIFY_SOCKET``: the datagrams of sd_notify(3) as values.

Unknown assignments are ignored, as sd_notify(3) demands, and so are invalid ones.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

__all__ = ["Notice", "error_text", "read_notice"]

_STATUS_LENGTH = 1000
"""Most characters of a STATUS to keep: it is one line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One datagram of a program.

    Attributes:
        ready: Whether the program can do its work, or has reloaded its configuration.
        reloading: Whether it is reloading its configuration.
        stopping: Whether it is about to end.
        watchdog: Whether it reports that it is alive.
        trouble: Whether it asks to be treated as not alive (``WATCHDOG=trigger``).
        status: Description of its activity in its own words; None if the datagram has none.
        extend: Least seconds from now that a running time limit must last; the program notifies again within them.
        main_pid: Process id of its main process.
        error: Number of the error by which it fails (``ERRNO``); None if the datagram has none.
        restart_reset: Whether the delay before its next restart begins at the shortest one again.
        barrier: Whether the sender waits until the descriptor that it sent along is closed.
    """

    ready: bool = False
    reloading: bool = False
    stopping: bool = False
    watchdog: bool = False
    trouble: bool = False
    status: str | None = None
    extend: float | None = None
    main_pid: int | None = None
    error: int | None = None
    restart_reset: bool = False
    barrier: bool = False


def read_notice(datagram: bytes) -> Notice:
    """Parse a datagram: one assignment on each line."""
    assigned = dict(
        line.split("=", 1) for line in datagram.decode("utf-8", "backslashreplace").split("\n") if "=" in line
    )
    extend = _number(assigned.get("EXTEND_TIMEOUT_USEC"))
    return Notice(
        ready=assigned.get("READY") == "1",
        reloading=assigned.get("RELOADING") == "1",
        stopping=assigned.get("STOPPING") == "1",
        watchdog=assigned.get("WATCHDOG") == "1",
        trouble=assigned.get("WATCHDOG") == "trigger",
        status=assigned["STATUS"].strip()[:_STATUS_LENGTH] if "STATUS" in assigned else None,
        extend=None if extend is None else extend / 1e6,
        main_pid=_number(assigned.get("MAINPID")),
        error=_number(assigned.get("ERRNO")) or None,
        restart_reset=assigned.get("RESTART_RESET") == "1",
        barrier=assigned.get("BARRIER") == "1",
    )


def _number(text: str | None) -> int | None:
    # int() also accepts signs, blanks, underscores and the digits of other scripts.
    if text is None or not (text.isascii() and text.isdecimal()) or len(text) > 19:  # noqa: PLR2004  # digits of 2**63
        return None
    return int(text)


def error_text(number: int) -> str:
    """Return the name of an error of the system; its number where there is no name."""
    return errno.errorcode.get(number, f"errno {number}")
