"""First part of the guardian's program: acknowledge that it is armed, then load ``main.py``.

Run as ``python -I -S -E boot.py TOKEN HOST CONTROL ACK TABLE CGROUP LIMIT``, never imported. The first launch waits
for it, and Python compiles it each time: so keep it short, and import only built-in modules before the acknowledgement.
CONTROL, ACK and TABLE are descriptors. CGROUP is the folder for the host's cgroups, or empty.
TOKEN and LIMIT are the marks of the host's programs.
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
    """Acknowledge, wait for the end of the host, sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    host, control, acknowledge, table = map(int, sys.argv[2:6])
    pidfd = _open_pidfd(host)
    if os.getppid() != host and pidfd is not None:
        os.close(pidfd)  # the host has ended, so its pid may be another process
        pidfd = None
    os.write(acknowledge, b"1")
    _load()
    if guardian_main.wait_for_end(control, pidfd):
        cgroups = guardian_main.kill_cgroups(sys.argv[6], sys.argv[1])
        guardian_main.end_all(guardian_main.Marks(sys.argv[1], sys.argv[7]), table)
        guardian_main.remove_cgroups(cgroups)


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None


def _load() -> None:
    """Import ``main.py`` from this folder, now: the file may be gone when the host ends."""
    global guardian_main  # noqa: PLW0603  # an import, late
    sys.dont_write_bytecode = True
    sys.path.append(__file__.rpartition("/")[0])
    import main as guardian_main  # type: ignore[import-not-found]  # noqa: PLC0415  # in no package


if __name__ == "__main__":
    main()
