"""The shim's program: runs one command below itself, and ends with it all that it has started.

Run by itself, ``python -I -S -E shim.py CONTROL WAY COMMAND...``, and never imported. WAY says what becomes of what
the command has started:

- ``kill``: orphans among its descendants become children of the shim (a subreaper), which ends them behind the command;
  when it has no child left, nothing is left.
- ``keep``: they are left alone.
- ``namespace``: the shim makes a pid namespace and a child that is its first process, and the command is a child of
  that. The kernel ends all that is in there with its first process, and that one ends with the shim, whatever ends it.

CONTROL is a descriptor: each byte from the host is a signal for the command, SIGKILL means all, and its end means that
the host is gone. The shim writes there why it could not run the command.
"""

import ctypes
import functools
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
_MS_REC_SLAVE = 1 << 14 | 1 << 19
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOPPED = {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD}
_NOT_FOUND = 127
_BOUND = 1.0
"""Seconds for the end of what was killed: less than a millisecond, unless it cannot die."""


def main() -> None:
    """Run the command to its end, and end as it did."""
    control, way, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    host = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    os.set_inheritable(control, False)  # noqa: FBT003  # it takes no keyword
    # What the host sends to the group is for the command, which is in it: the shim heeds none of it, and keeps what
    # comes before there is a command. The terminal's own stops are left as they are, so that a job that is stopped is
    # stopped as a whole.
    numbers = signal.valid_signals() - _STOPPED
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    began = _Began({number: signal.getsignal(number) for number in numbers}, mask)
    signal.signal(signal.SIGCHLD, _nothing)
    wake = _wake_ups()
    me = os.getpid()
    if way == "namespace":
        _end_as(_in_namespace(command, control, wake, host, began, libc))
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        _give_up(control, "this system has no subreapers")
    pid = _fork(began)
    if pid == 0:
        _become(command, began, me, libc.prctl)
    try:
        status = _look_after(pid, control, wake, host, lambda number: os.kill(pid, number))
        if way != "keep" or status is None:
            end = _end_all(pid, wake, status)
            status = end if status is None else status
    finally:
        signal.set_wakeup_fd(-1)
    _end_as(status)


class _Began:
    """What signals did when the shim was started, as they are to do in the command."""

    def __init__(self, handlers: Mapping[signal.Signals, object], mask: Iterable[int]) -> None:
        self.handlers = handlers
        self.mask = mask


def _fork(began: _Began) -> int:
    """Fork, and heed no signals from now on; what has come so far is the child's, which has them blocked still."""
    held, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.read(held, 1)
        os.close(held)
        return 0
    os.close(held)
    # What the child was sent as well it has once, as it holds no signal twice.
    for number in signal.sigpending() & began.handlers.keys():
        os.kill(pid, number)
    for number in began.handlers:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, began.mask)
    os.close(go)
    return pid


def _wake_ups() -> int:
    """Return a pipe that can be read when a child has ended."""
    wake, news = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(news, False)
    signal.set_wakeup_fd(news, warn_on_full_buffer=False)
    return wake


def _give_up(control: int, why: str) -> None:
    os.write(control, why.encode())
    os._exit(_NOT_FOUND)


def _in_namespace(
    command: list[str],
    control: int,
    wake: int,
    host: int,
    began: _Began,
    libc: ctypes.CDLL,
) -> int:
    """Run the command in a pid namespace of its own; return its status when all that was in there is gone."""
    if (refused := _unshare(libc)) is not None:
        _give_up(control, f"no pid namespace can be made ({refused})")
    relay, ours = os.pipe()
    told, tell = os.pipe()
    init = _fork(began)
    if init == 0:
        os.close(ours)
        os.close(told)
        os.close(control)
        _be_first(command, relay, tell, began, libc)
    os.close(relay)
    os.close(tell)
    status = _look_after(init, control, wake, host, functools.partial(_hand_on, ours))
    if status is None:
        os.kill(init, signal.SIGKILL)
        # It ends when the last one in there has ended.
        status = os.waitpid(init, 0)[1]
    # What it tells is the status of the command, or why there is none. Whom it does not tell of was killed with it.
    said = os.read(told, 4096)
    if said.startswith(b"!"):
        _give_up(control, said[1:].decode(errors="replace"))
    return int(said) if said else status


def _hand_on(pipe: int, number: int) -> None:
    try:
        os.write(pipe, bytes([number]))
    except BrokenPipeError:
        return  # it has ended, which is about to be told


def _unshare(libc: ctypes.CDLL) -> str | None:
    """Have the next child be the first process of a new namespace; return why that cannot be."""
    if libc.unshare(_CLONE_NEWPID) == 0:
        return None
    # Who has not the rights of root has them in a user namespace of its own, in which nobody is anybody else.
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWPID) != 0:
        return os.strerror(ctypes.get_errno())
    try:
        for name, text in ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError as error:
        return f"{error.filename or 'its user namespace'}: {error.strerror}"
    return None


def _be_first(command: list[str], relay: int, tell: int, began: _Began, libc: ctypes.CDLL) -> None:
    """Be the first process of a namespace, until the command has ended or the shim has."""
    # Should the shim have ended before this, its end of the pipe tells.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if (
        libc.unshare(_CLONE_NEWNS) != 0
        or libc.mount(b"none", b"/", None, _MS_REC_SLAVE, None) != 0
        or libc.mount(b"proc", b"/proc", b"proc", _MS_NOSUID_NODEV_NOEXEC, None) != 0
    ):
        # With the /proc of the host a program would see others under its own number.
        os.write(tell, f"!no /proc can be mounted in a pid namespace ({os.strerror(ctypes.get_errno())})".encode())
        os._exit(_NOT_FOUND)
    wake = _wake_ups()
    pid = _fork(began)
    if pid == 0:
        _become(command, began, os.getppid(), libc.prctl)
    poll = select.poll()
    poll.register(relay, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while (status := _reap(pid)) is None:
        for ready, _ in poll.poll():
            if ready == wake:
                os.read(wake, 4096)
            elif not (word := os.read(relay, 64)):
                os._exit(_NOT_FOUND)
            else:
                for number in word:
                    os.kill(pid, number)
    os.write(tell, str(status).encode())
    os._exit(0)


def _nothing(_number: int, _frame: object) -> None:
    """The pipe of the wake-ups tells all."""


def _become(command: list[str], began: _Began, parent: int, prctl: Callable[..., int]) -> None:
    # Should somebody kill the shim, its command dies as well; all else is found by its marker then.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_NOT_FOUND)
    signal.set_wakeup_fd(-1)
    for number, handler in began.handlers.items():
        # The interpreter itself ignores these two; the command was not to.
        ignored = handler is signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ)
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, began.mask)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(_NOT_FOUND)


def _look_after(pid: int, control: int, wake: int, host: int, send: Callable[[int], object]) -> int | None:
    """Return the status of a child at its end, or None when all is to be ended; hand on what the host sends."""
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
                    send(number)


def _reap(pid: int) -> int | None:
    found = None
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == pid:
                found = ended[1]
    except ChildProcessError:
        pass
    return found


def _end_all(pid: int, wake: int, status: int | None) -> int:
    """Kill children until there is none: those of a killed one become ours. Return the status of the command.

    Once the command has ended, one that does not end, as it may not be killed or is in an uninterruptible sleep, is
    waited for as long as others end and a second more; then it is the host that names it.
    """
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    deadline = time.monotonic() + _BOUND
    while True:
        for child in _children():
            try:
                os.kill(child, signal.SIGKILL)
            except OSError:
                continue
        try:
            ended, found = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return signal.SIGKILL.value if status is None else status
        if ended:
            deadline = time.monotonic() + _BOUND
            if ended == pid:
                status = found
            continue
        left = deadline - time.monotonic()
        if status is not None and left <= 0:
            return status
        if poll.poll(None if status is None else left * 1000):
            os.read(wake, 4096)


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
