"""The host's side of a shim: words before the command line, and a socket pair for requests that signals cannot express.

The program of the shim is ``main.py``.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.machinery
import os
import signal
import socket
import subprocess
import sys
from typing import Literal, TypeAlias

from aioverseer._system.host.interpreter import missing_interpreter
from aioverseer.core.state import Exit

__all__ = ["Shim", "Way", "missing", "missing_namespace"]

_PROGRAM = os.path.join(os.path.dirname(__file__), "main.py")

_NOT_RUN = 127
"""Exit code of a shim that could not run its command."""

_TRIAL_TIMEOUT = 10.0
"""Seconds for the trial of a pid namespace. Some thirty milliseconds are usual; a busy machine needs more."""

Way: TypeAlias = Literal["kill", "keep", "namespace"]
"""How leftovers of the command are treated; explained in ``main.py``."""


def missing() -> str | None:
    """Return why there can be no shim; None when there can be one."""
    if sys.platform != "linux":
        return "only Linux has subreapers"
    if (why := missing_interpreter()) is not None:
        return f"there is no Python interpreter to run a shim with ({why})"
    if not os.path.isfile(_PROGRAM):
        return f"the shim's program {_PROGRAM!r} is not there"
    if not os.access(sys.executable, os.X_OK):
        # For example in a host that has changed its user.
        return f"this user may not run the Python interpreter {sys.executable!r}, which a shim needs"
    if "_ctypes" not in sys.builtin_module_names and importlib.machinery.PathFinder.find_spec("_ctypes") is None:
        return "this Python has no ctypes, with which a shim becomes a subreaper"
    return None


def missing_namespace() -> str | None:
    """Return why there can be no pid namespace; None when there can be one. The first call runs a trial and blocks."""
    return missing() or _trial()


@functools.cache
def _trial() -> str | None:
    # Capabilities, limits, seccomp and the mount of /proc decide together, so only a trial can tell.
    shim = Shim("namespace")
    try:
        done = subprocess.run(
            [*shim.prefix, "/bin/sh", "-c", "echo"],
            pass_fds=shim.pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TRIAL_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"a shim in a pid namespace cannot be tried: {error}"
    else:
        if done.stdout:  # in a host that ignores SIGCHLD, the exit code is always 0
            return None
        return shim.failure(done.returncode) or f"a shim in a pid namespace exits with code {done.returncode}"
    finally:
        shim.close()


class Shim:
    """One shim.

    Attributes:
        prefix: Words to put before the command line.
        pass_fds: Descriptors that the shim must inherit.
        has_namespace: Whether its command has a pid namespace.
    """

    def __init__(self, way: Way) -> None:
        """Open the socket pair.

        Args:
            way: How leftovers of the command are treated.
        """
        self._theirs, self._ours = (end.detach() for end in socket.socketpair())
        os.set_blocking(self._ours, False)
        self._reason = b""
        self.has_namespace = way == "namespace"
        self.pass_fds = (self._theirs,)
        self.prefix = [sys.executable, "-I", "-S", "-E", _PROGRAM, str(self._theirs), way]

    def fileno(self) -> int:
        """Return the descriptor that is readable when the shim has something to say."""
        return self._ours

    def listen(self) -> tuple[Exit, tuple[int, ...]] | None:
        """Return the exit of the command and the pids of what it has left, once the shim has reported them; else None.

        A reason why the shim could not run its command is kept for ``failure``.
        """
        with contextlib.suppress(OSError):
            said = os.read(self._ours, 4096)
            if not said.startswith(b"\0"):
                self._reason += said
                return None
            status, *pids = map(int, said[1:].split())
            return Exit.from_returncode(os.waitstatus_to_exitcode(status)), tuple(pids)
        return None

    def signal_leftovers(self, number: int, *, missed: bool) -> None:
        """Have the shim send a signal to what its command has left; see ``protocols.Leftovers``."""
        with contextlib.suppress(OSError):  # the shim has just ended
            os.write(self._ours, bytes([number | 0x80 if missed else number]))

    def adopted(self) -> None:
        """Close the shim's end of the sockets after the spawn."""
        if self._theirs >= 0:
            os.close(self._theirs)
            self._theirs = -1

    def relay(self, number: int, *, leader_only: bool) -> bool:
        """Have the shim deliver a signal, where a signal to the group would act differently.

        Args:
            number: Signal number. SIGKILL ends every process below the shim.
            leader_only: Whether the signal is for the command alone.

        Returns:
            Whether the shim delivers it; if not, the caller must signal the group.

        Raises:
            ProcessLookupError: If the shim has ended.
        """
        if number == 0 or not (leader_only or number == signal.SIGKILL):
            return False
        try:
            os.write(self._ours, bytes([number]))
        except BlockingIOError:
            return False  # the socket is full: the shim is stopped, and thousands of signals were sent
        except OSError:
            raise ProcessLookupError(errno.ESRCH, "the shim has ended") from None
        return True

    def failure(self, code: int | None) -> str | None:
        """Return why the shim has not run its command; None when it has.

        Args:
            code: Exit code of the shim.
        """
        if code == _NOT_RUN and self._ours >= 0:
            with contextlib.suppress(OSError):
                self._reason += os.read(self._ours, 4096)
            return self._reason.decode(errors="replace") or None
        return None

    def close(self) -> None:
        """Close both ends, which ends a shim that still runs. Idempotent."""
        self.adopted()
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
