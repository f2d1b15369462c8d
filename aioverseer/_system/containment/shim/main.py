"""The shim's program: run one command, and kill the command's descendants after its end.

Run as ``python -I -S -E main.py CONTROL WAY COMMAND...``, never imported. WAY is one of:

- ``kill``: The shim is a subreaper, so orphaned descendants become its children. After the command it reports them to
  the host, passes on the host's signals, and kills them when the host says so. When it has no child, nothing is left.
- ``keep``: Descendants are left alone.
- ``namespace``: The shim makes a pid namespace and its first process, init, which starts the command. When init ends,
  the kernel kills every process in the namespace. Init ends with the shim, however the shim ends.

CONTROL is a socket. Each byte from the host is a signal for the command, and after its end for what it has left; with
the highest bit set, only for processes outside of the group. SIGKILL is for all; end of file means that the host is
gone. If the shim cannot run the command, it writes the reason there. If the command has left processes, it writes a
null byte, the status of the command and their pids.
"""

import ctypes
import functools
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
_MS_REC_SLAVE = 1 << 14 | 1 << 19
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOPPED = {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD}
_NOT_FOUND = 127
_KILL_TIMEOUT = 1.0
"""Seconds for the end of a killed process: less than a millisecond, unless it cannot die."""


def main() -> None:
    """Run the command to its end, then end with the same status."""
    control, way, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    host = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    os.set_inheritable(control, False)  # noqa: FBT003  # it takes no keyword
    # Signals to the group are for the command, which is in the group. The shim ignores them, and holds those that come
    # before the command exists. Stop signals keep their effect, so that a job is stopped as a whole.
    numbers = signal.valid_signals() - _STOPPED
    signal.pthread_sigmask(signal.SIG_SETMASK, numbers)
    signal.signal(signal.SIGCHLD, _nothing)
    wake = _child_end_pipe()
    me = os.getpid()
    if way == "namespace":
        _end_as(_in_namespace(command, control, wake, host, numbers, libc))
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        _give_up(control, "this system has no subreapers")
    pid = _fork(numbers)
    if pid == 0:
        _exec(command, me, libc.prctl)
    try:
        status = _relay_until_end(pid, control, wake, host, lambda number: _kill(pid, number))
        if way == "kill" and status is not None and _children() and _descendants():
            _report_leftovers(control, status, 0)
            _relay_until_end(0, control, wake, host, _signal_leftovers)
        if way != "keep" or status is None:
            end = _end_all(pid, wake, status)
            status = end if status is None else status
    finally:
        signal.set_wakeup_fd(-1)
    _end_as(status)


def _fork(numbers: set[signal.Signals]) -> int:
    """Fork. The parent ignores signals from now on; those that are pending go to the child, which still blocks them."""
    held, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.read(held, 1)
        os.close(held)
        return 0
    os.close(held)
    # A signal that the child has received too is pending only once.
    for number in signal.sigpending() & numbers:
        os.kill(pid, number)
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.close(go)
    return pid


def _child_end_pipe() -> int:
    """Return a pipe that becomes readable when a child ends."""
    wake, signals = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(signals, False)
    signal.set_wakeup_fd(signals, warn_on_full_buffer=False)
    return wake


def _give_up(control: int, why: str) -> None:
    os.write(control, why.encode())
    os._exit(_NOT_FOUND)


def _in_namespace(
    command: list[str],
    control: int,
    wake: int,
    host: int,
    numbers: set[signal.Signals],
    libc: ctypes.CDLL,
) -> int:
    """Run the command in a new pid namespace; return its status when no process is left in it."""
    if (refused := _unshare(libc)) is not None:
        _give_up(control, f"no pid namespace can be made ({refused})")
    relay, ours = os.pipe()
    result, report = os.pipe()
    init = _fork(numbers)
    if init == 0:
        os.close(ours)
        os.close(result)
        os.close(control)
        _be_init(command, relay, report, numbers, libc)
    os.close(relay)
    os.close(report)
    said = b""

    def hear() -> None:
        nonlocal said
        more = os.read(result, 4096)
        said += more
        if more.startswith(b"?"):
            _report_leftovers(control, int(more[1 : more.index(b"\n")]), init)

    status = _relay_until_end(init, control, wake, host, functools.partial(_write_signal, ours), (result, hear))
    if status is None:
        os.kill(init, signal.SIGKILL)
        # Init ends after the last process of the namespace.
        status = os.waitpid(init, 0)[1]
    # Init reports the status of the command, or why there is none. Without a report, both were killed.
    reported = (said + os.read(result, 4096)).rpartition(b"\n")[2]
    if reported.startswith(b"!"):
        _give_up(control, reported[1:].decode(errors="replace"))
    return int(reported) if reported else status


def _write_signal(pipe: int, number: int) -> None:
    try:
        os.write(pipe, bytes([number]))
    except BrokenPipeError:
        return  # init has ended, which the caller is about to see


def _unshare(libc: ctypes.CDLL) -> str | None:
    """Make the next child the init of a new pid namespace; return why that is impossible, else None."""
    if libc.unshare(_CLONE_NEWPID) == 0:
        return None
    # A process without root's rights has them in a new user namespace. Map its own user and group there.
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


def _be_init(command: list[str], relay: int, report: int, numbers: set[signal.Signals], libc: ctypes.CDLL) -> None:
    """Be the init of a namespace until the command or the shim ends."""
    # If the shim ended before this call, the closed relay pipe shows it.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if (
        libc.unshare(_CLONE_NEWNS) != 0
        or libc.mount(b"none", b"/", None, _MS_REC_SLAVE, None) != 0
        or libc.mount(b"proc", b"/proc", b"proc", _MS_NOSUID_NODEV_NOEXEC, None) != 0
    ):
        # With the host's /proc a program would find other processes under its own pid.
        os.write(report, f"!no /proc can be mounted in a pid namespace ({os.strerror(ctypes.get_errno())})".encode())
        os._exit(_NOT_FOUND)
    wake = _child_end_pipe()
    pid = _fork(numbers)
    if pid == 0:
        _exec(command, os.getppid(), libc.prctl)
    poll = select.poll()
    poll.register(relay, select.POLLIN)
    poll.register(wake, select.POLLIN)
    status = None
    while True:
        if status is None:
            status = _reap(pid)
            if status is not None and _has_children() and _descendants():
                os.write(report, f"?{status}\n".encode())
        else:
            _reap(pid)
        if status is not None and not _has_children():
            break
        for ready, _ in poll.poll():
            if ready == wake:
                os.read(wake, 4096)
            elif not (word := os.read(relay, 64)):
                os._exit(_NOT_FOUND)
            else:
                for number in word:
                    if status is None:
                        _kill(pid, number)
                    else:
                        _signal_leftovers(number)
    os.write(report, str(status).encode())
    os._exit(0)


def _nothing(_number: int, _frame: object) -> None:
    """Do nothing: the wake-up pipe reports SIGCHLD."""


def _exec(command: list[str], parent: int, prctl: Callable[..., int]) -> None:
    # If the shim is killed, the kernel kills the command too. Other descendants are then found by their marker.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_NOT_FOUND)
    signal.set_wakeup_fd(-1)
    # The command starts with default actions and an empty mask, whatever the host has blocked or ignores.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(_NOT_FOUND)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        return  # it has just ended, or has become another user


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _report_leftovers(control: int, status: int, init: int) -> None:
    """Tell the host that the command has ended with a status, and which processes it has left."""
    pids = " ".join(str(pid) for pid in _descendants()[:100] if pid != init)
    try:
        os.write(control, f"\0{status} {pids}".encode())
    except OSError:
        return  # the host is gone, which the caller is about to see


def _signal_leftovers(word: int) -> None:
    """Send a signal to all descendants; with the highest bit set, to those outside of the group."""
    number = word & 0x7F
    group = os.getpgrp()
    for pid in _descendants():
        try:
            # In a pid namespace the number of the group is 0, as its leader is outside.
            if not (word & 0x80 and os.getpgid(pid) == group):
                os.kill(pid, number)
        except OSError:
            continue


def _descendants() -> list[int]:
    """Return all living processes below this one."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] not in ("Z", "X"):
                below.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    left = [os.getpid()]
    while left:
        pids = below.get(left.pop(), [])
        found += pids
        left += pids
    return found


def _relay_until_end(
    pid: int,
    control: int,
    wake: int,
    host: int,
    send: Callable[[int], object],
    also: tuple[int, Callable[[], None]] | None = None,
) -> int | None:
    """Relay the host's signals until a child ends; return its status, or None when all must be killed.

    Args:
        pid: The child; 0 to relay until no child is left.
        control: The socket of the host.
        wake: The pipe that is readable when a child has ended.
        host: Process id of the host.
        send: Function that takes each byte of the host.
        also: Another descriptor to watch, and the function to call when it is readable.
    """
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake, select.POLLIN)
    try:
        # In addition to the socket, which a fork of the host may keep open.
        gone = os.pidfd_open(host)
        poll.register(gone, select.POLLIN)
    except (OSError, AttributeError):
        gone = -1
    if os.getppid() != host:
        return None
    if also is not None:
        poll.register(also[0], select.POLLIN)
    while True:
        status = _reap(pid)
        if status is not None or (pid == 0 and not _has_children()):
            return status
        for ready, _ in poll.poll():
            if ready == wake:
                os.read(wake, 4096)
            elif ready == gone:
                return None
            elif also is not None and ready == also[0]:
                also[1]()
            else:
                word = _read(control)
                if not word or signal.SIGKILL in word:
                    return None
                for number in word:
                    send(number)


def _read(control: int) -> bytes:
    try:
        return os.read(control, 64)
    except ConnectionResetError:
        return b""  # the host is gone, and has not read a report


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
    """Kill children until there is none, as orphans of a killed child become children too. Return the command's status.

    A child may not end: it may not be killed, or is in an uninterruptible sleep. After the command has ended, the wait
    is over when no other child has ended for a second; the host then reports the survivor.
    """
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    deadline = time.monotonic() + _KILL_TIMEOUT
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
            deadline = time.monotonic() + _KILL_TIMEOUT
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
        pass  # the kernel has no such file
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
    # The command has already dumped its core, if any.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)


if __name__ == "__main__":
    main()
