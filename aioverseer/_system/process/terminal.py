"""A terminal of its own for a child: the pseudo-terminal, its size, and its end of input.

The child must be the leader of its session and open the terminal itself to be controlled by it; that is done by a
word before its arguments (``controlled``), as nothing may run between fork and exec. What is read and written is not
looked at in here.
"""

from __future__ import annotations

import os
import termios

from aioverseer._system.process.pipes import WritePipe

__all__ = ["TerminalInput", "controlled", "open_terminal", "set_size"]

_LFLAG = 3  # where tcgetattr has the local modes
_END = b"\x04"  # VEOF: what has been typed so far is read, and nothing typed is the end
_ENDS = b"\n", b"\r", _END  # behind these nothing is typed: a terminal takes the return key for the line's end


def open_terminal(window_size: tuple[int, int]) -> tuple[int, int]:
    """Open a pseudo-terminal without echo, and return our end and that of the child.

    Without echo, because what is written to a program should not come back as if the program had said it.

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
    """Set columns and rows; the kernel sends SIGWINCH to the programs in the foreground when they change."""
    columns, rows = window_size
    termios.tcsetwinsize(descriptor, (rows, columns))


def controlled(name: str) -> list[str]:
    """Return the words to put before a command, for the terminal of this name to control it.

    The leader of a session without a terminal is controlled by the first that it opens (tty_ioctl(4), O_NOCTTY in
    open(2)). A shell does that and becomes the program; ``setsid --ctty`` would fork.
    """
    return ["/bin/sh", "-c", 'exec 3<>"$0" 3<&-; exec "$@"', name]


class TerminalInput(WritePipe):
    """What is typed on the terminal; see ``seam.Sink``."""

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor of our end.

        Args:
            descriptor: Not that which is read: each is closed by its owner.
        """
        super().__init__(descriptor)
        self._in_line = False

    async def write(self, data: bytes) -> None:
        """Type it; see ``WritePipe.write``."""
        await super().write(data)
        if data:
            self._in_line = not data.endswith(_ENDS)

    async def write_eof(self) -> None:
        """Type the end of input; behind a line that was begun it takes two."""
        try:
            await super().write(_END * (1 + self._in_line))
        except OSError:  # nobody is there any more
            return
        self._in_line = False
