"""Kinds of encodings: how the bytes of a stream can be divided into lines."""

from __future__ import annotations

import codecs
import functools
import re
from typing import Literal

from aioverseer.core.errors import SpecError

__all__ = ["kind_of"]

_ONE_BYTE = re.compile(r"ascii|iso8859-\d+|cp\d+|koi8-\w|mac-\w+|tis-620|kz1048|ptcp154|hp-roman8")
"""Names of codecs without shifts; whether each byte is a character is tried out."""


@functools.cache
def kind_of(encoding: str) -> Literal["utf-8", "one-byte", "other"]:
    """Return the way in which an encoding can be split.

    Raises:
        SpecError: If there is no such encoding of text.
    """
    try:
        name = codecs.lookup(encoding).name
        b"".decode(encoding)
        "".encode(encoding)
        codecs.getincrementaldecoder(encoding)
    except (LookupError, UnicodeError) as error:
        raise SpecError(
            f"encoding={encoding!r} is no encoding of text: pass a codec's name, or None for bytes",
            option="encoding",
            value=encoding,
        ) from error
    if name == "utf-8":
        return "utf-8"
    if _ONE_BYTE.fullmatch(name):
        table = bytes(range(256)).decode(encoding, "replace")
        if len(table) == 256 and [i for i, text in enumerate(table) if text == "\n"] == [0x0A]:  # noqa: PLR2004
            return "one-byte"
    return "other"
