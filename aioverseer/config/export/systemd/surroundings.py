"""The surroundings of a program: folder, variables, sockets, input and output."""

from __future__ import annotations

import base64

from aioverseer.config.export.placeholders import fill
from aioverseer.config.export.systemd.draft import UnitDraft
from aioverseer.config.export.systemd.unit_text import assignment, literal

__all__ = ["add_surroundings"]


def add_surroundings(m: UnitDraft) -> None:
    """Add folder, variables, sockets, input and output."""
    m.given.take("cwd")
    m.service("WorkingDirectory", literal(m.path()))
    for name, value in m.given.variables().items():
        m.service("Environment", assignment(name, fill(value, m.values)))
    for name in m.sockets.values():
        m.service("Sockets", name)
    m.given.take("listen")
    m.given.take("port")
    if len(m.sockets) < len(m.spec.listen):
        m.given.lost("listen", "an inherited socket has a unit already: name it in Sockets=")
    if len(m.sockets) > 1:
        m.given.changed("listen", "the order of several sockets is not fixed: find them by LISTEN_FDNAMES")
    _input(m)
    _output(m)


def _input(m: UnitDraft) -> None:
    match m.given.take("stdin"):
        case None:
            pass
        case {"file": str(path)}:
            m.service("StandardInput", f"file:{literal(m.path(path))}")
        case {"base64": str(data)}:
            m.service("StandardInput", "data")
            m.service("StandardInputData", data)
        case "pipe" | "inherit" | {"function": _} | {"object": _} | {"program": _}:
            m.given.lost("stdin", "the null device takes its place")
        case text:
            m.service("StandardInput", "data")
            m.service("StandardInputData", base64.b64encode(str(text).encode()).decode())


def _output(m: UnitDraft) -> None:
    both = m.given.take("output")
    is_null = {name: (m.given.take(name) or both) == "null" for name in ("stdout", "stderr")}
    if any(is_null.values()):
        m.service("StandardOutput", "null" if is_null["stdout"] else "journal")
        m.service("StandardError", "null" if is_null["stderr"] else "journal")
    m.given.take("merge_stderr")
