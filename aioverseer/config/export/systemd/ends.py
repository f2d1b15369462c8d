"""Times, restarts and stops of a service."""

from __future__ import annotations

import signal as signals

from aioverseer import Restart, RunCommand, Spec, Step
from aioverseer.config.export.systemd.draft import UnitDraft
from aioverseer.config.export.systemd.program import command_line
from aioverseer.config.export.systemd.unit_text import seconds

__all__ = ["add_restarts", "add_stop", "add_times"]

_CLEAN = frozenset({signals.SIGHUP, signals.SIGINT, signals.SIGTERM, signals.SIGPIPE})
"""Deaths by these signals are a success already; see SuccessExitStatus= in systemd.service(5)."""


def add_times(m: UnitDraft) -> None:
    """Add limits of time, and the watchdog."""
    limit, start = m.given.take("max_runtime"), m.spec.ready_timeout
    is_set = m.given.take("ready_timeout") is not None or start is None
    if m.kind == "oneshot":
        m.service("TimeoutStartSec", seconds(limit))
    elif is_set or m.spec.ready is not None:
        m.service("TimeoutStartSec", seconds(start))
    if m.kind != "oneshot" and limit is not None:
        m.service("RuntimeMaxSec", seconds(limit))
    alive = m.spec.alive
    m.given.take("alive")
    if alive is None:
        return
    if "notify" not in m.spec.to_dict()["alive"]["probe"] or m.kind == "oneshot":
        m.given.lost("alive", "systemd asks no program: let it send WATCHDOG=1 (sd_notify), and set WatchdogSec=")
        return
    m.service("WatchdogSec", seconds(alive.every))
    if alive.action == "mark":
        m.given.changed("alive", "a program that is late is ended, not only marked")
    if alive.stop is not None and isinstance(alive.stop.steps[0], Step):
        m.service("WatchdogSignal", _signal_name(alive.stop.steps[0].signal))


def add_restarts(m: UnitDraft) -> None:
    """Add which ends are a success, and which of them are followed by a restart."""
    restart = m.spec.restart
    m.given.take("restart")
    when = "no" if restart.max_restarts == 0 else {"never": "no"}.get(restart.when, restart.when)
    if m.kind == "oneshot" and when == "always":
        m.given.changed("restart", "a oneshot cannot restart after a success: on-failure")
        when = "on-failure"
    m.service("Restart", when)
    if when != "no" or restart.force_codes:
        m.service("RestartSec", seconds(restart.backoff.min))
        _note_backoff(m, restart)
    stop = _first_signal(m.spec)
    codes = {str(code) for code in restart.success_codes if code} | {
        _signal_name(number) for number in restart.success_signals
    }
    # The stop of a task in the middle is no success: the services that wait for its success would start.
    if not (m.kind == "oneshot" and m.spec.schedule is None):
        codes.add(str(128 + stop))
        if stop not in _CLEAN or m.kind == "oneshot":
            codes.add(_signal_name(stop))
    if codes:
        m.service("SuccessExitStatus", " ".join(sorted(codes)))
    if 0 not in restart.success_codes:
        m.given.lost("restart", "exit code 0 is always a success")
    for setting, numbers in (
        ("RestartPreventExitStatus", restart.prevent_codes),
        ("RestartForceExitStatus", restart.force_codes),
    ):
        if numbers:
            m.service(setting, " ".join(map(str, sorted(numbers))))


def _note_backoff(m: UnitDraft, restart: Restart) -> None:
    if restart != Restart(restart.when, max_restarts=restart.max_restarts, within=restart.within):
        steps = "RestartSteps= and RestartMaxDelaySec= (systemd 254)"
        m.given.changed("restart", f"the delay does not grow: add {steps} for a longest one of "
                      f"{seconds(restart.backoff.max)} s; nothing resets it earlier")  # fmt: skip


def add_stop(m: UnitDraft) -> None:
    """Add the way in which the program is stopped."""
    stop = m.spec.stop
    m.given.take("stop")
    asked, last = stop.steps[:-1], stop.steps[-1]
    commands = [step for step in asked if isinstance(step, RunCommand)]
    sent = [step for step in asked if isinstance(step, Step)]
    for command in commands:
        m.service("ExecStop", command_line(m, command.argv))
    m.service("KillSignal", _signal_name(_first_signal(m.spec)))
    m.service("TimeoutStopSec", seconds(max([step.timeout for step in asked] or [last.timeout])))
    if len(asked) > len(commands) + min(1, len(sent)):
        m.given.changed("stop", "one signal and SIGKILL are left of the ladder")
    if commands and sent and asked.index(commands[0]) > asked.index(sent[0]):
        m.given.changed("stop", "ExecStop= comes before the signal")
    leftovers = m.given.take("leftovers")
    if leftovers is not None:
        m.service("KillMode", "process")
        if leftovers == "report":
            m.given.changed("leftovers", "what a program leaves behind is kept, without a report")
    elif stop.scope == "leader":
        m.service("KillMode", "mixed")


def _first_signal(spec: Spec) -> int:
    """Return the signal that asks the program to end: SIGKILL for a ladder that has no other step."""
    asked = spec.stop.steps[:-1]
    usual = signals.SIGTERM if asked else signals.SIGKILL
    return int(next((step.signal for step in asked if isinstance(step, Step)), usual))


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signals.SIGRTMIN}"
