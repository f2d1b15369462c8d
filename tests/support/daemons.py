"""A program that goes into the background as servers do: no session, no descriptor and no environment is left of it."""

from __future__ import annotations

import textwrap

__all__ = ["DAEMON", "LOST"]

DAEMON = textwrap.dedent("""
    import ctypes, os, signal, sys
    # Imports first: afterwards there is no environment and no descriptor.
    def overwrite_environment():
        fields = open("/proc/self/stat", "rb").read().rpartition(b")")[2].split()
        start, end = int(fields[47]), int(fields[48])
        ctypes.memset(start, 0, end - start)
        assert not open("/proc/self/environ", "rb").read().strip(b"\\0")
    hear, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        overwrite_environment()
        os.write(tell, b"%d" % os.getpid())
        os.closerange(0, 1024)
        while True:
            signal.pause()
    os.wait()
    os.close(tell)
    print(os.read(hear, 16).decode(), flush=True)
    if sys.argv[1:] == ["stay"]:
        signal.pause()
""").strip()
"""Python code. It prints the pid of the daemon, and ends; with the argument ``stay`` it stays."""

LOST = """
import os, resource, signal
hear, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for limit in 10, 15:  # the mark of the library
            resource.setrlimit(limit, resource.getrlimit(limit)[1:] * 2)
        print(os.getpid(), flush=True)
        os.dup2(os.open(os.devnull, os.O_RDWR), 2)
        os.set_inheritable(tell, True)
        os.execve("/bin/sh", ["sh", "-c", f"echo x >&{tell}; exec sleep 60 >/dev/null"], {})
    os._exit(0)
os.read(hear, 1)
"""
"""Leaves a daemon that has left session and group, and has no mark: no environment, and its limits are set back."""
