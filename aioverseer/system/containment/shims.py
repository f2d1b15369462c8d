"""The shim, as its host sees it: words before the command, and a pipe for what signals cannot say.

What it does is in ``shim.py``.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import signal
import sys
from pathlib import Path

__all__ = ["Shim", "missing"]

_PROGRAM = Path(__file__).with_name("shim.py")


def missing() -> str | None:
    """Return why there can be no shim; None when there can."""
    if sys.platform != "linux":
        return "only Linux has subreapers"
    if not sys.executable or not _PROGRAM.is_file():
        return "there is no Python interpreter to run a shim with (sys.executable is empty)"
    if not os.access(sys.executable, os.X_OK):
        # A host that has changed its user, for example.
        return f"this user may not run the Python interpreter {sys.executable!r}, which a shim needs"
    if importlib.util.find_spec("_ctypes") is None:
        return "this Python has no ctypes, with which a shim becomes a subreaper"
    return None


class Shim:
    """One shim."""

    def __init__(self, *, keep: bool) -> None:
        """Open its pipe.

        Args:
            keep: Whether it is to leave alone what the command leaves behind.
        """
        self._theirs, self._ours = os.pipe()
        os.set_blocking(self._ours, False)
        self.pass_fds = (self._theirs,)
        keeping = "keep" if keep else "kill"
        self.prefix = [sys.executable, "-I", "-S", "-E", str(_PROGRAM), str(self._theirs), keeping]

    def adopted(self) -> None:
        """It was spawned: let go of its end of the pipe."""
        if self._theirs >= 0:
            os.close(self._theirs)
            self._theirs = -1

    def relay(self, number: int, *, leader_only: bool) -> bool:
        """Have it pass a signal on, where one to its group does not mean the same.

        Args:
            number: SIGKILL ends all below it.
            leader_only: For its command alone.

        Returns:
            Whether that was done; if not, the signal is to be sent to the group.

        Raises:
            ProcessLookupError: When it has ended.
        """
        if number == 0 or not (leader_only or number == signal.SIGKILL):
            return False
        try:
            os.write(self._ours, bytes([number]))
        except BlockingIOError:
            return False  # it is stopped, and has been sent thousands
        except OSError:
            raise ProcessLookupError(errno.ESRCH, "the shim has ended") from None
        return True

    def close(self) -> None:
        """Let go of the pipe, which ends it where it still lives. Idempotent."""
        self.adopted()
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
