"""The environment of this host, and what of it a child gets. Nothing in here changes it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import cast

__all__ = ["Environment", "inherited", "own_environment"]


class Environment(Mapping[bytes, bytes]):
    """The environment of a child, as the system wants it.

    Attributes:
        entries: Each variable as ``name=value``.
    """

    __slots__ = ("entries",)

    def __init__(self, entries: list[bytes]) -> None:
        """Take what is encoded already."""
        self.entries = entries

    def __getitem__(self, name: bytes) -> bytes:
        """Return the value of a variable, where something wants a mapping after all."""
        prefix = name + b"="
        for entry in reversed(self.entries):
            if entry.startswith(prefix):
                return entry[len(prefix) :]
        raise KeyError(name)

    def __iter__(self) -> Iterator[bytes]:
        """Return the names."""
        return iter({entry.partition(b"=")[0]: None for entry in self.entries})

    def __len__(self) -> int:
        """Return how many there are."""
        return len({entry.partition(b"=")[0] for entry in self.entries})


def own_environment() -> Mapping[bytes, bytes]:
    """Return that of this host, to be looked at at once: it is the one of ``os.environ``, where that has one."""
    data: object = getattr(os.environ, "_data", None)  # private to the standard library, so looked at first
    return cast("Mapping[bytes, bytes]", data) if type(data) is dict else os.environb


class _Seen:
    """What the environment of this host was when somebody looked last, and its entries."""

    def __init__(self) -> None:
        self.copy: dict[bytes, bytes] = {}
        self.entries: list[bytes] = []


_seen = _Seen()


def inherited(name: bytes, value: bytes) -> Environment:
    """Return the environment of this host with one variable more, or another value of it.

    To encode forty variables takes as long as a twentieth of a spawn, and to see that they are the same a microsecond.
    """
    own = own_environment()
    if own != _seen.copy:
        _seen.copy = copy = dict(own)
        _seen.entries = [b"%b=%b" % item for item in copy.items()]
    entries = _seen.entries
    if name in own:
        prefix = name + b"="
        entries = [entry for entry in entries if not entry.startswith(prefix)]
    return Environment([*entries, b"%b=%b" % (name, value)])
