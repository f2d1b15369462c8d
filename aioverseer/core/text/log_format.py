"""LogFormat: the bytes of lines in a log file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from aioverseer.core.options.log import LogFile
from aioverseer.core.text.counted import counted
from aioverseer.core.text.lines import Line

__all__ = ["Entry", "Gap", "LogFormat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Mark for missing lines in a log file.

    Attributes:
        id: Id of the service that wrote the lines; empty for lines of several services.
        n: Number of missing lines.
        time: Time at which the next line was read.
        reason: Reason why the lines are missing.
    """

    id: str
    n: int
    time: datetime
    reason: str


Entry = Line | Gap

_END = "\n"
_QUOTE = json.JSONEncoder(ensure_ascii=False).encode


class LogFormat:
    """Encoder of the entries of one file, in their order."""

    def __init__(self, log: LogFile) -> None:
        """Make an encoder for a file that ends with a complete line.

        Args:
            log: Options of the file.
        """
        self._is_json = log.format == "json"
        self._encode = self._json if self._is_json else self._text
        self._timestamps = log.timestamps
        self._open: tuple[str, str, int] | None = None
        self._is_exact = False
        self._stamped: tuple[datetime | None, str] = (None, "")

    @property
    def unfinished(self) -> bool:
        """Whether the bytes so far end in the middle of a line."""
        return self._open is not None

    @property
    def needs_end(self) -> bool:
        """Whether the unfinished line must be ended before the file is left.

        A newline is added to text with a prefix and to decoded text, but not to the bytes of a program.
        """
        return self._open is not None and not self._is_exact

    def continues(self, entry: Entry) -> bool:
        """Return whether an entry continues the unfinished line."""
        return isinstance(entry, Line) and self._open == (entry.id, entry.stream, entry.run)

    def reset(self) -> None:
        """Begin a new line with the next entry."""
        self._open = None

    def encode_all(self, entries: Sequence[Entry], *, named: bool) -> bytes | None:
        """Return the bytes of the next entries at once, which is much faster than one by one.

        Args:
            entries: Lines to encode.
            named: Whether lines of text begin with the id of their service.

        Returns:
            Bytes, or None if the entries must be encoded one by one: marks, bytes, or pieces of over-long lines.
        """
        if self._open is not None or set(map(type, entries)) != {Line}:
            return None
        lines = cast("Sequence[Line]", entries)
        if True in [line.continued for line in lines]:
            return None
        try:
            if self._is_json:
                return self._all_json(lines)
            texts: list[Any] = [line.text for line in lines]
            if self._timestamps or named:
                texts = self._all_headed(lines, named=named)
            if isinstance(texts[0], bytes):
                return b"\n".join(texts) + b"\n"
            return ("\n".join(texts) + "\n").encode("utf-8", "surrogateescape")
        except (TypeError, UnicodeEncodeError):  # text among bytes, or text that UTF-8 cannot encode
            return None

    def _all_headed(self, lines: Sequence[Line], *, named: bool) -> list[Any]:
        head: Any = ""
        id, time, is_bytes = "", None, False
        texts: list[Any] = []
        for line in lines:
            if line.time is not time or line.id != id or isinstance(line.text, bytes) is not is_bytes:
                id, time, is_bytes = line.id, line.time, isinstance(line.text, bytes)
                head = self._head(line, named=named)
                head = _encoded(head) if is_bytes else head
            texts.append(head + line.text)
        return texts

    def _all_json(self, lines: Sequence[Line]) -> bytes:
        head, last = "", None
        texts: list[str] = []
        for line in lines:
            source = (line.time, line.id, line.stream, line.run)
            if source != last:
                last = source
                head = _QUOTE(self._fields(line))[:-1] + ', "text": '
            if not isinstance(line.text, str):
                raise TypeError
            texts.append(f"{head}{_QUOTE(line.text)}}}\n")
        return "".join(texts).encode("utf-8", "backslashreplace")

    def encode(self, entry: Entry, *, named: bool) -> bytes:
        """Return the bytes of the next entry.

        Args:
            entry: Line, or mark for missing lines.
            named: Whether lines of text begin with the id of their service.
        """
        return self._encode(entry, named)

    def _text(self, entry: Entry, named: bool) -> bytes:  # noqa: FBT001  # the two formats are called alike
        if isinstance(entry, Gap):
            words = f"[aioverseer: {counted(entry.n, 'line', verb=True)} missing here: {entry.reason}]"
            return _encoded(self._head(entry, named=named and bool(entry.id)) + words) + b"\n"
        source = (entry.id, entry.stream, entry.run)
        head = b"" if self._open == source else _encoded(self._head(entry, named=named))
        content = _encoded(entry.text) if isinstance(entry.text, str) else entry.text
        if entry.continued:
            self._open = source
            self._is_exact = isinstance(entry.text, bytes) and not self._timestamps and not named
            return head + content
        self._open = None
        return head + content + b"\n"

    def _head(self, entry: Entry, *, named: bool) -> str:
        # The entry follows a piece of another over-long line. End that line here; its rest will begin a new one.
        head = "\n" if self._open is not None else ""
        self._open = None
        if self._timestamps:
            head += f"{self._stamp(entry.time)} "
        if named:
            head += f"{entry.id.replace(_END, ' ')} | "
        return head

    def _json(self, entry: Entry, named: bool) -> bytes:  # noqa: ARG002, FBT001  # an object always names the service
        if isinstance(entry, Gap):
            time = self._stamp(entry.time)
            return _object({"time": time, "id": entry.id or None, "missing": entry.n, "reason": entry.reason})
        text = entry.text if isinstance(entry.text, str) else entry.text.decode("utf-8", "backslashreplace")
        fields = self._fields(entry) | {"text": text}
        if entry.continued:
            fields["continued"] = True
        return _object(fields)

    def _fields(self, line: Line) -> dict[str, object]:
        return {"time": self._stamp(line.time), "id": line.id, "stream": line.stream, "run": line.run}

    def _stamp(self, time: datetime) -> str:
        # All lines of a batch have the same time object, so format it once.
        if time is not self._stamped[0]:
            self._stamped = (time, time.isoformat(timespec="milliseconds"))
        return self._stamped[1]


def _encoded(text: str) -> bytes:
    try:
        # Bytes that were decoded with errors="surrogateescape" become the same bytes again.
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def _object(fields: dict[str, object]) -> bytes:
    # UTF-8 cannot encode a lone surrogate. backslashreplace writes it as the escape that JSON has for it.
    return _QUOTE(fields).encode("utf-8", "backslashreplace") + b"\n"
