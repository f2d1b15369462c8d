"""Probes, which find out whether a program can do its work: ``ready=ready.tcp(5432)``.

``Alive`` takes the same probes. ``a & b`` needs both, ``a | b`` needs one of them. A probe is a value: the functions
here check their arguments, and the overseer connects and waits.
"""

from __future__ import annotations

from aioverseer.core.options.composition import Probe
from aioverseer.core.options.ready_makers import check, command, fd, file, http, line, notify, prompt, tcp, unix

__all__ = ["Probe", "check", "command", "fd", "file", "http", "line", "notify", "prompt", "tcp", "unix"]
