"""The seam to the operating system: small protocols that the real launcher and the scripted one both keep.

Protocols only. ``launch`` and ``pipes.py`` keep them with real children, ``aioverseer.testing`` with scripted
ones; everything above speaks to these names alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aioverseer.core.export import exported_from
from aioverseer.core.options.containment import Containment, Survivor
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit

__all__ = ["Child", "Launcher", "ReadStream", "ReadinessChannels", "WriteStream"]


@exported_from("aioverseer.abc")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessChannels:
    """What a program is given beyond its Spec, so that it can tell that it is ready.

    Attributes:
        env: Variables, on top of all others.
        descriptors: Its descriptors 3 to 9, and ours of which they are copies; whoever opened ours closes them.
        hear: How a child without a real process sends what others send to ``NOTIFY_SOCKET``; None where nobody listens.
        take: How it writes what others write to one of these descriptors, by its number; None where nobody listens.
    """

    env: Mapping[str, str] = field(default_factory=dict[str, str])
    descriptors: Mapping[int, int] = field(default_factory=dict[int, int])
    hear: Callable[[bytes], None] | None = None
    take: Callable[[int, bytes], None] | None = None


@exported_from("aioverseer.abc")
class ReadStream(Protocol):
    """The end of a pipe that the host reads."""

    def attach(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], *, blocked: Callable[[], bool]
    ) -> None:
        """Begin to read: ``on_data`` for each chunk, then ``on_end`` once, at the end of the pipe.

        Before each chunk ``blocked`` is asked whether to pause instead, until ``resume``, so that the writer is slowed
        down; ``drain`` does not ask.
        """
        ...

    def resume(self) -> None:
        """Read on. Idempotent."""
        ...

    def drain(self) -> None:
        """Deliver at once what the pipe holds at this moment, paused or not; at most one pipe's capacity."""
        ...

    def close(self) -> None:
        """Let go of the pipe; nothing is delivered any more, not even ``on_end``. Idempotent."""
        ...


@exported_from("aioverseer.abc")
class WriteStream(Protocol):
    """The end of a pipe that the host writes."""

    async def write(self, data: bytes) -> None:
        """Write all of it, waiting while the pipe is full.

        Raises:
            BrokenPipeError: When nobody reads any more, or the sink was closed.
        """
        ...

    async def write_eof(self) -> None:
        """End the input behind all that is being written, waiting for it; nothing is raised where nobody reads."""
        ...

    def close(self) -> None:
        """Let go of it: the reader of a pipe sees its end. Idempotent."""
        ...


@exported_from("aioverseer.abc")
class Child(Protocol):
    """One program that the operating system has started, as leader of a session of its own."""

    @property
    def pid(self) -> int:
        """Process id of the leader."""
        ...

    @property
    def stdin(self) -> WriteStream | None:
        """Where to write what it reads; None unless asked for."""
        ...

    @property
    def stdout(self) -> ReadStream | None:
        """What it writes; None unless captured."""
        ...

    @property
    def stderr(self) -> ReadStream | None:
        """What it writes to standard error; None unless captured, or when merged."""
        ...

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Send a signal to the whole group, or to the leader alone.

        Raises:
            ProcessLookupError: When it has ended.
            PermissionError: When the system refuses.
        """
        ...

    async def wait(self) -> Exit:
        """Wait for the end of the leader, whatever its pipes do. Safe to cancel; changes nothing then."""
        ...

    def resize(self, window_size: tuple[int, int]) -> None:
        """Set columns and rows of its terminal; only for a child that has one."""
        ...

    def sweep(self) -> None:
        """Kill what the ended leader left in its group. Never raises for what is gone."""
        ...

    def left_nothing(self) -> bool:
        """Return whether neither ``sweep`` nor ``sweep_all`` could find anything; True is certain, and costs a look."""
        ...

    def may_have_left(self) -> bool:
        """Return whether ``sweep_all`` could find anything; False is certain, and mostly known by few looks."""
        ...

    async def sweep_all(self) -> tuple[Survivor, ...]:
        """Kill all that the ended runs of this host have left behind, outside of their groups too.

        It looks at every process of the machine, so it is not for each restart. Bounded; safe to cancel.

        Returns:
            What is still there.
        """
        ...

    def left(self) -> tuple[Survivor, ...]:
        """Return what the ended leader has left behind, where that is not to be killed."""
        ...

    def close(self) -> None:
        """Let go of every descriptor kept for this child. Idempotent."""
        ...


@exported_from("aioverseer.abc")
class Launcher(Protocol):
    """Starts programs."""

    async def launch(self, spec: Spec, *, capture: bool, preparation: ReadinessChannels | None = None) -> Child:
        """Start the program that the Spec describes.

        Args:
            spec: What to start; the policies in it are not looked at.
            capture: Whether its output comes through pipes; else it goes where the Spec says, or to the null device.
            preparation: What it is given beyond its Spec; None is nothing.

        Raises:
            SpawnError: When it cannot be started; nothing is left behind then.
        """
        ...

    @property
    def containment(self) -> Containment:
        """Which level of containment is in force."""
        ...

    def containment_of(self, spec: Spec) -> Containment:
        """Return which level is in force for a program, which may have asked for its own."""
        ...

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill what the ended runs of this host have left behind; returns what is still there. Bounded."""
        ...

    async def close(self) -> tuple[Survivor, ...]:
        """End what its ended programs have left behind, and let go of what contained them; it can be used again.

        Bounded; goes on through cancellations.

        Returns:
            What is still there.
        """
        ...
