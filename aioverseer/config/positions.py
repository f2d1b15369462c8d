"""Positions in TOML: the line and column of each key and value, found when there is an error to show.

``tomllib`` reads files; its result has no positions. This scanner reads the text a second time and keeps places only.
It follows the grammar of TOML 1.0. Where a text is wrong, it stops and keeps the places found so far.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Positions", "Span", "positions_in"]

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Part of a text, from one character up to another one, as offsets from 0."""

    start: int
    end: int


class Positions:
    """Places of the keys and values of a text.

    Attributes:
        keys: Place of each key, by its path. A table that only longer headers name has the place of its first part.
        values: Place of each value, by its path. That of a table is its header.
        written: Path and place of each key as a whole, in the order of the text; a key may stand there twice.
        open: Path and start of each bracket that the text does not close, from the outermost on.
    """

    def __init__(self, text: str) -> None:
        self.keys: dict[Path, Span] = {}
        self.values: dict[Path, Span] = {}
        self.written: list[tuple[Path, Span]] = []
        self.open: list[tuple[Path, int]] = []
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._text = text

    def nearest(self, path: Path, *, of_key: bool = False) -> Span | None:
        """Return the place of a value or key, or of the nearest one around it."""
        for length in range(len(path), 0, -1):
            tables = (self.keys, self.values) if of_key and length == len(path) else (self.values, self.keys)
            for table in tables:
                if path[:length] in table:
                    return table[path[:length]]
        return None

    def is_container(self, place: Span) -> bool:
        """Return whether a value is a list or a table."""
        return self._text.startswith(("[", "{"), place.start)

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Return the numbers of the line and of the character in it, from 1."""
        low, high = 0, len(self._starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._starts[middle] <= offset else (low, middle)
        return low + 1, offset - self._starts[low] + 1

    def line(self, number: int) -> tuple[int, str]:
        """Return the offset of a line, and its text without its end."""
        start = self._starts[number - 1]
        end = self._text.find("\n", start)
        return start, self._text[start : len(self._text) if end < 0 else end].removesuffix("\r")


_DEEPEST = 100
"""Lists and tables inside each other: the paths of more would fill the memory. A load refuses fewer than these."""
_BLANK = re.compile(r"[ \t]*")
_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"((?:[^"\\\n]|\\[^\n])*)"')
_LITERAL = re.compile(r"'([^'\n]*)'")
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\[\s\S])*?"{3,5}(?!")')
_LONG_LITERAL = re.compile(r"'''[\s\S]*?'{3,5}(?!')")
_PLAIN = re.compile(r"[^\s,\]}#][^,\]}#\n]*")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[^\n])")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


class _Stopped(Exception):  # it never leaves this file
    """The text is no TOML from here on."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.found = Positions(text)
        self._lists: dict[Path, int] = {}
        """Number of elements of each array of tables."""

    def scan(self) -> None:
        text = self._text
        table: Path = ()
        while True:
            self._skip(_SPACE)
            if self._at >= len(text):
                return
            if text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
            if self._at < len(text) and text[self._at] not in "\r\n#":
                raise _Stopped

    def _header(self) -> Path:
        start = self._at
        is_list = self._text.startswith("[[", start)
        self._at += 2 if is_list else 1
        parts = list(self._key_parts())
        self._skip(_BLANK)
        self._take("]]" if is_list else "]")
        path: Path = ()
        whole_key = Span(start=parts[0][1].start, end=parts[-1][1].end)
        for number, (name, place) in enumerate(parts):
            path = (*path, name)
            if number == len(parts) - 1:
                self.found.written.append((path, whole_key))
            self.found.keys.setdefault(path, place)
            is_last = number == len(parts) - 1
            if is_last and is_list:
                self.found.values.setdefault(path, Span(start=start, end=self._at))
                index = self._lists[path] = self._lists.get(path, -1) + 1
                path = (*path, index)
            elif path in self._lists:
                path = (*path, self._lists[path])
            if is_last or path not in self.found.values:
                whole = Span(start=start, end=self._at)
                self.found.values[path] = whole if is_last else place
        return path

    def _pair(self, table: Path) -> None:
        self._value(self._key(table))

    def _key_parts(self) -> Iterator[tuple[str, Span]]:
        while True:
            self._skip(_BLANK)
            start = self._at
            if found := _BARE.match(self._text, start):
                name = found[0]
            elif found := _BASIC.match(self._text, start):
                name = _ESCAPE.sub(_unescaped, found[1])
            elif found := _LITERAL.match(self._text, start):
                name = found[1]
            else:
                raise _Stopped
            self._at = found.end()
            yield name, Span(start=start, end=self._at)
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return
            self._at += 1

    def _value(self, path: Path) -> None:
        """Scan a value. Nested ones are kept on a list, and not on the stack of calls."""
        # Each open bracket: its path, its start, its end character, and the number of the next element.
        stack: list[tuple[Path, int, str, int]] = []
        try:
            self._nested_values(path, stack)
        except _Stopped:
            self.found.open = [(path, start) for path, start, _, _ in stack]
            raise

    def _nested_values(self, path: Path, stack: list[tuple[Path, int, str, int]]) -> None:
        while True:
            start = self._at
            self.found.values[path] = Span(start=start, end=start + 1)
            sign = self._text[start : start + 1]
            if sign in ("[", "{") and sign:
                if len(stack) >= _DEEPEST:
                    raise _Stopped
                self._at += 1
                stack.append((path, start, "]" if sign == "[" else "}", 0))
            else:
                # A text without its end may reach to the end of the file.
                self.found.values[path] = Span(start=start, end=len(self._text))
                self._scalar()
                self.found.values[path] = Span(start=start, end=self._at)
            after = self._next(stack)
            if after is None:
                return
            path = after

    def _next(self, stack: list[tuple[Path, int, str, int]]) -> Path | None:
        """Return the path of the next element in the brackets, after closing those that end here."""
        while stack:
            path, start, end, number = stack[-1]
            blanks = _SPACE if end == "]" else _BLANK
            self._skip(blanks)
            if number and self._text.startswith(",", self._at):
                self._at += 1
                self._skip(blanks)
            elif number and not self._text.startswith(end, self._at):
                raise _Stopped
            if self._text.startswith(end, self._at):
                self._at += 1
                self.found.values[path] = Span(start=start, end=self._at)
                stack.pop()
                continue
            stack[-1] = (path, start, end, number + 1)
            return (*path, number) if end == "]" else self._key(path)
        return None

    def _key(self, table: Path) -> Path:
        path = table
        parts = list(self._key_parts())
        for name, place in parts:
            path = (*path, name)
            self.found.keys.setdefault(path, place)
            self.found.values.setdefault(path, place)  # of the tables that a dotted key makes
        self.found.written.append((path, Span(start=parts[0][1].start, end=parts[-1][1].end)))
        self._skip(_BLANK)
        self._take("=")
        self._skip(_BLANK)
        return path

    def _scalar(self) -> None:
        is_long = self._text.startswith(("'''", '"""'), self._at)
        for pattern in (_LONG_BASIC, _LONG_LITERAL) if is_long else (_BASIC, _LITERAL):
            if found := pattern.match(self._text, self._at):
                self._at = found.end()
                return
        is_quoted = self._text.startswith(("'", '"'), self._at)
        found = None if is_quoted else _PLAIN.match(self._text, self._at)
        if found is None:
            raise _Stopped
        self._at += len(found[0].rstrip())

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self._text, self._at):
            self._at = found.end()

    def _take(self, sign: str) -> None:
        if not self._text.startswith(sign, self._at):
            raise _Stopped
        self._at += len(sign)


def _unescaped(found: re.Match[str]) -> str:
    word = found[1]
    return chr(int(word[1:], 16)) if word[0] in "uU" else _ESCAPES.get(word, word)


def positions_in(text: str) -> Positions:
    """Return the places of the keys and values of a text in TOML, as far as it is valid."""
    scanner = _Scanner(text)
    with contextlib.suppress(_Stopped):
        scanner.scan()
    return scanner.found
