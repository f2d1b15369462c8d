"""The shim's program: runs one command below itself, and ends with it all that it has started.

Run by itself, ``python -I -S -E shim.py CONTROL KEEP COMMAND...``, and never imported. Orphans among its descendants
become its children (a subreaper), so when it has no child left, nothing is left. CONTROL is a descriptor: each byte
from the host is a signal for the command, SIGKILL means all, and its end means that the host is gone.
"""

import ctypes
import os
import resource
import select
import signal
import sys
from collections.abc import Callable, Mapping

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOPPED = {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD}
_NOT_FOUND = 127


def main() -> None:
    """Run the command to its end, and end as it did."""
    control, keep, command = int(sys.argv[1]), sys.argv[2] == "keep", sys.argv[3:]
    host = os.getppid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        os.write(2, b"aioverseer: this system has no subreapers\n")
        os._exit(_NOT_FOUND)
    os.set_inheritable(control, False)  # noqa: FBT003  # it takes no keyword
    wake, news = os.pipe()
    os.set_blocking(news, False)
    # What the host sends to the group is for the command, which is in it: the shim heeds none of it. The terminal's
    # own stops are left as they are, so that a job that is stopped is stopped as a whole.
    changed = {number: signal.getsignal(number) for number in signal.valid_signals() - _STOPPED}
    for number in changed:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _nothing)
    signal.set_wakeup_fd(news, warn_on_full_buffer=False)
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(command, changed, me, prctl)
    try:
        status = _look_after(pid, control, wake, host)
        if not keep or status is None:
            end = _end_all(pid)
            status = end if status is None else status
    finally:
        signal.set_wakeup_fd(-1)
    _end_as(status)


def _nothing(_number: int, _frame: object) -> None:
    """The pipe of the wake-ups tells all."""


def _become(
    command: list[str], handlers: Mapping[signal.Signals, object], parent: int, prctl: Callable[..., int]
) -> None:
    # Should somebody kill the shim, its command dies as well; all else is found by its marker then.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_NOT_FOUND)
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        # The interpreter itself ignores these two; the command was not to.
        ignored = handler is signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ)
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(_NOT_FOUND)


def _look_after(pid: int, control: int, wake: int, host: int) -> int | None:
    """Return the status of the command at its end, or None when all is to be ended."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake, select.POLLIN)
    try:
        # Beside the pipe, which a fork of the host may hold open.
        gone = os.pidfd_open(host)
        poll.register(gone, select.POLLIN)
    except (OSError, AttributeError):
        gone = -1
    if os.getppid() != host:
        return None
    while True:
        status = _reap(pid)
        if status is not None:
            return status
        for ready, _ in poll.poll():
            if ready == wake:
                os.read(wake, 4096)
            elif ready == gone:
                return None
            else:
                word = os.read(control, 64)
                if not word or signal.SIGKILL in word:
                    return None
                for number in word:
                    os.kill(pid, number)


def _reap(pid: int) -> int | None:
    found = None
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == pid:
                found = ended[1]
    except ChildProcessError:
        pass
    return found


def _end_all(pid: int) -> int:
    """Kill children until there is none: those of a killed one become ours. Return the status of the command."""
    found = signal.SIGKILL.value
    while True:
        for child in _children():
            try:
                os.kill(child, signal.SIGKILL)
            except OSError:
                continue
        try:
            ended, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return found
        if ended == pid:
            found = status


def _children() -> list[int]:
    me = str(os.getpid())
    try:
        with open(f"/proc/{me}/task/{me}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        pass  # a kernel without this file
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat") as file:
                    if file.read().rpartition(")")[2].split()[1] == me:
                        found.append(int(name))
            except OSError:
                continue
    return found


def _end_as(status: int | None) -> None:
    if status is None or os.WIFEXITED(status):
        os._exit(0 if status is None else os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    # The command has written its core, if any.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)


if __name__ == "__main__":
    main()
