"""The end of a run as variables for a command, as systemd gives them to ``ExecStopPost``."""

from __future__ import annotations

import signal

from aioverseer.core.options.restart import Restart, is_success
from aioverseer.core.report.status import NotReadyInTime, Status
from aioverseer.core.state import signal_name

__all__ = ["end_variables"]

_CLEAN = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE})
"""Signals by which a program that is stopped ends in good order, as systemd sees it."""


def end_variables(status: Status, policy: Restart, *, requested: bool) -> dict[str, str]:
    """Return the variables ``SERVICE_RESULT``, ``EXIT_CODE`` and ``EXIT_STATUS``.

    The last two are missing if no program was started.

    Args:
        status: Final Status of the run.
        policy: Policy that says which ends are a success.
        requested: Whether somebody has asked for the end.
    """
    variables = {"SERVICE_RESULT": _result(status, policy, requested=requested)}
    if status.signal is not None:
        name = signal_name(status.signal).removeprefix("SIG").removeprefix("signal ")
        return {**variables, "EXIT_CODE": "killed", "EXIT_STATUS": name}
    if status.exit_code is not None:
        return {**variables, "EXIT_CODE": "exited", "EXIT_STATUS": str(status.exit_code)}
    return variables


def _result(status: Status, policy: Restart, *, requested: bool) -> str:
    exit = status.exit
    if isinstance(status.error, NotReadyInTime):
        return "timeout"
    if exit is None:
        return "success" if status.error is None else "resources"
    if status.error is not None:
        return "watchdog"
    if exit.cause == "out of memory":
        return "oom-kill"
    if is_success(policy, exit) or (requested and exit.signal in _CLEAN):
        return "success"
    return "exit-code" if exit.signal is None else "signal"
