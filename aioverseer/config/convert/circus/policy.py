"""Restart and stop of a watcher of circus."""

from __future__ import annotations

from typing import Any

from aioverseer.config.convert.circus.words import NO, YES
from aioverseer.config.convert.keys import Keys
from aioverseer.config.convert.signals import signal_name

__all__ = ["USUAL_RESTART", "USUAL_STOP", "read_restart", "read_stop"]

_NO_RETRIES = "a program that cannot be started gives up at once; restart.max_restarts counts the restarts"
USUAL_RESTART: dict[str, Any] = {
    "when": "always",
    "max_restarts": "none",
    "backoff": {"min": 1, "max": 1, "jitter": False},
}
"""Policy of a watcher that says nothing about it: circus respawns at its next check, for ever."""
USUAL_STOP: dict[str, Any] = {"timeout": 30, "scope": "leader"}
"""Ladder of a watcher that says nothing about it."""


def read_restart(keys: Keys, place: str) -> dict[str, Any]:
    """Return the arguments of the Restart policy that differ from the usual ones.

    Args:
        keys: Keys of the watcher.
        place: Path of the service in our file.
    """
    restart: dict[str, Any] = {}
    respawn = keys.boolean("respawn", yes=YES, no=NO)
    if respawn is False:
        restart["when"] = "never"
        keys.carried("respawn", f'{place}.restart.when = "never"')
    elif respawn is True:
        keys.carried("respawn", f'{place}.restart.when = "always"')
    if keys.whole("max_retry", least=-1) is not None:
        keys.lost("max_retry", _NO_RETRIES)
    if keys.take("check_flapping") is not None:
        keys.lost("check_flapping", "restart = { max_restarts = 5, within = 60 } is such a limit")
    return restart


def read_stop(keys: Keys, place: str) -> dict[str, Any]:
    """Return the arguments of the ladder that differ from the usual ones; see ``read_restart``."""
    stop: dict[str, Any] = {}
    word = keys.take("stop_signal")
    if word is not None:
        name = signal_name(word)
        if name is None:
            keys.refuse("stop_signal", "is no signal: write for example SIGTERM")
        else:
            stop["signal"] = name
            keys.carried("stop_signal", f"{place}.stop.signal")
    seconds = keys.seconds("graceful_timeout")
    if seconds is not None:
        stop["timeout"] = seconds
        keys.carried("graceful_timeout", f"{place}.stop.timeout")
    children = keys.boolean("stop_children", yes=YES, no=NO)
    if children is not None:
        stop["scope"] = "tree" if children else "leader"
        keys.carried("stop_children", f"{place}.stop.scope")
    return stop
