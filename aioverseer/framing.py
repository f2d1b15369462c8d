r"""Framings, which divide the output of a program into items: ``framing=framing.content_length()``.

Items of ``lines`` are text, those of all others bytes. The option ``framing`` takes a framing for both streams, or a
dict such as ``{"stdout": framing.content_length()}``. A stream without a framing of its own gives lines.

A class of your own is a framing, too, if its objects have ``feed(bytes) -> list`` and ``end() -> list``; see
``aioverseer.abc.Framing``. Each run takes a new object of it for each stream. An object is copied for each.
"""

from __future__ import annotations

from aioverseer.core.options.framing import FramingRule
from aioverseer.core.options.framing_makers import chunks, content_length, length_prefix, lines

__all__ = ["FramingRule", "chunks", "content_length", "length_prefix", "lines"]
