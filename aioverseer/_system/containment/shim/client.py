"""The shim, as its host sees it: words before the command, and a pair of sockets for what signals cannot say.

What it does is in ``shim.py``.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = ["Shim", "Way", "missing", "missing_namespace"]

_PROGRAM = Path(__file__).with_name("main.py")

_NOT_RUN = 127
"""Exit code of a shim that could not run its command."""

_TRIED_WITHIN = 10.0
"""Seconds for a try that takes some thirty milliseconds, on a machine that has much to do."""

Way: TypeAlias = Literal["kill", "keep", "namespace"]
"""What becomes of what the command has started; see ``shim.py``."""


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


def missing_namespace() -> str | None:
    """Return why there can be no pid namespace; None when there can. The first call waits for a try."""
    return missing() or _tried()


@functools.cache
def _tried() -> str | None:
    # Capabilities, limits, seccomp and the mount of /proc decide it together: only a try tells.
    shim = Shim("namespace")
    try:
        done = subprocess.run(
            [*shim.prefix, "/bin/sh", "-c", ":"],
            pass_fds=shim.pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TRIED_WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"a shim in a pid namespace cannot be tried: {error}"
    else:
        if done.returncode == 0:
            return None
        return shim.failure(done.returncode) or f"a shim in a pid namespace exits with code {done.returncode}"
    finally:
        shim.close()


class Shim:
    """One shim."""

    def __init__(self, way: Way) -> None:
        """Open its sockets.

        Args:
            way: What becomes of what the command has started.
        """
        self._theirs, self._ours = (end.detach() for end in socket.socketpair())
        os.set_blocking(self._ours, False)
        self.pass_fds = (self._theirs,)
        self.prefix = [sys.executable, "-I", "-S", "-E", str(_PROGRAM), str(self._theirs), way]

    def adopted(self) -> None:
        """It was spawned: let go of its end."""
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

    def failure(self, code: int | None) -> str | None:
        """Return why it has not run its command; None when it has.

        Args:
            code: Its exit code.
        """
        if code == _NOT_RUN and self._ours >= 0:
            with contextlib.suppress(OSError):
                return os.read(self._ours, 4096).decode(errors="replace") or None
        return None

    def close(self) -> None:
        """Let go of both ends, which ends it where it still lives. Idempotent."""
        self.adopted()
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
