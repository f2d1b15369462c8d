"""Probes as values: what it means that a program can do its work, and when the answer to several of them is known.

Data and logic only. Who connects, listens and asks lives in ``system/``; who runs the probes lives in ``ready/``.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal

from aioverseer.core.export import exported_from

__all__ = [
    "AllOf",
    "AnyOf",
    "Check",
    "Command",
    "Entered",
    "Fd",
    "File",
    "Http",
    "Notify",
    "OutputLine",
    "Probe",
    "Tcp",
    "Unix",
    "describe",
    "is_fulfilled",
    "leaves",
    "pause_before_next",
    "pending",
]

_SHORTEST = 0.0025
_LONGEST = 1.0
_SHARE = 50


@exported_from("aioverseer.ready")
class Probe:
    """What tells that a program is ready; made by the functions of ``aioverseer.ready``.

    ``a & b`` is fulfilled once both have been, ``a | b`` once one of them has.
    """

    __slots__ = ()

    def __and__(self, other: Probe) -> AllOf:
        """Return a probe that is fulfilled once both have been."""
        if not isinstance(other, Probe):  # Python then says which operand it does not know
            return NotImplemented
        return AllOf(probes=(*_parts(AllOf, self), *_parts(AllOf, other)))

    def __or__(self, other: Probe) -> AnyOf:
        """Return a probe that is fulfilled once one of them has been."""
        if not isinstance(other, Probe):
            return NotImplemented
        return AnyOf(probes=(*_parts(AnyOf, self), *_parts(AnyOf, other)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp(Probe):
    """Something accepts connections on a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return f"tcp {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unix(Probe):
    """Something accepts connections on a UNIX socket."""

    path: str

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return f"unix {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Http(Probe):
    """A GET is answered as it should be."""

    url: str
    status: frozenset[int]
    body: re.Pattern[str] | None

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return f"http {self.url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLine(Probe):
    """The program writes a line in which the pattern is found."""

    pattern: re.Pattern[str]
    stream: Literal["stdout", "stderr"] | None

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return f"a line with {self.pattern.pattern!r}{f' on {self.stream}' if self.stream else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class File(Probe):
    """There is a file; with ``fresh``, one that is not as it was before the start."""

    path: str
    fresh: bool

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return f"file {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Probe):
    """A command exits with code 0."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return f"command {self.argv[0]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(Probe):
    """The program says ``READY=1`` to the socket in ``NOTIFY_SOCKET``."""

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return "READY=1 on NOTIFY_SOCKET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered(Probe):
    """A resource of the application has been entered; what stands in for the program says so."""

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return "it to be entered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fd(Probe):
    """The program writes a newline to a descriptor that it was given."""

    number: int

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return f"a newline on descriptor {self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Probe):
    """An async function does not raise, and does not return False."""

    function: Callable[..., Awaitable[object]]
    name: str
    takes_process: bool = field(compare=False)

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return f"check {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf(Probe):
    """All of them have been fulfilled, each at its own time."""

    probes: tuple[Probe, ...]

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return " and ".join(f"({probe})" if isinstance(probe, AnyOf) else str(probe) for probe in self.probes)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf(Probe):
    """One of them has been fulfilled."""

    probes: tuple[Probe, ...]

    def __str__(self) -> str:
        """Return it as words of a sentence."""
        return " or ".join(str(probe) for probe in self.probes)


def _parts(kind: type[AllOf | AnyOf], probe: Probe) -> tuple[Probe, ...]:
    """Return what a probe adds to a composed one: ``a & b & c`` is one of three."""
    return probe.probes if isinstance(probe, kind) else (probe,)


def leaves(probe: Probe) -> tuple[Probe, ...]:
    """Return the probes that ask something themselves, each once, in the order in which they are written."""
    return tuple(dict.fromkeys(_walk(probe)))


def _walk(probe: Probe) -> Iterator[Probe]:
    if isinstance(probe, AllOf | AnyOf):
        for part in probe.probes:
            yield from _walk(part)
    else:
        yield probe


def is_fulfilled(probe: Probe, done: AbstractSet[Probe]) -> bool:
    """Return whether a probe is fulfilled when those leaves have been."""
    match probe:
        case AllOf(probes=probes):
            return all(is_fulfilled(part, done) for part in probes)
        case AnyOf(probes=probes):
            return any(is_fulfilled(part, done) for part in probes)
        case _:
            return probe in done


def pending(probe: Probe, done: AbstractSet[Probe]) -> frozenset[Probe]:
    """Return the leaves whose answer still matters: none once the whole is fulfilled."""
    if is_fulfilled(probe, done):
        return frozenset()
    if isinstance(probe, AllOf | AnyOf):
        return frozenset(leaf for part in probe.probes for leaf in pending(part, done))
    return frozenset({probe})


def pause_before_next(*, waited: float, took: float) -> float:
    """Return the seconds from one attempt to the next.

    A fiftieth of the time that has been waited already, from 2.5 ms to 1 s: so a probe that has to ask again and again
    adds 2.5 ms or two per cent to a start, and a program that takes minutes is not asked a thousand times. At least as
    long as the attempt itself took, so that a costly one, such as a command, is no load.

    Args:
        waited: Seconds since the first attempt.
        took: Seconds of the last one.
    """
    return max(min(max(waited / _SHARE, _SHORTEST), _LONGEST), min(took, _LONGEST))


def describe(errors: Mapping[Probe, str]) -> str:
    """Return what the probes that still matter have said last, as the end of a sentence; empty when nothing."""
    return "; ".join(f"{probe}: {error}" for probe, error in errors.items())
