"""What a program says to the socket in ``NOTIFY_SOCKET``: the datagrams of sd_notify(3) as values.

Reading only. The socket lives in ``_system/probes/notify_socket.py``; what follows from a notice is decided elsewhere. Unknown
assignments are left out, as sd_notify(3) demands; so is what cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Notice", "read_notice"]

_STATUS_LENGTH = 1000
"""Characters of a STATUS that are kept: it is one line for a person to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One datagram of a program.

    Attributes:
        ready: It can do its work, or has read its configuration anew.
        reloading: It reads its configuration anew.
        stopping: It is about to end.
        watchdog: It is alive.
        trouble: It asks to be treated as one that is not alive (``WATCHDOG=trigger``).
        status: What it is doing, in its own words; None when it did not say.
        extend: Seconds from now within which it will speak again: a time limit that is running lasts at least so long.
        main_pid: The process that it calls its main one.
        barrier: The sender waits until the descriptor that comes with it is closed.
    """

    ready: bool = False
    reloading: bool = False
    stopping: bool = False
    watchdog: bool = False
    trouble: bool = False
    status: str | None = None
    extend: float | None = None
    main_pid: int | None = None
    barrier: bool = False


def read_notice(datagram: bytes) -> Notice:
    """Read a datagram: assignments, one on each line."""
    said = dict(line.split("=", 1) for line in datagram.decode("utf-8", "backslashreplace").split("\n") if "=" in line)
    extend = _number(said.get("EXTEND_TIMEOUT_USEC"))
    return Notice(
        ready=said.get("READY") == "1",
        reloading=said.get("RELOADING") == "1",
        stopping=said.get("STOPPING") == "1",
        watchdog=said.get("WATCHDOG") == "1",
        trouble=said.get("WATCHDOG") == "trigger",
        status=said["STATUS"].strip()[:_STATUS_LENGTH] if "STATUS" in said else None,
        extend=None if extend is None else extend / 1e6,
        main_pid=_number(said.get("MAINPID")),
        barrier=said.get("BARRIER") == "1",
    )


def _number(text: str | None) -> int | None:
    # int() also takes signs, blanks, underscores and the digits of other scripts.
    if text is None or not (text.isascii() and text.isdecimal()) or len(text) > 19:  # noqa: PLR2004  # digits of 2**63
        return None
    return int(text)
