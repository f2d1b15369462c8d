"""PathLike: what a path may be given as.

Only the shape lives here; the core neither looks at the file system nor imports ``os``.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["PathLike"]


@runtime_checkable
class PathLike(Protocol):
    """``os.PathLike`` of text, named here because the core does not import os."""

    def __fspath__(self) -> str: ...  # the protocol's own name says it
