"""Framings as values: the rules by which the bytes of a stream are divided into items.

``aioverseer.framing`` makes them, and ``core/text/framing.py`` makes a decoder of one for each run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from

__all__ = [
    "FRAME_LIMIT",
    "STREAMS",
    "AnyFraming",
    "Chunks",
    "ContentLength",
    "Framing",
    "FramingOption",
    "FramingRule",
    "LengthPrefix",
    "Lines",
    "as_framing",
    "framing_by_stream",
    "framing_of",
    "is_lines",
]

FRAME_LIMIT = 64 * 1024 * 1024
"""Default of the longest frame, in bytes. Text read as a length of 4 or 8 bytes is longer, whatever it says."""
STREAMS = ("stdout", "stderr")


@exported_from("aioverseer.abc")
class Framing(Protocol):
    """A framing of your own: ``framing=MyFraming`` makes one object for each stream of each run.

    It must do no input or output. An exception that it raises goes to the exception handler of the event loop, and the
    stream goes on as ``UnframedBytes``.
    """

    def feed(self, data: bytes, /) -> list[bytes]:
        """Accept the next bytes of the stream; return the items that are complete now."""
        ...

    def end(self) -> list[bytes]:
        """Return the rest at the end of the stream."""
        ...


@exported_from("aioverseer.framing")
class FramingRule:
    """The rule by which a stream is divided into items; made by the functions of ``aioverseer.framing``."""

    __slots__ = ()

    def encode(self, item: bytes) -> bytes:
        """Return the bytes of an item in a stream, for ``write()`` to a program that reads this framing.

        Raises:
            ValueError: If the framing cannot hold the item.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines(FramingRule):
    """Lines of text."""

    end: str | bytes | None = None
    universal: bool = False

    def encode(self, item: bytes) -> bytes:
        """Return a line with its end."""
        end = "\n" if self.end is None else self.end
        return item + (end.encode() if isinstance(end, str) else end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks(FramingRule):
    """Bytes as they come."""

    def encode(self, item: bytes) -> bytes:
        """Return the bytes unchanged."""
        return item


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLength(FramingRule):
    """Frames after a header with ``Content-Length``."""

    limit: int = FRAME_LIMIT

    def encode(self, item: bytes) -> bytes:
        """Return a frame with its header."""
        return b"Content-Length: %d\r\n\r\n%b" % (len(item), item)


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthPrefix(FramingRule):
    """Frames after their length as a binary number."""

    size: int
    byteorder: Literal["big", "little"]
    limit: int = FRAME_LIMIT

    def encode(self, item: bytes) -> bytes:
        """Return a frame with its length in front.

        Raises:
            ValueError: If the length needs more bytes than the prefix has.
        """
        try:
            return len(item).to_bytes(self.size, self.byteorder) + item
        except OverflowError:
            raise ValueError(f"{len(item)} bytes are too long for a length of {self.size} bytes") from None


FramingOption: TypeAlias = FramingRule | Framing | Callable[[], Framing]
"""Framing of one stream: a rule, or a class or an object of the user."""
AnyFraming: TypeAlias = FramingOption | Mapping[str, FramingOption]
"""Framing of both streams, or of each by its name; see ``Spec.framing``."""

_KNOWN = "pass for example framing.content_length(), or a class whose objects have feed(bytes) and end()"
_NOT_CALLED = frozenset({"lines", "chunks", "content_length", "length_prefix"})


def as_framing(value: object) -> AnyFraming:
    """Return the option in its final form.

    Raises:
        SpecError: If a value is no framing. The message has neither the name of the option nor that of the service.
    """
    if not isinstance(value, Mapping):
        return _as_option(value)
    streams = dict(cast("Mapping[object, object]", value))
    for stream in streams:
        if stream not in STREAMS:
            raise SpecError(f'has no stream {stream!r}: the names are "stdout" and "stderr"')
    return MappingProxyType({str(stream): _as_option(framing) for stream, framing in streams.items()})


def _as_option(value: Any) -> FramingOption:
    if isinstance(value, FramingRule):
        return value
    if isinstance(value, str | bytes):
        raise SpecError(f"is text: {_KNOWN}")
    if getattr(value, "__module__", None) == "aioverseer.framing" and getattr(value, "__name__", "") in _NOT_CALLED:
        raise SpecError(f"is the function: call it, framing.{value.__name__}()")
    for method in ("feed", "end"):
        has_method = callable(getattr(value, method, None))
        if not has_method and (isinstance(value, type) or not callable(value)):
            raise SpecError(f"has no method {method}(): {_KNOWN}")
    if not callable(value):
        try:
            copy.deepcopy(value)
        except Exception as error:  # copying calls code of the user
            raise SpecError(
                f"cannot be copied for each run ({type(error).__name__}: {error}): pass a class or a function that "
                "makes one"
            ) from error
    return cast("FramingOption", value)


_DEFAULT = Lines()


def framing_of(framing: AnyFraming, stream: str) -> FramingOption:
    """Return the framing of one stream."""
    of_streams = framing_by_stream(framing)
    return cast("FramingOption", framing) if of_streams is None else of_streams.get(stream, _DEFAULT)


def framing_by_stream(framing: object) -> Mapping[str, FramingOption] | None:
    """Return the framing of each stream; None where one framing is for both."""
    return cast("Mapping[str, FramingOption]", framing) if isinstance(framing, Mapping) else None


def is_lines(framing: AnyFraming, stream: str) -> bool:
    """Return whether a stream is divided into lines."""
    return isinstance(framing_of(framing, stream), Lines)
