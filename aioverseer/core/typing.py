"""Types of arguments that the core names without importing os, and default sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:  # names of types: nothing has to be imported for them
    pass

__all__ = ["DEFAULT_LINE_BUFFER_SIZE", "DEFAULT_STREAM_QUEUE_SIZE", "HasDescriptor", "PathLike"]

DEFAULT_LINE_BUFFER_SIZE = 16384
"""Bytes of a line, its end not counted; a longer one arrives in pieces."""
DEFAULT_STREAM_QUEUE_SIZE = 1000
"""Lines that a stream holds before whoever writes them is slowed down."""


@runtime_checkable
class PathLike(Protocol):
    """``os.PathLike`` of text, named here because the core does not import os."""

    def __fspath__(self) -> str: ...  # the protocol's own name says it


@runtime_checkable
class HasDescriptor(Protocol):
    """An open file, a socket, or the end of a pipe."""

    def fileno(self) -> int:
        """Return its descriptor."""
        ...
