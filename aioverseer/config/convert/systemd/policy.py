"""Restart, readiness and stop of a unit."""

from __future__ import annotations

from typing import Any

from aioverseer.config.convert.signals import signal_name
from aioverseer.config.convert.systemd.directives import Directives

__all__ = ["CLEAN_SIGNALS", "STOP_SECONDS", "USUAL_RESTART", "read_restart", "read_watchdog"]

CLEAN_SIGNALS = ["SIGHUP", "SIGINT", "SIGPIPE", "SIGTERM"]
"""Signals by which a program that is no one-shot may end as a success."""
STOP_SECONDS = 90
"""``DefaultTimeoutStopSec=``, and that of a start."""
_LIMIT = (5, 10)
"""``DefaultStartLimitBurst=`` and ``DefaultStartLimitIntervalSec=``."""
USUAL_RESTART: dict[str, Any] = {
    "when": "never",
    "max_restarts": _LIMIT[0] - 1,
    "within": _LIMIT[1],
    "backoff": {"min": 0.1, "max": 0.1, "jitter": False},
    "success_signals": CLEAN_SIGNALS,
}
"""Policy of a unit that says nothing about it."""
_NAMES = {
    "SUCCESS": 0,
    "FAILURE": 1,
    "INVALIDARGUMENT": 2,
    "NOTIMPLEMENTED": 3,
    "NOPERMISSION": 4,
    "NOTINSTALLED": 5,
    "NOTCONFIGURED": 6,
    "NOTRUNNING": 7,
    **dict(
        zip(
            "USAGE DATAERR NOINPUT NOUSER NOHOST UNAVAILABLE SOFTWARE OSERR OSFILE CANTCREAT IOERR TEMPFAIL PROTOCOL "
            "NOPERM CONFIG".split(),
            range(64, 79),
            strict=True,
        )
    ),
}
"""Exit codes by the names that systemd has for them."""
_WORDS: dict[str, tuple[dict[str, Any], str]] = {
    "no": ({"when": "never"}, ""),
    "always": ({"when": "always"}, ""),
    "on-failure": ({"when": "on-failure"}, ""),
    "on-abnormal": ({"when": "on-abnormal"}, ""),
    "on-success": ({"when": "never", "force_codes": [0]}, "an end by a signal is not followed by a restart"),
    "on-abort": ({"when": "on-abnormal"}, "also after a time that ran out"),
    "on-watchdog": ({"when": "on-abnormal"}, "also after a signal that nobody has sent on purpose"),
}


def read_restart(keys: Directives, unit: Directives, place: str, *, oneshot: bool) -> dict[str, Any]:
    """Return the arguments of the Restart policy that differ from the usual ones.

    Args:
        keys: Keys of the section Service.
        unit: Keys of the section Unit, which may have the limit of starts.
        place: Path of the service in our file.
        oneshot: Whether the unit is a one-shot, for which no signal is a success.
    """
    restart: dict[str, Any] = {}
    word = keys.take("Restart")
    if word is not None:
        if word not in _WORDS:
            keys.refuse("Restart", f"is unknown: there are {', '.join(_WORDS)}")
        else:
            given, but = _WORDS[word]
            restart |= given
            text = f'{place}.restart.when = "{given["when"]}"'
            if but:
                keys.changed("Restart", f"{text}: {but}")
            else:
                keys.carried("Restart", text)
    if backoff := _backoff(keys, place):
        restart["backoff"] = backoff
    restart |= _limit(keys, unit, place)
    signals = set[str]() if oneshot else set(CLEAN_SIGNALS)
    codes, more = _ends(keys, "SuccessExitStatus", f"{place}.restart.success_codes and success_signals")
    if codes:
        restart["success_codes"] = sorted({0, *codes})
    if more or oneshot:
        restart["success_signals"] = sorted(signals | more)
    for key, option in (("RestartPreventExitStatus", "prevent_codes"), ("RestartForceExitStatus", "force_codes")):
        codes, _ = _ends(keys, key, f"{place}.restart.{option}", codes_only=True)
        if codes:
            restart[option] = sorted({*codes, *restart.get(option, [])})
    return restart


def _backoff(keys: Directives, place: str) -> dict[str, Any]:
    had = {key: keys.value(key) is not None for key in ("RestartSec", "RestartSteps", "RestartMaxDelaySec")}
    seconds = keys.span("RestartSec")
    steps, longest = keys.whole("RestartSteps"), keys.span("RestartMaxDelaySec")
    if not any(had.values()):
        return {}
    first = 0.1 if seconds is None else min(seconds, 31_557_600)
    if steps and longest and longest > first > 0:
        for key in ("RestartSec", "RestartSteps", "RestartMaxDelaySec"):
            if had[key]:
                keys.carried(key, f"{place}.restart.backoff")
        factor = round((longest / first) ** (1 / steps), 6)
        return {"min": first, "max": longest, "factor": factor, "jitter": False}
    if had["RestartSec"]:
        keys.carried("RestartSec", f"{place}.restart.backoff")
    for key in ("RestartSteps", "RestartMaxDelaySec"):
        if had[key]:
            keys.carried(key, "nothing, as the delay does not grow without both")
    return {"min": first, "max": first, "jitter": False}


def _limit(keys: Directives, unit: Directives, place: str) -> dict[str, Any]:
    """Return the limit of restarts. Both sections may have it, under an old name as well."""
    found: dict[str, Any] = {}
    burst, interval = None, None
    for each in (keys, unit):
        if each.value("StartLimitBurst") is not None:
            burst = each.whole("StartLimitBurst")
            each.changed("StartLimitBurst", f"{place}.restart.max_restarts: it counts restarts, not starts")
        for key in ("StartLimitInterval", "StartLimitIntervalSec"):
            if each.value(key) is not None:
                interval = each.span(key)
                each.carried(key, f"{place}.restart.within")
    if burst is not None or interval is not None:
        most = _LIMIT[0] if burst is None else burst
        seconds = _LIMIT[1] if interval is None else interval
        if most == 0 or seconds == 0:
            return {"max_restarts": "none"}
        found = {"max_restarts": most - 1, "within": "none" if seconds == float("inf") else seconds}
    return found


def _ends(keys: Directives, key: str, place: str, *, codes_only: bool = False) -> tuple[set[int], set[str]]:
    """Return exit codes and signals of a key such as ``SuccessExitStatus=``."""
    codes: set[int] = set()
    signals: set[str] = set()
    values = keys.take_all(key)
    for word in " ".join(values).split():
        name = signal_name(word) if not word.isdecimal() else None
        if word.isdecimal() and int(word) in range(256):
            codes.add(int(word))
        elif word.upper() in _NAMES:
            codes.add(_NAMES[word.upper()])
        elif name is not None:
            signals.add(name)
        else:
            keys.refuse(key, "holds a word that is no exit code and no signal")
            return codes, signals
    if values:
        if codes_only and signals:
            keys.changed(key, f"{place}: exit codes alone, and no signals")
        else:
            keys.carried(key, place)
    return codes, signals


def read_watchdog(keys: Directives, place: str) -> dict[str, Any]:
    """Return the option ``alive`` of a unit that has a watchdog; an empty dict without one.

    Args:
        keys: Keys of the section Service.
        place: Path of the service in our file.
    """
    seconds = keys.span("WatchdogSec")
    word, abort = keys.take("WatchdogSignal"), keys.span("TimeoutAbortSec")
    name = "SIGABRT" if word is None else signal_name(word)
    if name is None:
        keys.refuse("WatchdogSignal", "is no signal: write for example SIGABRT")
    on = seconds is not None and 0 < seconds < float("inf")
    if seconds is not None:
        keys.carried("WatchdogSec", f"{place}.alive.every" if on else "off, as without alive")
    if word is not None and name is not None:
        keys.carried("WatchdogSignal", f"{place}.alive.stop.signal" if on else "nothing, as there is no watchdog")
    if abort is not None:
        keys.carried("TimeoutAbortSec", f"{place}.alive.stop.timeout" if on else "nothing, as there is no watchdog")
    if not on:
        return {}
    timeout = STOP_SECONDS if abort is None or abort == float("inf") else abort
    probe = {"notify": True}
    return {"alive": {"probe": probe, "every": seconds, "failures": 1, "stop": {"signal": name, "timeout": timeout}}}
