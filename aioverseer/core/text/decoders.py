"""Incremental decoders that replace errors where those of ``codecs`` raise."""

from __future__ import annotations

import codecs
import sys
from typing import Literal, Protocol

__all__ = ["Decoder", "decoder_for"]


class Decoder(Protocol):
    """Decoder of one stream."""

    def decode(self, input: bytes, /, final: bool = ...) -> str:  # noqa: FBT001  # as codecs has it
        """Return the text of all complete characters; with ``final`` the rest too."""
        ...


def decoder_for(encoding: str, errors: str) -> Decoder:
    """Return a new decoder.

    Args:
        encoding: Name of a codec.
        errors: Name of the error handler for broken bytes.
    """
    name = codecs.lookup(encoding).name
    if name in ("utf-16", "utf-32"):
        return _MarkedDecoder("utf-16" if name == "utf-16" else "utf-32", errors)
    if name.startswith("iso2022"):
        return _EscapedDecoder(name, errors)
    return codecs.getincrementaldecoder(encoding)(errors)


class _MarkedDecoder:
    """Decoder of UTF-16 and UTF-32, with or without a byte order mark. That of ``codecs`` raises if there is none."""

    __slots__ = ("_begun", "_decoder", "_errors", "_name")

    def __init__(self, name: Literal["utf-16", "utf-32"], errors: str) -> None:
        self._name = name
        self._errors = errors
        self._begun = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def decode(self, input: bytes, /, final: bool = False) -> str:  # noqa: FBT001, FBT002  # as codecs has it
        if self._decoder is not None:
            return self._decoder.decode(input, final)
        data = self._begun + input
        mark = 2 if self._name == "utf-16" else 4
        if len(data) < mark and not final:
            self._begun = data
            return ""
        orders = {"\ufeff".encode(f"{self._name}-{order}"): order for order in ("le", "be")}
        order = orders.get(data[:mark])
        data = data[mark:] if order else data
        order = order or ("le" if sys.byteorder == "little" else "be")
        self._decoder = codecs.getincrementaldecoder(f"{self._name}-{order}")(self._errors)
        return self._decoder.decode(data, final)


class _EscapedDecoder:
    """Decoder of ISO-2022 that survives broken escape sequences.

    The decoder of ``codecs`` waits for up to sixteen bytes of a sequence, but holds only eight and then raises. So
    this one feeds it sequences byte by byte, and replaces the first byte of a sequence that is too long.
    """

    __slots__ = ("_decoder", "_errors", "_name")

    _ESCAPE = 0x1B

    def __init__(self, name: str, errors: str) -> None:
        self._name = name
        self._errors = errors
        self._decoder = codecs.getincrementaldecoder(name)(errors)

    def decode(self, input: bytes, /, final: bool = False) -> str:  # noqa: FBT001, FBT002  # as codecs has it
        text: list[str] = []
        start = 0
        while start < len(input):
            held, shift = self._decoder.getstate()
            end = start + 1
            if not held and input[start] != self._ESCAPE:
                end = input.find(self._ESCAPE, start)
                end = len(input) if end < 0 else end
            try:
                text.append(self._decoder.decode(input[start:end]))
            except UnicodeError as error:
                # The overflow is a plain UnicodeError before Python 3.13. Any other error comes from a handler.
                if isinstance(error, UnicodeDecodeError) and error.reason != "pending buffer overflow":
                    raise
                self._decoder.setstate((b"", shift))
                text.append(self._replaced(held))
                input, start = held[1:] + input[start:], 0
            else:
                start = end
        if final:
            text.append(self._decoder.decode(b"", final=True))
        return "".join(text)

    def _replaced(self, held: bytes) -> str:
        error = UnicodeDecodeError(self._name, held, 0, 1, "incomplete escape sequence")
        return str(codecs.lookup_error(self._errors)(error)[0])
