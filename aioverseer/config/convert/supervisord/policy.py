"""Restart and stop of a program of supervisord."""

from __future__ import annotations

from signal import Signals
from typing import Any

from aioverseer.config.convert.keys import Keys
from aioverseer.config.convert.signals import signal_name
from aioverseer.config.convert.supervisord.words import NO, YES

__all__ = ["USUAL_RESTART", "USUAL_STOP", "read_restart", "read_stop"]

_LONGEST = 60
"""Seconds of the longest delay. That of supervisord grows by a second with each retry, without a limit."""
_STARTSECS = 1
_STARTRETRIES = 3
_EXIT_CODES = range(256)


def _budget(seconds: float, retries: int) -> dict[str, Any]:
    """Return a budget that a program which never starts has spent after this number of retries."""
    if retries == 0:
        return {"max_restarts": 0, "reset_after": seconds}
    longest = min(retries, _LONGEST)
    delays = sum(min(2**attempt, longest) for attempt in range(min(retries, 6))) + longest * max(0, retries - 6)
    return {
        "max_restarts": retries,
        "within": delays + retries * seconds,
        "backoff": {"min": 1, "max": longest, "jitter": False},
        "reset_after": seconds,
    }


USUAL_RESTART = _budget(_STARTSECS, _STARTRETRIES)
"""Budget of a program that says nothing about it."""
USUAL_STOP: dict[str, Any] = {"scope": "leader"}
"""Ladder of a program that says nothing about it: supervisord signals the program alone."""


def read_restart(keys: Keys, place: str) -> dict[str, Any]:
    """Return the arguments of the Restart policy that differ from those of a program without keys for it.

    Args:
        keys: Keys of the program.
        place: Path of the service in our file.
    """
    restart: dict[str, Any] = {}
    word = keys.take("autorestart")
    if word is not None:
        restart |= _when(keys, word.strip().lower(), f"{place}.restart.when")
    codes = keys.take("exitcodes")
    if codes is not None:
        restart |= _codes(keys, codes, f"{place}.restart.success_codes")
    has_seconds, has_retries = keys.value("startsecs") is not None, keys.value("startretries") is not None
    seconds, retries = keys.seconds("startsecs"), keys.whole("startretries")
    if seconds is not None or retries is not None:
        budget = _budget(_STARTSECS if seconds is None else seconds, _STARTRETRIES if retries is None else retries)
        restart |= budget
        if has_seconds:
            text = "the service counts as started at once; ready = says better when it is"
            keys.changed("startsecs", f"{place}.restart.reset_after; {text}")
        if has_retries:
            keys.changed("startretries", f"{place}.restart.max_restarts: {_counted(budget)}")
    return restart


def _counted(budget: dict[str, Any]) -> str:
    if not budget["max_restarts"]:
        return "an end after the start counts as well"
    return f"it counts the restarts of {budget['within']:g} s, those after a good start among them"


def _when(keys: Keys, word: str, place: str) -> dict[str, Any]:
    if word in YES:
        keys.carried("autorestart", f'{place} = "always"')
        return {"when": "always"}
    if word in NO:
        keys.changed("autorestart", f'{place} = "never", also for a program that ends before startsecs')
        return {"when": "never"}
    if word == "unexpected":
        keys.carried("autorestart", f'{place} = "on-failure"')
        return {"when": "on-failure"}
    keys.refuse("autorestart", "is none of true, false and unexpected")
    return {}


def _codes(keys: Keys, text: str, place: str) -> dict[str, Any]:
    words = [each.strip() for each in text.split(",") if each.strip()]
    if not all(each.isdecimal() and int(each) in _EXIT_CODES for each in words):
        keys.refuse("exitcodes", "is no list of exit codes: write for example 0,2")
        return {}
    keys.carried("exitcodes", place)
    return {"success_codes": sorted({int(each) for each in words})}


def read_stop(keys: Keys, place: str) -> dict[str, Any]:
    """Return the arguments of the ladder that differ from those of a program without keys for it.

    Args:
        keys: Keys of the program.
        place: Path of the service in our file.
    """
    stop: dict[str, Any] = {}
    word = keys.take("stopsignal")
    if word is not None:
        name = signal_name(word)
        if name is None:
            keys.refuse("stopsignal", f"is no signal: write for example {Signals.SIGTERM.name[3:]}")
        else:
            stop["signal"] = name
            keys.carried("stopsignal", f"{place}.stop.signal")
    seconds = keys.seconds("stopwaitsecs")
    if seconds is not None:
        stop["timeout"] = seconds
        keys.carried("stopwaitsecs", f"{place}.stop.timeout")
    whole = keys.boolean("stopasgroup", yes=YES, no=NO)
    if whole is not None:
        stop["scope"] = "tree" if whole else "leader"
        keys.carried("stopasgroup", f"{place}.stop.scope")
    killed = keys.boolean("killasgroup", yes=YES, no=NO)
    if killed is True:
        keys.carried("killasgroup", "SIGKILL goes to everything that the program has started")
    elif killed is False:
        keys.changed("killasgroup", 'SIGKILL goes to everything that the program has started; see leftovers = "keep"')
    return stop
