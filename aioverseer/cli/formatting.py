"""What is shown: lines with the name of their service, and news as sentences. Formats only; nothing is written here."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from aioverseer import Event, Line, State, Status

__all__ = ["OWN_NAME", "Screen", "plural", "sentence", "shows_colours", "summary"]

OWN_NAME = "aioverseer"

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class Screen:
    """How the lines of a set of services look."""

    def __init__(self, names: Iterable[str], *, prefixed: bool, coloured: bool = False) -> None:
        """Choose widths and colours.

        Args:
            names: All services.
            prefixed: Whether each line begins with its service's name.
            coloured: Whether each name has a colour; it depends on the names alone.
        """
        names = list(names)
        self._prefixed = prefixed
        self._width = max(map(len, [*names, OWN_NAME])) if prefixed else 0
        self._colours = _colours_of(names) if coloured else {}
        self._unfinished: set[tuple[str, str]] = set()

    def news(self, text: str) -> bytes:
        """Return a sentence of our own."""
        return f"{OWN_NAME:<{self._width}} | {text}\n".encode(errors="backslashreplace")

    def lines(self, lines: Iterable[Line]) -> bytes:
        """Return lines of one stream of one service."""
        return b"".join(map(self._line, lines))

    def _line(self, line: Line) -> bytes:
        text = line.text if isinstance(line.text, bytes) else line.text.encode(errors="replace")
        if not self._prefixed:
            return text if line.continued else text + b"\n"
        # A line that is too long comes in pieces, and others may have written in between.
        key = (line.id, line.stream)
        mark = "+" if key in self._unfinished else "|"
        if line.continued:
            self._unfinished.add(key)
        else:
            self._unfinished.discard(key)
        prefix = f"{line.id:<{self._width}} {mark} "
        colour = self._colours.get(line.id)
        if colour is not None:
            # The 0 ends what a service has left switched on.
            prefix = f"\x1b[0;{colour}m{prefix}\x1b[0m"
        return prefix.encode() + text + b"\n"


def shows_colours(environ: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Return whether to use colours; see no-color.org."""
    return is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _colours_of(names: Iterable[str]) -> dict[str, int]:
    """Give each name the colour that its text asks for, or the next one that is free."""
    chosen: dict[str, int] = {}
    for name in names:
        start = zlib.crc32(name.encode()) % len(_COLOURS)
        wishes = [*_COLOURS[start:], *_COLOURS[:start]]
        free = [colour for colour in wishes if colour not in chosen.values()]
        chosen[name] = (free or wishes)[0]
    return chosen


def sentence(event: Event, *, terse: bool = False) -> str | None:
    """Return what to say about a transition; None when it is not worth a line.

    Args:
        event: The transition.
        terse: Whether a first start and a good end go without saying.
    """
    missed = f"({event.missed} news were lost) " if event.missed else ""
    if event.kind != "state":
        return f"{missed}{event.id}: {event.reason}"
    match event.state:
        case State.RUNNING if not (terse and event.status.restarts == 0):
            return f"{missed}{event.id}: started with pid {event.status.pid}"
        case State.FINISHED if terse and event.status.ok:
            return None
        case State.BACKOFF | State.FINISHED | State.INTERRUPT | State.FATAL:
            return f"{missed}{event.id}: {event.reason}"
        case _:
            return None


def summary(status: Status) -> str:
    """Return what to say at the end about a service that did not end well."""
    return f"{status.id} failed: {status.reason} ({status.state}, {plural(status.restarts, 'restart')})"


def plural(n: int, noun: str) -> str:
    """Return ``1 service``, ``2 services``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
