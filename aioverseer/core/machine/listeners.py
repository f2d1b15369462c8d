"""The verdict on a probe that connects: whether the program listens there, or a stranger.

A stranger is a listening socket that was there before the program was started, or that another service of this host
holds.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["Holder", "Kinship", "Verdict", "held_by", "judge"]


class Kinship(enum.Enum):
    """The relation of a process that holds a listening socket to the program of a probe."""

    PROGRAM = enum.auto()
    """The program, one of its descendants, or the host with a socket that it passes to the program."""
    EARLIER_RUN = enum.auto()
    """A process that an earlier run of the service has left, and that is kept."""
    ENDING = enum.auto()
    """A process that an ended run has left, and that is being ended."""
    OTHER_RUN = enum.auto()
    """Another program of this host process."""
    HOST = enum.auto()
    """This host process itself."""
    UNRELATED = enum.auto()
    """Any other process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that holds a listening socket.

    Attributes:
        pid: Process id.
        name: Name of its program; empty if it cannot be read.
        kinship: Relation to the program of the probe.
    """

    pid: int
    name: str
    kinship: Kinship


class Verdict(enum.Enum):
    """The owner of the listening socket that a probe has found."""

    PROGRAM = enum.auto()
    """That of the program: the probe is fulfilled."""
    ENDING = enum.auto()
    """That of a leftover, which is going away: the probe waits."""
    STRANGER = enum.auto()
    """That of a stranger: it never fulfils the probe."""


def judge(holders: Collection[Holder], *, was_before: bool) -> Verdict:
    """Return the verdict on one listening socket.

    Args:
        holders: The processes that hold the socket, as far as they can be seen.
        was_before: Whether the socket listened before the program was started.
    """
    kinds = {holder.kinship for holder in holders}
    if kinds & {Kinship.PROGRAM, Kinship.EARLIER_RUN}:
        return Verdict.PROGRAM
    if Kinship.ENDING in kinds:
        return Verdict.ENDING
    # A new socket of an unrelated process is no stranger: the program may have asked that process to listen, as
    # `docker run -p` does.
    ours = kinds & {Kinship.OTHER_RUN, Kinship.HOST}
    return Verdict.STRANGER if was_before or ours else Verdict.PROGRAM


def held_by(where: str, holders: Collection[Holder], *, user: str = "") -> str:
    """Return a clause that says who holds a port or a socket: ``port 6411 is held by pid 812 (redis-server)``.

    Args:
        where: The port or the socket.
        holders: The processes that hold it, as far as they can be seen. The oldest one is named.
        user: User whose socket it is, for holders that cannot be seen.
    """
    if not holders:
        whose = f" of user {user}" if user else ""
        return f"{where} is held by a process{whose} that cannot be seen from here"
    first = min(holders, key=lambda holder: holder.pid)
    name = f" ({first.name})" if first.name else ""
    return f"{where} is held by pid {first.pid}{name}{_REMARKS.get(first.kinship, '')}"


_REMARKS = {
    Kinship.ENDING: ", which is being ended",
    Kinship.OTHER_RUN: ", another program of this host",
    Kinship.HOST: ", which is this process",
}
