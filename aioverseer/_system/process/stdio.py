"""What a program reads from and writes to: the descriptors of one launch.

Opening and closing alone; what is done with the host's ends lives in ``pipes.py`` and ``terminal.py``.
"""

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
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.spec import Spec
from aioverseer.core.typing import HasDescriptor, PathLike

__all__ = ["Descriptors"]

_STDOUT = 1
"""Where the host itself writes, and a child that inherits that."""


class Descriptors:
    """The descriptors of one launch: the child's ends are closed in any case, ours unless handed over."""

    def __init__(self, spec: Spec, commons: LoopResources) -> None:
        self._spec = spec
        self._commons = commons
        self._theirs: list[int] = []
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
        for descriptor in self._theirs:
            os.close(descriptor)
        for pipe in (self._stdin, self._stdout, self._stderr):
            if pipe is not None:
                pipe.close()

    def hand_over(self, end: ExitWatcher, cage: RunScope) -> SystemChild:
        """Give our ends to the child that they belong to; it closes them."""
        child = SystemChild(end, self._commons, cage=cage, stdin=self._stdin, stdout=self._stdout, stderr=self._stderr)
        self._stdin = self._stdout = self._stderr = None
        return child

    def open(self, *, capture: bool) -> None:
        """Open what the Spec asks for.

        Raises:
            SpawnError: When the system has no descriptors left, or the file to read is not there.
        """
        spec = self._spec
        try:
            if spec.pty:
                self._open_terminal(spec)
                return
            self.child_stdin = self.child_stdout = self.child_stderr = self._commons.null
            self._open_stdin(spec)
            if not capture:
                if spec.output == "inherit":
                    self.child_stdout = None
                    self.child_stderr = _STDOUT if spec.merge_stderr else None
                return
            self._stdout, self.child_stdout = self._reading()
            if spec.merge_stderr:
                self.child_stderr = self.child_stdout
            else:
                self._stderr, self.child_stderr = self._reading()
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
        # Few programs have one, and hosts without terminals need not have termios.
        from aioverseer._system.process.terminal import (  # noqa: PLC0415
            TerminalInput,
            controlled,
            open_terminal,
        )

        ours, theirs = open_terminal(spec.window_size)
        self._theirs.append(theirs)
        # Held, because to close it hangs the terminal up: a program that closes its output before it exits, as those of
        # GNU do, would be killed by SIGHUP in between.
        self._stdout = ReadPipe(ours, hold=True, watch=self._commons.readers)
        self._stdin = TerminalInput(fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 0))
        self.child_stdin = self.child_stdout = self.child_stderr = theirs
        self.prefix = controlled(os.ttyname(theirs))

    def _open_stdin(self, spec: Spec) -> None:
        if spec.stdin is None:
            return
        if spec.stdin == "inherit":
            self.child_stdin = None
        elif isinstance(spec.stdin, PathLike):
            # A FIFO without a writer must not hold up the event loop, nor a terminal become the host's.
            self.child_stdin = os.open(spec.stdin, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            self._theirs.append(self.child_stdin)
            os.set_blocking(self.child_stdin, True)
        elif isinstance(spec.stdin, HasDescriptor):
            self.child_stdin = spec.stdin.fileno()
        else:
            read, write = os.pipe()
            self._theirs.append(read)
            self._stdin = WritePipe(write)
            self.child_stdin = read

    def _reading(self) -> tuple[ReadPipe, int]:
        read, write = os.pipe()
        self._theirs.append(write)
        return ReadPipe(read, watch=self._commons.readers), write
