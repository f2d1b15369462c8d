"""Kinds of probes as values, and the pause between two attempts of a probe."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeAlias

from aioverseer.core.options.composition import AllOf, AnyOf, Probe

__all__ = [
    "CHECK_TIMEOUT",
    "Check",
    "Command",
    "Entered",
    "Fd",
    "File",
    "Http",
    "Notify",
    "OutputLine",
    "OutputPrompt",
    "Owner",
    "Tcp",
    "Unix",
    "address_of",
    "describe",
    "endpoint_of",
    "pause_before_next",
]

_SHORTEST = 0.0025
_LONGEST = 1.0
"""Bounds of the pause, in seconds."""
_AUTHORITY = re.compile(r"(https?)://(?:[^/?#@]*@)?(?:\[([^\]/?#]+)\]|([^:/?#@\[\]]+))(?::([0-9]{1,5}))?(?=[/?#]|$)")
"""Scheme, host and port of a URL (RFC 3986, 3.2)."""
_SHARE = 50
"""The pause is this share of the time waited so far."""


Owner: TypeAlias = Literal["program", "any"]
"""Programs whose listening socket fulfils a probe: the program of the service alone, or any program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp(Probe):
    """A program accepts connections on a TCP port."""

    awaits: ClassVar[str] = "a connection"

    host: str
    port: int | str
    """The number, or a text with placeholders that gives it for each run."""
    owner: Owner = "program"

    @property
    def is_template(self) -> bool:
        """Whether the port is not known yet."""
        return isinstance(self.port, str)

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return f"tcp {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unix(Probe):
    """A program accepts connections on a UNIX socket."""

    awaits: ClassVar[str] = "a connection"

    path: str
    owner: Owner = "program"

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return f"unix {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Http(Probe):
    """A GET request is answered with an expected status and, if given, a body that matches."""

    url: str
    status: frozenset[int]
    body: re.Pattern[str] | None
    owner: Owner = "program"

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return f"http {self.url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLine(Probe):
    """The program writes a line that contains the pattern."""

    reads_lines: ClassVar[bool] = True
    comes_once: ClassVar[bool] = True

    pattern: re.Pattern[str]
    stream: Literal["stdout", "stderr"] | None

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return f"a line with {self.pattern.pattern!r}{f' on {self.stream}' if self.stream else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPrompt(Probe):
    """The program writes text that contains the pattern, in a line that may have no end yet."""

    reads_lines: ClassVar[bool] = True
    comes_once: ClassVar[bool] = True

    pattern: re.Pattern[str]
    stream: Literal["stdout", "stderr"] | None

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return f"a prompt with {self.pattern.pattern!r}{f' on {self.stream}' if self.stream else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class File(Probe):
    """A file exists; with ``fresh`` it must differ from before the start."""

    path: str
    fresh: bool

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return f"file {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Probe):
    """A command exits with code 0."""

    awaits: ClassVar[str] = "the end of the command"

    argv: tuple[str, ...]

    @property
    def program(self) -> str:
        """Program that each attempt starts."""
        return self.argv[0]

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return f"command {self.argv[0]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(Probe):
    """The program sends ``READY=1`` to the socket in ``NOTIFY_SOCKET``."""

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return "READY=1 on NOTIFY_SOCKET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered(Probe):
    """A task of the host has entered its resource, and reports it."""

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return "it to be entered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fd(Probe):
    """The program writes a newline to a descriptor that it inherits."""

    comes_once: ClassVar[bool] = True

    number: int

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return f"a newline on descriptor {self.number}"


CHECK_TIMEOUT = 5.0
"""Default of the seconds after which a call of the function is cancelled, and repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Probe):
    """An async function returns without an exception, and not False."""

    awaits: ClassVar[str] = "the function to return"

    function: Callable[..., Awaitable[object]]
    name: str
    takes_process: bool = field(compare=False)
    timeout: float | None = CHECK_TIMEOUT

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return f"check {self.name}"


def endpoint_of(probe: Probe) -> tuple[str, int] | None:
    """Return the host and the port that a probe connects to, if the listening socket must be that of the program."""
    return address_of(probe) if isinstance(probe, Tcp | Http) and probe.owner == "program" else None


def address_of(probe: Probe) -> tuple[str, int] | None:
    """Return the host and the port that a probe connects to; None for a probe that makes no such connection."""
    match probe:
        case Tcp(host=host, port=int(port)):
            return host, port
        case Http(url=url):
            if (found := _AUTHORITY.match(url)) is None:  # the request will report what is wrong
                return None
            scheme, in_brackets, name, port_text = found.groups()
            return in_brackets or name, int(port_text or {"http": 80, "https": 443}[scheme])
        case _:
            return None


def pause_before_next(*, waited: float, took: float) -> float:
    """Return the seconds from the end of one attempt to the next.

    The pause is a fiftieth of the time waited so far, from 2.5 ms to 1 s. So a probe adds 2.5 ms or two per cent to a
    start, and a program that takes minutes is not probed thousands of times. The pause is at least as long as the
    last attempt took, up to 1 s, so that a costly attempt, such as a command, is no constant load.

    Args:
        waited: Seconds since the first attempt.
        took: Seconds of the last attempt.
    """
    return max(min(max(waited / _SHARE, _SHORTEST), _LONGEST), min(took, _LONGEST))


def describe(errors: Mapping[Probe, str]) -> str:
    """Return the last errors of probes as the end of a sentence; empty if there are none."""
    return "; ".join(f"{probe}: {error}" for probe, error in errors.items() if error)


def of_any_owner(probe: Probe) -> Probe:
    """Return a probe that accepts the answer of any program."""
    match probe:
        case AllOf(probes=probes):
            return AllOf(probes=tuple(map(of_any_owner, probes)))
        case AnyOf(probes=probes):
            return AnyOf(probes=tuple(map(of_any_owner, probes)))
        case Tcp() | Unix() | Http():
            return replace(probe, owner="any")
        case _:
            return probe
