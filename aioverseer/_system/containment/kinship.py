"""Relation of any process to a program of this host: its own, another program's, a leftover, or none."""

from __future__ import annotations

import os

from aioverseer._system.containment import procfs
from aioverseer._system.containment.strays import stray_registry
from aioverseer.core.machine.listeners import Holder, Kinship

__all__ = ["holder"]


def holder(pid: int, *, program: int | None, id: str) -> Holder:
    """Return what is known about a process that holds a socket.

    Args:
        pid: The process.
        program: Leader of the program; the pid of this host for a task of it; None before the start.
        id: Name of the service.
    """
    name = procfs.read(f"/proc/{pid}/comm").decode(errors="replace").strip()
    return Holder(pid=pid, name=name, kinship=_kinship(pid, program=program, id=id))


def _kinship(pid: int, *, program: int | None, id: str) -> Kinship:
    registry = stray_registry()
    leader = registry.leader_of(pid)
    if leader is not None:
        is_same = leader == program or registry.are_of_one_run(leader, program)
        return Kinship.PROGRAM if is_same else Kinship.OTHER_RUN
    if pid == os.getpid():
        return Kinship.PROGRAM if pid == program else Kinship.HOST
    if (kept := registry.kept_by(pid)) is not None:
        return Kinship.EARLIER_RUN if kept == id else Kinship.UNRELATED
    return Kinship.ENDING if registry.judge(pid) else Kinship.UNRELATED
