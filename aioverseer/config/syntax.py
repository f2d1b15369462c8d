"""Texts that are no TOML: which key is meant, where it stands, and what to write."""

from __future__ import annotations

import re
from dataclasses import replace

from aioverseer.config.excerpts import places_in, problem_in_line
from aioverseer.config.positions import Positions, Span
from aioverseer.config.problems import Problem, shown_path

__all__ = ["syntax_problem"]

_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_TWICE = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate inline")
_BROKEN_TABLE = ("Invalid initial character for a key part", "Unclosed inline table")


def syntax_problem(error: Exception, *, text: str, file: str) -> Problem:
    """Return the problem of a text that is no TOML.

    Args:
        error: Error of ``tomllib``.
        text: Text of the file.
        file: Path of the file.
    """
    said = str(error)
    found = _PLACE.search(said)
    message = _PLACE.sub("", said)
    line, column = (int(found["line"]), int(found["column"])) if found and found["line"] else _end_of(text)
    positions = places_in(text)
    if positions is not None:
        start = positions.line(line)[0] + column - 1
        known = _known(message, positions, text, start)
        if known is not None:
            place, message, hint = known
            line, column = positions.line_and_column(place.start)
            length = place.end - place.start
            return problem_in_line(line, column, f"{_NOT}: {message}", hint, text=text, file=file, length=length)
    message = f"{_NOT}: {message[:1].lower()}{message[1:]}"
    problem = problem_in_line(line, column, message, text=text, file=file)
    return replace(problem, hint=_hint(problem.text))


_NOT = "this is not TOML"


def _known(message: str, positions: Positions, text: str, at: int) -> tuple[Span, str, str] | None:
    """Return place, message and hint of a mistake that is often made; None for another one.

    Args:
        message: Message of ``tomllib``.
        positions: Places of the text.
        text: The text.
        at: Offset at which ``tomllib`` stopped.
    """
    if message.startswith(_TWICE):
        return _twice(positions, text, at)
    if message.startswith(_BROKEN_TABLE) and text.startswith("}", at):
        return Span(start=at, end=at + 1), "a table in braces has no comma at its end", "leave it out"
    if message.startswith(_BROKEN_TABLE) and (at >= len(text) or text[at] in "\r\n#"):
        return _over_lines(positions, text)
    if message == "Unclosed array":
        path, start = next(((path, start) for path, start in reversed(positions.open) if text[start] == "["), ((), -1))
        place = Span(start=start, end=start + 1)
        return None if start < 0 else (place, f"the list {shown_path(path)} is not closed", "write ] at its end")
    if message == "Illegal character '\\n'":
        place = Span(start=at, end=at + 1)
        return place, "the text is not closed", 'write a quote at its end, or """ around several lines'
    return None


def _twice(positions: Positions, text: str, at: int) -> tuple[Span, str, str] | None:
    written = [(path, place) for path, place in positions.written if place.end <= at]
    if not written:
        return None
    path, place = written[-1]
    for outer, outer_place in reversed(written):  # the table in braces may be what is there twice
        if "\n" in text[outer_place.end : place.start]:
            break
        if path[: len(outer)] == outer and positions.keys[outer].start < outer_place.start:
            path, place = outer, outer_place
    for length in range(len(path), 0, -1):
        first = positions.keys.get(path[:length])
        if first is None or first.start >= place.start:
            continue
        line, _ = positions.line_and_column(first.start)
        if length == len(path):
            return place, f"{shown_path(path)} is in line {line} already", "write it once"
        shown = shown_path(path[:length])
        message = f"{shown} is in line {line} already, so {shown_path(path)} is not added to it"
        return place, message, "write both in one table"
    return None


def _over_lines(positions: Positions, text: str) -> tuple[Span, str, str] | None:
    for path, start in reversed(positions.open):
        if text[start] == "{":
            shown = shown_path(path)
            is_plain = all(isinstance(each, str) for each in path)
            hint = f"write it on one line, or as [{shown}]" if is_plain else "write it on one line"
            return Span(start=start, end=start + 1), f"the table {shown} ends on another line", hint
    return None


def _end_of(text: str) -> tuple[int, int]:
    lines = text.split("\n")
    return len(lines), len(lines[-1]) + 1


def _hint(shown: str) -> str | None:
    """Return advice about a line as it is shown, with its secrets masked."""
    found = shown.strip()
    if re.match(r"[\w.-]+\s*:(\s|$)", found):
        return "this looks like YAML: write key = value, and a table as [services.web]"
    value = re.match(r"[\w.\"'-]+\s*=\s*(?P<value>[A-Za-z/~.$*][^\"'\[{#]*)$", found)
    if value is not None:
        return f"put text in quotes: {value['value'].strip()!r}" if not {"\\", "*"} & {*found} else "put text in quotes"
    return None
