"""What a line looks like in a log file.

Bytes are made here and written in ``system/log_file.py``; nothing in here knows of files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from aioverseer.core.lines import Line
from aioverseer.core.logs import LogFile

__all__ = ["Entry", "Gap", "LogFormat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Stands where lines are missing in a log file.

    Attributes:
        id: Id of the service whose lines they are; empty for those of several.
        n: How many are missing.
        time: When the next one was read.
        reason: Why they are missing.
    """

    id: str
    n: int
    time: datetime
    reason: str


Entry = Line | Gap

_END = "\n"


class LogFormat:
    """Makes bytes of the entries of one file, in their order."""

    def __init__(self, log: LogFile) -> None:
        """Make a format for a file that ends with a whole line.

        Args:
            log: The rules.
        """
        self._encode = self._text if log.format == "text" else self._json
        self._timestamps = log.timestamps
        self._open: tuple[str, str, int] | None = None
        self._stamped: tuple[datetime | None, str] = (None, "")

    @property
    def unfinished(self) -> bool:
        """Whether what was made so far ends in the middle of a line."""
        return self._open is not None

    def reset(self) -> None:
        """Take note that what comes next begins a line."""
        self._open = None

    def encode(self, entry: Entry, *, named: bool) -> bytes:
        """Return the bytes of the next entry.

        Args:
            entry: The line, or the mark of missing ones.
            named: Whether lines of text begin with the id of their service.
        """
        return self._encode(entry, named)

    def _text(self, entry: Entry, named: bool) -> bytes:  # noqa: FBT001  # the two formats are called alike
        if isinstance(entry, Gap):
            words = f"[aioverseer: {_lines(entry.n)} missing here: {entry.reason}]"
            return self._head(entry, named=named and bool(entry.id)) + _encoded(words) + b"\n"
        source = (entry.id, entry.stream, entry.run)
        head = b"" if self._open == source else self._head(entry, named=named)
        body = _encoded(entry.text) if isinstance(entry.text, str) else entry.text
        if entry.continued:
            self._open = source
            return head + body
        self._open = None
        return head + body + b"\n"

    def _head(self, entry: Entry, *, named: bool) -> bytes:
        # A piece of somebody's over-long line is followed by something else: its rest will begin a line of its own.
        head = "\n" if self._open is not None else ""
        self._open = None
        if self._timestamps:
            head += f"{self._stamp(entry.time)} "
        if named:
            head += f"{entry.id.replace(_END, ' ')} | "
        return _encoded(head)

    def _json(self, entry: Entry, named: bool) -> bytes:  # noqa: ARG002, FBT001  # an object always names the service
        time = self._stamp(entry.time)
        if isinstance(entry, Gap):
            return _object({"time": time, "id": entry.id or None, "missing": entry.n, "reason": entry.reason})
        text = entry.text if isinstance(entry.text, str) else entry.text.decode("utf-8", "backslashreplace")
        fields: dict[str, object] = {
            "time": time,
            "id": entry.id,
            "stream": entry.stream,
            "run": entry.run,
            "text": text,
        }
        if entry.continued:
            fields["continued"] = True
        return _object(fields)

    def _stamp(self, time: datetime) -> str:
        # All lines of a batch have the same time, so it is written out once.
        if time is not self._stamped[0]:
            self._stamped = (time, time.isoformat(timespec="milliseconds"))
        return self._stamped[1]


def _lines(n: int) -> str:
    return "1 line is" if n == 1 else f"{n} lines are"


def _encoded(text: str) -> bytes:
    try:
        # What errors="surrogateescape" has made of a byte becomes that byte again.
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def _object(fields: dict[str, object]) -> bytes:
    # A surrogate alone has no UTF-8; as backslashreplace writes it, it is the escape that JSON has for it.
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
