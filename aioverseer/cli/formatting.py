"""The text that is shown: output lines with the name of their service, and events as sentences."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from aioverseer import Event, Line, State, Status
from aioverseer.cli.printing import plural

__all__ = ["OWN_NAME", "LineFormatter", "describe", "shows_colours", "summary"]

OWN_NAME = "aioverseer"

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class LineFormatter:
    """Formats the output lines of a set of services, and messages of the command itself."""

    def __init__(self, names: Iterable[str], *, prefixed: bool, coloured: bool = False, exact: bool = False) -> None:
        """Choose widths and colours.

        Args:
            names: The names of all services.
            prefixed: Whether each line begins with the name of its service.
            coloured: Whether each name has a colour, which depends on the names alone.
            exact: Whether the lines are chunks of bytes, which are written as they are.
        """
        names = list(names)
        self._exact = exact
        self._prefixed = prefixed
        self._width = max(map(len, [*names, OWN_NAME])) if prefixed else 0
        self._colours = _colours_of(names) if coloured else {}
        self._unfinished: set[tuple[str, str]] = set()

    def message(self, text: str) -> bytes:
        """Return a message of the command itself, as a line."""
        return f"{OWN_NAME:<{self._width}} | {text}\n".encode(errors="backslashreplace")

    def lines(self, lines: Iterable[Line]) -> bytes:
        """Return output lines of one stream of one service, ready to be written."""
        return b"".join(map(self._line, lines))

    def _line(self, line: Line) -> bytes:
        text = line.text if isinstance(line.text, bytes) else line.text.encode(errors="replace")
        if not self._prefixed:
            return text if line.continued or self._exact else text + b"\n"
        # A line above the limit comes in pieces, and lines of other services may stand between them.
        key = (line.id, line.stream)
        mark = "+" if key in self._unfinished else "|"
        if line.continued:
            self._unfinished.add(key)
        else:
            self._unfinished.discard(key)
        prefix = f"{line.id:<{self._width}} {mark} "
        colour = self._colours.get(line.id)
        if colour is not None:
            # The 0 resets colours that the last line of a service has left switched on.
            prefix = f"\x1b[0;{colour}m{prefix}\x1b[0m"
        return prefix.encode() + text + b"\n"


def shows_colours(environ: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Return whether to use colours; see no-color.org."""
    return is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _colours_of(names: Iterable[str]) -> dict[str, int]:
    """Give each name the colour of its checksum, or the next free one."""
    chosen: dict[str, int] = {}
    for name in names:
        start = zlib.crc32(name.encode()) % len(_COLOURS)
        candidates = [*_COLOURS[start:], *_COLOURS[:start]]
        free = [colour for colour in candidates if colour not in chosen.values()]
        chosen[name] = (free or candidates)[0]
    return chosen


def describe(event: Event, *, terse: bool = False) -> str | None:
    """Return a sentence about an event; None if the event is not shown.

    Args:
        event: The event.
        terse: Whether to show neither the first start nor a good end.
    """
    missed = {0: "", 1: "(1 event was lost) "}.get(event.missed, f"({event.missed} events were lost) ")
    if event.kind != "state":
        return f"{missed}{event.id}: {_said_of(event.id, event.reason)}"
    match event.state:
        case State.RUNNING if not (terse and event.status.restarts == 0):
            return f"{missed}{event.id}: started with pid {event.status.pid}"
        case State.FINISHED if terse and event.status.ok:
            return None
        case State.STARTING if event.previous is State.STOPPING or event.reason.startswith("is restarted, as "):
            # A change of watched files also ends a backoff.
            return f"{missed}{event.id}: {_said_of(event.id, event.reason)}"
        case State.WAITING | State.BACKOFF | State.FINISHED | State.INTERRUPT | State.FATAL:
            return f"{missed}{event.id}: {_said_of(event.id, event.reason)}"
        case _:
            return None


def summary(status: Status) -> str:
    """Return the closing sentence about a service that failed."""
    reason = _said_of(status.id, status.reason)
    return f"{status.id} failed: {reason} ({status.state}, {plural(status.restarts, 'restart')})"


def _said_of(id: str, reason: str) -> str:
    """Return a reason without the name of its service at the beginning, as the name is shown before it."""
    return reason.removeprefix(f"{id!r} ").removeprefix(f"service {id!r} ")
