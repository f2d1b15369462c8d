"""A program that places listening sockets, where no shell can: move descriptors to 3, 4 and so on, and exec a command.

Run as ``python -I -S -E place_sockets.py DESCRIPTORS PID COMMAND...``, never imported. DESCRIPTORS are numbers that are
joined by commas. PID is ``pid`` to set ``LISTEN_PID``.
"""

import fcntl
import os
import signal
import sys

_FIRST = 3
_NOT_FOUND = 127


def main() -> None:
    """Move the descriptors, set the variable, run the command."""
    given, pid, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    descriptors = [int(number) for number in given.split(",")]
    free = _FIRST + len(descriptors)
    # First out of the way: a wanted number may be that of another socket.
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, free) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for place, copy in enumerate(copies, _FIRST):
        os.dup2(copy, place)
    if pid == "pid":
        os.environ["LISTEN_PID"] = str(os.getpid())
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and an exec keeps that
        signal.signal(number, signal.SIG_DFL)
    _forget_locale()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(_NOT_FOUND)


def _forget_locale() -> None:
    """Remove the variable that Python sets for itself in a process without a locale (PEP 538)."""
    try:
        with open("/proc/self/environ", "rb", buffering=0) as file:
            given = b"\0" + (file.readall() or b"")
    except OSError:
        return
    if b"\0LC_CTYPE=" not in given:
        os.environ.pop("LC_CTYPE", None)


if __name__ == "__main__":
    main()
