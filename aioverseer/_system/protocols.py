"""Protocols between the engine and the operating system, public as ``aioverseer.abc``.

``_system/process`` implements them with real children, ``_system/inprocess.py`` with tasks, ``aioverseer.testing`` with
scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aioverseer.core.export import exported_from
from aioverseer.core.options.containment import Containment, Survivor
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit

__all__ = ["Child", "Launcher", "Leftovers", "ReadStream", "ReadinessChannels", "WriteStream"]


@exported_from("aioverseer.abc")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessChannels:
    """Channels that a program gets in addition to its Spec: to report that it is ready, and to take connections.

    Attributes:
        env: Environment variables. They override all others.
        descriptors: The child's descriptors 3 to 9, each with the descriptor of the host to copy. The caller of
            ``launch`` closes the host's descriptors.
        on_notify: For a child without a real process: called with a datagram for ``NOTIFY_SOCKET``; None without
            readiness by notice.
        on_write: For a child without a real process: called with the number of one of the descriptors and the bytes
            written to it; None without readiness by descriptor.
        sockets: Listening sockets by name, each with the descriptor of the host. The child gets copies as descriptors
            3, 4 and so on, in this order. A child without a real process has none to copy: its descriptors are -1.
        announces_sockets: Whether the child gets ``LISTEN_FDS``, ``LISTEN_PID`` and ``LISTEN_FDNAMES``.
    """

    env: Mapping[str, str] = field(default_factory=dict[str, str])
    descriptors: Mapping[int, int] = field(default_factory=dict[int, int])
    on_notify: Callable[[bytes], None] | None = None
    on_write: Callable[[int, bytes], None] | None = None
    sockets: Mapping[str, int] = field(default_factory=dict[str, int])
    announces_sockets: bool = True


@exported_from("aioverseer.abc")
class ReadStream(Protocol):
    """The end of a pipe that the host reads."""

    def attach(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], *, blocked: Callable[[], bool]
    ) -> None:
        """Begin to read.

        Args:
            on_data: Called with each chunk.
            on_end: Called once at the end of the pipe.
            blocked: Called before each chunk. If it returns True, reading pauses until ``resume``, and the full pipe
                slows the program down. ``drain`` does not call it.
        """
        ...

    def resume(self) -> None:
        """Continue to read. Idempotent."""
        ...

    def drain(self) -> None:
        """Deliver the current content of the pipe at once, even while paused. That is one pipe's capacity at most."""
        ...

    def close(self) -> None:
        """Close the pipe. Neither ``on_data`` nor ``on_end`` is called any more. Idempotent."""
        ...


@exported_from("aioverseer.abc")
class WriteStream(Protocol):
    """The end of a pipe that the host writes."""

    async def write(self, data: bytes) -> None:
        """Write all bytes, waiting while the pipe is full.

        Raises:
            BrokenPipeError: If the program has closed its end, or the stream is closed.
        """
        ...

    async def write_eof(self) -> None:
        """Close the pipe after all earlier writes are done. Raises nothing when the program has closed its end."""
        ...

    def close(self) -> None:
        """Close the pipe at once; the program reads end of file. Idempotent."""
        ...


@exported_from("aioverseer.abc")
class Leftovers(Protocol):
    """The live processes that an ended leader has left behind. Zombies do not count."""

    @property
    def processes(self) -> tuple[Survivor, ...]:
        """The processes that were found."""
        ...

    def signal(self, number: int, *, missed: bool = False) -> None:
        """Send a signal to them, and to the processes of the program that are found later.

        Args:
            number: The signal.
            missed: Whether processes in the leader's group are left out, because a signal to the group has reached
                them.
        """
        ...

    async def wait(self) -> None:
        """Wait until none is left. Safe to cancel."""
        ...

    def close(self) -> None:
        """Close every descriptor. Idempotent."""
        ...


@exported_from("aioverseer.abc")
class Child(Protocol):
    """A program that was started, as the leader of its own session."""

    @property
    def pid(self) -> int:
        """Process id of the leader."""
        ...

    @property
    def stdin(self) -> WriteStream | None:
        """Standard input; None unless the Spec asks for a pipe."""
        ...

    @property
    def stdout(self) -> ReadStream | None:
        """Standard output; None unless captured."""
        ...

    @property
    def stderr(self) -> ReadStream | None:
        """Standard error; None unless captured, or when merged into standard output."""
        ...

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Send a signal to the whole group, or to the leader alone.

        Raises:
            ProcessLookupError: If the leader has ended.
            PermissionError: If the system refuses.
        """
        ...

    def signal_outside(self, number: int, *, soon: float, late: float) -> None:
        """Plan a signal, and SIGCONT, to processes of the program outside of the leader's group. Does not block.

        The end of the leader and each further call cancel what is planned. After that end nothing is planned.

        Args:
            number: The signal.
            soon: Seconds from now for processes in the leader's session.
            late: Seconds from now for processes in other sessions.
        """
        ...

    async def wait(self) -> Exit:
        """Wait for the end of the leader, even if its pipes stay open. A cancellation has no effect on the child.

        If another process becomes the main one meanwhile, this waits for the end of that one.
        """
        ...

    def owns(self, pid: int) -> bool:
        """Return whether a process belongs to the program: to its tree, or by a mark that is inherited."""
        ...

    def take_main(self, pid: int) -> int:
        """Make another process of the program its main process, in place of the leader.

        From then on ``pid``, ``signal`` and ``wait`` are about that process. The leader may have ended.

        Args:
            pid: Process id as the program knows it. In a pid namespace it differs from that of the host.

        Returns:
            The process id as this host knows it.

        Raises:
            ProcessLookupError: If there is no such process.
            PermissionError: If the process is not the program's own.
            OSError: If the system cannot watch it.
        """
        ...

    async def find_leftovers(self, *, everywhere: bool) -> Leftovers | None:
        """Find the live processes that the ended leader has left. Safe to cancel.

        No sweep of other runs kills them before ``sweep``, ``sweep_all`` or ``close`` is called.

        Args:
            everywhere: Whether all processes of the machine are searched. If not, those that have left the leader's
                session may be missed.

        Returns:
            The leftovers; None where there are none.
        """
        ...

    def resize(self, window_size: tuple[int, int]) -> None:
        """Set the columns and rows of the terminal, for a child that has one."""
        ...

    def sweep(self) -> None:
        """Kill the processes that the ended leader has left in its group. Does nothing when there are none.

        From then on, sweeps may kill its other leftovers.
        """
        ...

    def left_nothing(self) -> bool:
        """Return whether ``sweep`` and ``sweep_all`` would certainly find nothing. The call is cheap."""
        ...

    def may_have_left(self) -> bool:
        """Return whether ``sweep_all`` could find anything. False is certain. The call checks few processes."""
        ...

    async def sweep_all(self) -> tuple[Survivor, ...]:
        """Kill all processes that ended runs of this host have left, in any group.

        The call reads every process of the machine, so avoid it on each restart. It is bounded, and safe to cancel.

        Returns:
            The survivors.
        """
        ...

    def left(self) -> tuple[Survivor, ...]:
        """Return the processes that the ended leader has left, if leftovers are kept."""
        ...

    def close(self) -> None:
        """Close every descriptor of this child. Idempotent."""
        ...


@exported_from("aioverseer.abc")
class Launcher(Protocol):
    """Starts programs."""

    async def launch(self, spec: Spec, *, capture: bool, channels: ReadinessChannels | None = None) -> Child:
        """Start the program that the Spec describes.

        Args:
            spec: Program to start. Policies in it have no effect here.
            capture: Whether its output comes through pipes. If not, it goes where the Spec says, or to the null device.
            channels: Channels for readiness; None when the program needs none.

        Raises:
            SpawnError: If it cannot be started. Nothing is left behind.
        """
        ...

    @property
    def containment(self) -> Containment:
        """Level of containment in force."""
        ...

    def containment_of(self, spec: Spec) -> Containment:
        """Return the level in force for a program, whose Spec may ask for another one."""
        ...

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill the processes that ended runs of this host have left; return the survivors. Bounded."""
        ...

    async def close(self) -> tuple[Survivor, ...]:
        """Kill the leftovers of its ended programs and release their containment. The launcher can be used again.

        The call is bounded. A cancellation is raised after the work is done.

        Returns:
            The survivors.
        """
        ...
