"""Checks of the options of a Spec for output: destinations, streams, framings and encodings."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.options.checker import Checker
from aioverseer.core.options.composition import Probe, leaves
from aioverseer.core.options.destinations import streams_read, unfit_destination
from aioverseer.core.options.encodings import kind_of
from aioverseer.core.options.framing import (
    STREAMS,
    AnyFraming,
    Lines,
    as_framing,
    framing_by_stream,
    framing_of,
    is_lines,
)

__all__ = [
    "check_destination",
    "check_encoding",
    "check_errors",
    "check_framed",
    "check_framing",
    "check_replacing",
    "check_streaming",
    "check_streams",
    "check_unread",
    "check_window",
]

_WINDOW = range(1, 1 << 16)
_OF_ASCII = re.compile(r"utf-(7|16|32).*|iso2022.*|hz")
"""Names of codecs that can refuse bytes below 128."""


def check_destination(check: Checker, option: str, value: object) -> object:
    """Return the destination of a stream; None for that of both streams."""
    if option != "output" and value is None:
        return None
    if (why := unfit_destination(value)) is not None:
        raise check.refuse(option, value, why)
    return value


def check_unread(check: Checker, values: Mapping[str, Any]) -> None:
    """Check that no other option needs a stream that is not read."""
    read = streams_read(values)
    if values["merge_stderr"] and values["stderr"] is not None:
        raise check.refuse("stderr", values["stderr"], "cannot go with merge_stderr=True: leave one out")
    if read >= {"stdout"} and (values["merge_stderr"] or "stderr" in read):
        return
    option = next(name for name in ("output", "stdout", "stderr") if values[name] not in (None, "read"))
    place, streaming = values[option], values["streaming"]
    for name, needed in (
        ("buffered", read if values["buffered"] else True),
        ("streaming", not streaming or (streaming in read if isinstance(streaming, str) else read)),
        ("pty", not values["pty"]),
    ):
        if not needed:
            given = f"{name}={values[name]!r}"
            raise check.refuse(option, place, f"cannot go with {given}, which reads it: leave one out")
    given = f"{option}={place!r}"
    if values["ready"] is not None:
        for leaf in leaves(values["ready"]):
            stream = getattr(leaf, "stream", None)
            if leaf.reads_lines and not (read if stream is None else stream in read):
                raise SpecError(
                    f"service {check.id!r}: ready={str(leaf)!r} needs lines, and {given} gives none: "
                    "take another probe",
                    option="ready",
                    value=leaf,
                )
    if values["log"] and not read:
        raise check.refuse("log", values["log"], f"needs lines, and {given} gives none: leave one out")


def check_window(check: Checker, option: str, value: object) -> object:
    """Return the size of a terminal."""
    match value:
        case (int(columns), int(rows)) if columns in _WINDOW and rows in _WINDOW:
            return columns, rows
        case _:
            raise check.refuse(option, value, "is no size: pass (columns, rows), for example (80, 24)")


def check_streaming(check: Checker, value: object) -> object:
    """Return the streams that are delivered."""
    if not isinstance(value, bool) and value not in ("stdout", "stderr"):
        raise check.refuse("streaming", value, 'is unknown: pass True, "stdout", "stderr" or False')
    return value


def check_streams(check: Checker, values: Mapping[str, Any]) -> None:
    """Check that a stream that is delivered has lines of its own."""
    for name in ("merge_stderr", "pty"):
        if values["streaming"] == "stderr" and values[name]:
            raise check.refuse(
                "streaming", "stderr", f'has no lines of its own with {name}=True: pass streaming="stdout"'
            )


def check_framing(check: Checker, value: object) -> object:
    """Return the framing of one stream or of both."""
    try:
        return as_framing(value)
    except SpecError as error:
        raise check.refuse("framing", value, str(error)) from error.__cause__


def check_framed(check: Checker, values: Mapping[str, Any]) -> None:
    """Check that a framing fits the destinations, the encoding and the probes."""
    framing = cast("AnyFraming", values["framing"])
    of_streams = framing_by_stream(framing)
    is_one = values["merge_stderr"] or values["pty"]
    if framing == Lines():  # the default, written out
        return
    read = streams_read(values)
    for stream in ("",) if of_streams is None or is_one else of_streams:
        if not read or (stream and stream not in read):
            option = stream if values.get(stream) is not None else "output" if not read else "stdout"
            given = f"{option}={values[option]!r}"
            raise check.refuse("framing", framing, f"needs output, and {given} gives none")
    if is_one and of_streams is not None and "stderr" in of_streams:
        name = "pty" if values["pty"] else "merge_stderr"
        raise check.refuse("framing", framing, f"has a framing of stderr, which {name}=True puts into stdout")
    streams = STREAMS[:1] if is_one else STREAMS
    for stream in streams:
        lines = framing_of(framing, stream)
        if isinstance(lines, Lines) and (lines.universal or lines.end is not None):
            _check_splittable(check, framing, lines, values["encoding"])
    if values["ready"] is not None:
        of_lines = [stream for stream in streams if is_lines(framing, stream)]
        _check_in_lines(check, values["ready"], streams, of_lines)


def _check_in_lines(check: Checker, probe: Probe, streams: Sequence[str], of_lines: Sequence[str]) -> None:
    """Refuse a probe for a line of a stream that is not divided into lines.

    Args:
        check: Checks of the service.
        probe: Probe to check.
        streams: Streams of the program.
        of_lines: Streams that are divided into lines.
    """
    for leaf in leaves(probe):
        if not leaf.reads_lines:
            continue
        wanted = getattr(leaf, "stream", None)
        others = [stream for stream in streams if wanted in (None, stream) and stream not in of_lines]
        if others:
            hint = f"pass stream={of_lines[0]!r} to the probe" if of_lines else "take another probe"
            why = f"needs lines, and the framing of {others[0]} gives none: {hint}"
            raise SpecError(f"service {check.id!r}: ready={str(leaf)!r} {why}", option="ready", value=leaf)


def _check_splittable(check: Checker, framing: object, lines: Lines, encoding: str | None) -> None:
    """Refuse ends of lines that cannot be found in the bytes of an encoding."""
    if encoding is not None and kind_of(encoding) == "other":
        raise check.refuse("framing", framing, f"cannot go with encoding={encoding!r}: pass encoding=None for bytes")
    if isinstance(lines.end, str):
        try:
            lines.end.encode(encoding or "utf-8")
        except UnicodeError:
            raise check.refuse(
                "framing", framing, f"has an end that encoding={encoding!r} has not: pass bytes"
            ) from None


def check_encoding(check: Checker, encoding: object) -> object:
    """Return the encoding, one of text."""
    if encoding is not None:
        try:
            # Some codecs do not make text of bytes, such as "hex"; others raise for a wrong byte whatever
            # ``errors`` is, such as "idna". Only a byte to decode shows it.
            b"\xff".decode(cast("str", encoding), "replace")
            "".encode(cast("str", encoding))
        except (LookupError, TypeError, ValueError):
            raise check.refuse("encoding", encoding, "is unknown: pass a text encoding's name, or None") from None
    return encoding


def check_errors(check: Checker, errors: object) -> object:
    """Return the error handler of an encoding, one that raises nothing."""
    try:
        # A handler that raises would end the reading in the middle of the output.
        b"\xff".decode("ascii", cast("str", errors))
    except Exception:  # noqa: BLE001  # an error handler of the user's own may raise anything
        raise check.refuse(
            "errors",
            errors,
            "raises for broken bytes, or is unknown: pass 'replace', 'ignore', 'backslashreplace' or "
            "'surrogateescape', or encoding=None for bytes",
        ) from None
    return errors


def check_replacing(check: Checker, values: Mapping[str, Any]) -> None:
    """Check that the error handler raises nothing in this encoding."""
    errors, encoding = values["errors"], values["encoding"]
    if errors != "surrogateescape" or encoding is None:
        return
    if _OF_ASCII.fullmatch(codecs.lookup(encoding).name):
        raise check.refuse(
            "errors",
            errors,
            f"raises for broken bytes of encoding={encoding!r}: pass 'replace', 'ignore' or "
            "'backslashreplace', or encoding=None for bytes",
        )
