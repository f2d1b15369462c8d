"""Decoders: from bytes to text, piece by piece, where those of ``codecs`` raise although errors are to be replaced.

How text becomes lines lives in ``lines.py``, and never here.
"""

from __future__ import annotations

import codecs
import sys
from typing import Literal, Protocol

__all__ = ["Decoder", "decoder_for"]


class Decoder(Protocol):
    """What decodes one stream."""

    def decode(self, input: bytes, /, final: bool = ...) -> str:  # noqa: FBT001  # as codecs has it
        """Return the text that is whole; with ``final`` all that is left."""
        ...


def decoder_for(encoding: str, errors: str) -> Decoder:
    """Return a new decoder.

    Args:
        encoding: The name of a codec.
        errors: What becomes of broken bytes, by the name of an error handler.
    """
    name = codecs.lookup(encoding).name
    if name in ("utf-16", "utf-32"):
        return _MarkedDecoder("utf-16" if name == "utf-16" else "utf-32", errors)
    if name.startswith("iso2022"):
        return _EscapedDecoder(name, errors)
    return codecs.getincrementaldecoder(encoding)(errors)


class _MarkedDecoder:
    """UTF-16 and UTF-32, with or without a byte order mark; where there is none, that of codecs raises."""

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
    """ISO-2022: that of codecs holds eight bytes, and raises as it waits for up to sixteen of a broken escape sequence.

    Such a sequence is given to it byte by byte; when it is too long, its first byte is the broken one.
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
                # Before Python 3.13 it says so by a plain UnicodeError; all else is of a handler that raises.
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
