"""The signals that a program would inherit as blocked or ignored, and the words that reset them before its exec.

A blocked or an ignored signal stays so through fork and exec: of a host with a ``sigwait`` thread, of a script that was
started with ``&`` or ``nohup``. Nothing is reset in the host, because a signal that comes meanwhile would end it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Final

from aioverseer._system.host.interpreter import missing_interpreter
from aioverseer._system.host.path_lookup import find

if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

__all__ = ["CleanStart", "held", "inherited"]

_log = logging.getLogger("aioverseer")

_TRAMPOLINE = os.path.join(os.path.dirname(__file__), "trampoline.py")

_SYNCHRONOUS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT}

# Python ignores SIGPIPE and SIGXFSZ itself, and every spawn resets these two.
_CHECKED: Final = tuple(
    sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ})
)

_TRIAL = 'trap "" USR1; exec "$0" --default-signal=USR1 /bin/sh -c "echo begins; kill -USR1 \\$\\$; echo lives"'
_TRIAL_TIMEOUT = 10.0
"""Seconds for the trial of env(1). Some milliseconds are usual; a busy machine needs more."""


def inherited() -> frozenset[int]:
    """Return the signals that a program spawned by this thread would inherit as blocked or ignored.

    A handler that was set by other code than Python since the start of the interpreter is not seen.
    """
    # The functions of ``signal`` make an enum of each answer, which takes 30 times as long.
    of, ignore = _signal.getsignal, _signal.SIG_IGN
    ignored = [number for number in _CHECKED if of(number) == ignore] if ignore in map(of, _CHECKED) else ()
    blocked = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    return _NONE if not ignored and not blocked else frozenset({*ignored, *map(int, blocked)})


_NONE: frozenset[int] = frozenset()


@contextlib.contextmanager
def held(signals: frozenset[int]) -> Generator[None]:
    """Block signals in this thread during the block. The child that is forked in it inherits them as blocked.

    A signal for the child then waits until its reset, even one that the host ignores: the kernel keeps blocked signals.
    Overlapping blocks of several tasks are possible, as each one unblocks what it has blocked itself.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals - before)


class CleanStart:
    """The start of one program in a host that has blocked or ignores signals.

    Attributes:
        prefix: Words to put before the command line.
        pass_fds: Descriptors that the program must inherit.
        held: Signals to block during the fork.
    """

    def __init__(self, signals: frozenset[int], words: Sequence[str]) -> None:
        """Choose the words.

        With an ignored SIGCHLD the kernel reaps a child at once, so its process id may belong to another process before
        the host has a pidfd. There the program waits until ``go``.

        Args:
            signals: Signals to reset.
            words: The command line.
        """
        self.held = signals
        self.pass_fds: tuple[int, ...] = ()
        self._go = -1
        holds = signal.SIGCHLD in signals and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
        # env(1) takes a first word with "=" for a variable, and one that begins with "-" for an option.
        tool = None if holds or "=" in words[0] or words[0].startswith("-") else _env()
        if tool is not None:
            self.prefix = [tool, f"--default-signal={','.join(map(str, sorted(signals)))}"]
            return
        if (why := missing_interpreter()) is not None or not os.path.isfile(_TRAMPOLINE):
            _warn(why or f"{_TRAMPOLINE!r} is not there")
            self.prefix = []
            return
        hold = -1
        if holds:
            hold, self._go = os.pipe()
            self.pass_fds = (hold,)
        # Python has handlers for some signals until the trampoline has begun.
        self.held = signals | (signal.valid_signals() - _SYNCHRONOUS)
        self.prefix = [sys.executable, "-I", "-S", "-E", _TRAMPOLINE, str(hold)]

    def go(self) -> None:
        """Let the program run, once the host has a pidfd for it."""
        if self._go >= 0:
            with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile
                os.write(self._go, b"g")

    def close(self) -> None:
        """Close the descriptors. A program that waits for ``go`` ends without having run. Idempotent."""
        if self._go >= 0:
            for descriptor in (self._go, *self.pass_fds):
                os.close(descriptor)
            self._go = -1


@functools.cache
def _env() -> str | None:
    """Return the path of an env(1) that resets signals and the mask; None without one. The first call runs a trial.

    GNU coreutils can do it since 8.31, busybox cannot.
    """
    tool = find("env", os.environ.get("PATH"))
    if tool is None:
        return None
    with held(frozenset({signal.SIGUSR1})):
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", _TRIAL, tool],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_TRIAL_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    # The exit code is unknown in a host that ignores SIGCHLD.
    return tool if done.stdout == b"begins\n" else None


@functools.cache
def _warn(why: str) -> None:
    _log.warning(
        "this host has blocked or ignores signals, and its programs inherit that: there is neither an env(1) with "
        "--default-signal nor a Python interpreter (%s) to reset them; install GNU coreutils",
        why,
    )
