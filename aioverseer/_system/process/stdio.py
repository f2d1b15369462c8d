"""The standard input, output and error of one launch: which descriptors are opened, and who closes them."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Self

from aioverseer._system.containment.scope import RunScope
from aioverseer._system.process.child import SystemChild
from aioverseer._system.process.loop_resources import LoopResources
from aioverseer._system.process.pipes import ReadPipe, WritePipe
from aioverseer._system.process.spawn import ExitWatcher
from aioverseer._system.process.spawn_errors import explained
from aioverseer._system.process.terminal import TerminalInput, controlled, open_terminal
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.destinations import Destination, destinations
from aioverseer.core.options.spec import Spec
from aioverseer.core.typing import HasDescriptor, PathLike

__all__ = ["Descriptors"]

_STDOUT = 1
"""Descriptor of the host's own standard output."""


class Descriptors:
    """The descriptors of one launch, closed at the end of a ``with`` block.

    The ends of the child are always closed in the host. The ends of the host stay open once they were handed over.

    Attributes:
        prefix: Words to put before the command line.
        child_stdin: Descriptor of the child's standard input; None inherits that of the host.
        child_stdout: Descriptor of the child's standard output; None inherits that of the host.
        child_stderr: Descriptor of the child's standard error; None inherits that of the host.
    """

    def __init__(self, spec: Spec, resources: LoopResources) -> None:
        """Open nothing yet.

        Args:
            spec: The program.
            resources: The resources of the event loop.
        """
        self._spec = spec
        self._resources = resources
        self._of_child: list[int] = []
        self._stdin: WritePipe | None = None
        self._stdout: ReadPipe | None = None
        self._stderr: ReadPipe | None = None
        self.prefix: list[str] = []
        self.child_stdin: int | None = None
        self.child_stdout: int | None = None
        self.child_stderr: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for descriptor in self._of_child:
            os.close(descriptor)
        for pipe in (self._stdin, self._stdout, self._stderr):
            if pipe is not None:
                pipe.close()

    def hand_over(self, watcher: ExitWatcher, scope: RunScope) -> SystemChild:
        """Return the child, which from now on owns the host's ends of the pipes."""
        child = SystemChild(
            watcher,
            self._resources,
            scope=scope,
            stdin=self._stdin,
            stdout=self._stdout,
            stderr=self._stderr,
            may_change=self._spec.main_pid is not None,
        )
        self._stdin = self._stdout = self._stderr = None
        return child

    def open(self, *, capture: bool) -> None:
        """Open the descriptors that the Spec asks for.

        Args:
            capture: Whether standard output and error come through pipes.

        Raises:
            SpawnError: If the system has no descriptors left, or the file for standard input cannot be read.
        """
        spec = self._spec
        try:
            if spec.pty:
                self._open_terminal(spec)
                return
            self.child_stdin = self.child_stdout = self.child_stderr = self._resources.null
            self._open_stdin(spec)
            stdout, stderr = destinations(spec)
            self._stdout, self.child_stdout = self._open_output(stdout, capture=capture)
            if spec.merge_stderr:
                self.child_stderr = _STDOUT if self.child_stdout is None else self.child_stdout
            else:
                self._stderr, self.child_stderr = self._open_output(stderr, capture=capture)
        except SpawnError:
            raise
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise explained(spec, list(spec.argv), error) from error
            raise SpawnError(
                f"service {spec.id!r} cannot be started with stdin={str(spec.stdin)!r}: {error.strerror}; "
                "name a file that can be read",
                errno=error.errno,
                filename=str(spec.stdin),
            ) from error

    def _open_terminal(self, spec: Spec) -> None:
        ours, theirs = open_terminal(spec.window_size)
        self._of_child.append(theirs)
        # Held, as closing our end hangs up the terminal. A program that closes its output before it exits, as GNU
        # programs do, would be killed by SIGHUP between the two.
        self._stdout = ReadPipe(ours, hold=True, watch=self._resources.readers)
        self._stdin = TerminalInput(fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 0))
        self.child_stdin = self.child_stdout = self.child_stderr = theirs
        self.prefix = controlled(os.ttyname(theirs))

    def _open_stdin(self, spec: Spec) -> None:
        if spec.stdin is None:
            return
        if spec.stdin == "inherit":
            self.child_stdin = None
        elif isinstance(spec.stdin, str | bytes):  # first: the protocols below take a tenth of a spawn on Python 3.11
            self._open_pipe_for_input()
        elif isinstance(spec.stdin, PathLike):
            # O_NONBLOCK, as opening a FIFO without a writer would block the event loop. O_NOCTTY, as a terminal would
            # become the controlling terminal of the host.
            self.child_stdin = os.open(spec.stdin, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            self._of_child.append(self.child_stdin)
            os.set_blocking(self.child_stdin, True)
        elif isinstance(spec.stdin, HasDescriptor):
            self.child_stdin = self._copy_of(spec.stdin, "input")
        else:
            self._open_pipe_for_input()

    def _open_pipe_for_input(self) -> None:
        read, write = os.pipe()
        self._of_child.append(read)
        self._stdin = WritePipe(write)
        self.child_stdin = read

    def _open_output(self, place: Destination, *, capture: bool) -> tuple[ReadPipe | None, int | None]:
        """Return the host's end of a pipe, if the stream is read, and the descriptor of the child."""
        if place == "inherit":
            return None, None
        if not isinstance(place, str):
            return None, self._copy_of(place, "output")
        if place == "null" or not capture:
            return None, self._resources.null
        read, write = os.pipe()
        self._of_child.append(write)
        return ReadPipe(read, watch=self._resources.readers), write

    def _copy_of(self, place: HasDescriptor, what: str) -> int:
        """Return a copy of a descriptor, which stays open until the spawn.

        The spawn may be made in a later iteration of the event loop. If the owner of the descriptor closed it
        meanwhile, its number could be that of the pipe by which ``subprocess`` waits for the exec. The program would
        hold this pipe open, and the event loop would wait for the end of the program.
        """
        try:
            copy = fcntl.fcntl(place.fileno(), fcntl.F_DUPFD_CLOEXEC, 0)
        except (OSError, ValueError) as error:
            number = errno.EBADF if isinstance(error, ValueError) else error.errno
            if number != errno.EBADF:
                raise
            raise SpawnError(
                f"service {self._spec.id!r} cannot be started: the file for its {what} is closed; keep it open until "
                "the start",
                errno=number,
                filename=str(getattr(place, "name", place)),
            ) from error
        self._of_child.append(copy)
        return copy
