"""Types of arguments that the core names without importing os, and default sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

__all__ = [
    "DEFAULT_LINE_BUFFER_SIZE",
    "DEFAULT_STREAM_QUEUE_SIZE",
    "HasDescriptor",
    "HasProgram",
    "IsProgram",
    "PathLike",
]

DEFAULT_LINE_BUFFER_SIZE = 16384
"""Bytes of a line without its end; a longer line arrives in pieces."""
DEFAULT_STREAM_QUEUE_SIZE = 1000
"""Number of lines that a stream holds before its writer is slowed down."""


@runtime_checkable
class PathLike(Protocol):
    """Protocol of ``os.PathLike`` for text; the core does not import os."""

    def __fspath__(self) -> str: ...  # the protocol's own name says it


class HasProgram(Protocol):
    """A Process, whose output is the input of another one."""

    @property
    def upstream(self) -> object:
        """The program before it in a pipeline."""
        ...


class IsProgram(Protocol):
    """A Spec, as the pattern of such a Process."""

    def with_command(self, argv: Iterable[object]) -> object:
        """Return a copy with another command."""
        ...


@runtime_checkable
class HasDescriptor(Protocol):
    """Object with a file descriptor: an open file, a socket, or the end of a pipe."""

    def fileno(self) -> int:
        """Return the file descriptor."""
        ...
