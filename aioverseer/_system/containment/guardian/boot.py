"""The guardian's program: is armed, and goes on with what is in ``main.py``.

Run by itself, ``python -I -S -E boot.py TOKEN HOST CONTROL ACK TABLE CGROUP``, and never imported. The first start
of its host waits until it is armed: so it is short, as a program is compiled each time, and imports nothing before that
but what Python brings along. CONTROL, ACK and TABLE are descriptors, CGROUP is the folder below which the host makes
its cgroups, empty where it may not.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    import signal

    from aioverseer._system.containment.guardian import main as guardian_main
else:
    import _signal as signal
    import posix as os


def main() -> None:
    """Be armed, wait, sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    host, control, acknowledge, table = map(int, sys.argv[2:6])
    pidfd = _held(host)
    if os.getppid() != host and pidfd is not None:
        os.close(pidfd)  # of somebody else, then: the host has ended already
        pidfd = None
    os.write(acknowledge, b"1")
    _load()
    if guardian_main.wait_for_end(control, pidfd):
        cgroups = guardian_main.kill_cgroups(sys.argv[6], sys.argv[1])
        guardian_main.end_all(sys.argv[1].encode(), table)
        guardian_main.remove_cgroups(cgroups)


def _held(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None


def _load() -> None:
    """Import the rest, from the folder of this file: now, as its files may be gone at the end of the host."""
    global guardian_main  # noqa: PLW0603  # an import, late
    sys.dont_write_bytecode = True
    sys.path.append(__file__.rpartition("/")[0])
    import main as guardian_main  # type: ignore[import-not-found]  # noqa: PLC0415  # of no package, in here


if __name__ == "__main__":
    main()
