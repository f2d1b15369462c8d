"""The terminal of a child: the pseudo-terminal, its size, and its end of input.

A child is controlled by its terminal only when it leads its session and opens the terminal itself. Nothing of ours may
run between fork and exec, so a small command before its arguments opens the terminal (``controlled``).
"""

from __future__ import annotations

import os
import termios

from aioverseer._system.process.pipes import WritePipe

__all__ = ["TerminalInput", "controlled", "open_terminal", "set_size"]

_LFLAG = 3
"""Index of the local modes in the list of ``tcgetattr``."""

_END = b"\x04"
"""VEOF: the terminal passes on the characters typed since the last line. Without any, this is the end of input."""

_ENDS = b"\n", b"\r", _END
"""After one of these, no characters are pending. A terminal reads the return key as the end of a line."""


def open_terminal(window_size: tuple[int, int]) -> tuple[int, int]:
    """Open a pseudo-terminal without echo, and return the ends of the host and of the child.

    With echo, the input of a program would come back as if the program had written it.

    Args:
        window_size: Columns and rows.
    """
    ours, theirs = os.openpty()
    try:
        modes = termios.tcgetattr(theirs)
        modes[_LFLAG] &= ~(termios.ECHO | termios.ECHOCTL)
        termios.tcsetattr(theirs, termios.TCSANOW, modes)
        set_size(ours, window_size)
    except BaseException:
        os.close(ours)
        os.close(theirs)
        raise
    return ours, theirs


def set_size(descriptor: int, window_size: tuple[int, int]) -> None:
    """Set columns and rows. The kernel sends SIGWINCH to the foreground programs when they change."""
    columns, rows = window_size
    termios.tcsetwinsize(descriptor, (rows, columns))


def controlled(name: str) -> list[str]:
    """Return the words before a command that make a terminal its controlling terminal.

    The first terminal that the leader of a session opens becomes the controlling terminal (O_NOCTTY in open(2),
    tty_ioctl(4)). A shell opens it and then becomes the program by exec. ``setsid --ctty`` would fork.

    Args:
        name: Path of the terminal.
    """
    return ["/bin/sh", "-c", 'exec 3<>"$0" 3<&-; exec "$@"', name]


class TerminalInput(WritePipe):
    """The input side of a terminal; see ``protocols.WriteStream``."""

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor of our end.

        Args:
            descriptor: The host's end, duplicated: the reader closes the other copy.
        """
        super().__init__(descriptor)
        self._in_line = False

    async def write(self, data: bytes) -> None:
        """Type bytes; see ``WritePipe.write``."""
        await super().write(data)
        if data:
            self._in_line = not data.endswith(_ENDS)

    async def write_eof(self) -> None:
        """Type the end of input, twice in the middle of a line: the first one only passes the line on."""
        try:
            await super().write(_END * (1 + self._in_line))
        except OSError:  # the program has exited
            return
        self._in_line = False
