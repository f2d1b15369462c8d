"""The commands of a service: its program, its readiness, and what comes before, after and at a reload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aioverseer import PidFile
from aioverseer.config.export.conditions import condition_of
from aioverseer.config.export.placeholders import fill
from aioverseer.config.export.systemd.draft import UnitDraft
from aioverseer.config.export.systemd.unit_text import exec_line, literal, seconds
from aioverseer.config.shapes import is_list

__all__ = ["add_program", "command_line"]

_SHELL = "/bin/bash"
_PAUSE = "0.2"
"""Seconds between two questions whether a program is ready."""


def add_program(m: UnitDraft) -> None:
    """Add the program, and the commands around it."""
    spec = m.spec
    if (delay := m.given.take("delay_start")) is not None:
        m.given.changed("delay_start", "it comes before each start, not only the first one")
        m.service("ExecStartPre", f"/bin/sleep {seconds(delay)}")
    if before := m.given.words("prepare"):
        m.service("ExecStartPre", command_line(m, before))
    m.service("ExecStart", command_line(m, m.given.command(), note="command"))
    if (probe := m.given.take("ready")) is not None and m.kind != "oneshot":
        _readiness(m, probe)
    if after := m.given.words("cleanup"):
        m.service("ExecStopPost", command_line(m, after))
    if (reload := m.given.take("reload")) is not None:
        if is_list(reload):
            m.service("ExecReload", command_line(m, reload))
        else:
            name = "SIGHUP" if reload == "notify" else str(reload)
            m.service("ExecReload", f"/bin/kill -s {name.removeprefix('SIG')} $MAINPID")
        if reload == "notify":
            m.given.changed("reload", "nothing waits for its READY=1; from systemd 253 on, Type=notify-reload does")
    pid_file = m.given.take("main_pid")
    if isinstance(spec.main_pid, PidFile) and m.kind == "forking":
        m.service("PIDFile", literal(m.path(spec.main_pid.path)))
    elif pid_file is not None and m.kind == "oneshot":
        m.given.lost("main_pid", "the unit is a oneshot")


def _readiness(m: UnitDraft, probe: Mapping[str, Any]) -> None:
    condition = condition_of(probe)
    if lost := sorted(condition.missing - {"notify"}):
        m.given.lost("ready", f"no command can ask it ({', '.join(lost)}): let the program send READY=1 (sd_notify)")
    if condition.script:
        script = f"until {fill(condition.script, m.values)}; do sleep {_PAUSE}; done"
        m.service("ExecStartPost", exec_line(_SHELL, ["-c", script]))
        tools = "".join(f" and {tool}" for tool in sorted(condition.tools))
        m.given.changed("ready", f"asked by a loop after the start; it needs bash{tools}, and any program may answer")


def command_line(m: UnitDraft, argv: Sequence[str], *, note: str = "") -> str:
    """Return a command line, the process id of the program in place of ``{pid}``."""
    program, *arguments = [fill(text, m.values) for text in argv]
    path = m.spec.env if m.spec.env is not None else m.spec.extra_env
    if "/" in program:
        program = m.path(program)
    elif "PATH" in path or program[0] in "@-:+!|":
        program, arguments = "/usr/bin/env", [program, *arguments]
    elif note:
        m.given.changed(note, f"systemd finds {program!r} in /usr/local/bin, /usr/bin and the like alone, not in a "
                      "virtual environment: write its absolute path")  # fmt: skip
    line = exec_line(program, arguments)
    return line if note else line.replace("{pid}", "${MAINPID}")
