"""The trampoline's program: give the signals their default actions, empty the signal mask, and exec a command.

Run as ``python -I -S -E trampoline.py HOLD COMMAND...``, never imported. HOLD is a descriptor, or -1. The command is
run once a byte comes from it. At its end without a byte the launch has failed, and the command is not run.
"""

import os
import signal
import sys

_NOT_FOUND = 127


def main() -> None:
    """Wait for the host, reset the signals, run the command."""
    hold, command = int(sys.argv[1]), sys.argv[2:]
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    # Before the wait, so that a stop in this moment ends the run.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if hold >= 0:
        if not os.read(hold, 1):
            os._exit(_NOT_FOUND)
        os.close(hold)
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
