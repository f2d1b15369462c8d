"""Hints for refused values: what to write for a value that has a clear meaning in another form.

Each function returns the end of an error message, such as ``write ready=ready.tcp(6379)``, or None without an idea.
"""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from aioverseer.core.options.numbers import is_number, seconds_in, whole_in
from aioverseer.core.options.stop_steps import AskingStep
from aioverseer.core.typing import PathLike

__all__ = ["hint_for", "probe_for", "signal_hint", "with_hint"]

_ALWAYS = frozenset({"true", "yes", "on", "always", "unlessstopped", "permanent"})
_NEVER = frozenset({"false", "no", "off", "never", "none", "temporary"})
_ON_FAILURE = frozenset({"onfailure", "failure", "unexpected", "onerror", "transient"})
_UNTIL = {
    "healthy": "ready",
    "servicehealthy": "ready",
    "running": "started",
    "start": "started",
    "servicestarted": "started",
    "completed": "finished",
    "done": "finished",
    "exited": "finished",
    "servicecompletedsuccessfully": "success",
    "completedsuccessfully": "success",
    "succeeded": "success",
}


def signal_hint(value: object) -> str | None:
    """Return how to write a signal that was given as a text."""
    name = _signal_named(value)
    return None if name is None else f"write signal.{name}"


def hint_for(option: str, value: object) -> str | None:
    """Return how to write the value of an option of a Spec that was refused.

    Args:
        option: Name of the option.
        value: Value that was refused.
    """
    hint = _HINTS.get(option)
    found = None if hint is None else hint(value)
    if found is not None or value is not None or not option.isidentifier():
        return found
    return f"leave {option} out for its default"


def with_hint(why: str, hint: str | None) -> str:
    """Return the end of a message with a hint, which replaces a general example.

    Args:
        why: Reason, and what to pass.
        hint: Hint for the value; None without one.
    """
    if hint is None:
        return why
    return f"{why.partition(': ')[0]}: {hint}" if "for example" in why else f"{why}; {hint}"


def _signal_named(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    text = value.strip().upper()
    if text.isdecimal() and int(text) in set(signals.Signals):
        return signals.Signals(int(text)).name
    name = text if text.startswith("SIG") else f"SIG{text}"
    return name if name in signals.Signals.__members__ else None


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def _restart(value: object) -> str | None:
    if isinstance(value, type):
        return "write restart=Restart()"
    if value is None:
        return "write restart=Restart('never'), or leave restart out for its default"
    if isinstance(value, bool | str):
        when = _plain(str(value))
        for meaning, words in (("always", _ALWAYS), ("never", _NEVER), ("on-failure", _ON_FAILURE)):
            if when in words:
                return f"write restart=Restart({meaning!r})"
        return None
    if isinstance(value, int) and value >= 0:
        return f"write restart=Restart(max_restarts={value})"
    return f"write restart=Restart(backoff={value!r})" if type(value).__name__ == "Backoff" else None


def _reload(value: object) -> str | None:
    if isinstance(value, str):
        name = _signal_named(value)
        return f"write reload={value.split()!r}" if name is None else f"write reload=signal.{name}"
    return "write reload='notify', a signal, or a list of words" if isinstance(value, bool) else None


def _when(value: object) -> str | None:
    hint = _restart(value)
    return None if hint is None or value is None else hint.replace("restart=", "", 1)


def _stop(value: object) -> str | None:
    if isinstance(value, type):
        return "write stop=Stop()"
    if isinstance(value, AskingStep):
        return "write stop=Stop(steps=[...]), with this step in the list"
    if (name := _signal_named(value)) is not None:
        return f"write stop=Stop(signal.{name})"
    if isinstance(value, signals.Signals):
        return f"write stop=Stop(signal.{value.name})"
    if is_number(value) or seconds_in(value) is not None:
        return f"write stop=Stop(timeout={seconds_in(value) or value})"
    if isinstance(value, tuple) and value and isinstance(value[0], int):
        return "write stop=Stop(signal.SIGINT, timeout=5)"
    return "write stop=Stop(steps=[(signal.SIGINT, 5), (signal.SIGTERM, 5)])" if isinstance(value, list) else None


def probe_for(value: object) -> str | None:
    """Return the probe that a value stands for: a port, a URL, an address, a path, a pattern."""
    match value:
        case bool() | None:
            return None
        case int():
            return f"ready.tcp({value})"
        case re.Pattern():
            return f"ready.line({value!r})"
        case str():
            return _probe_in(value)
        case list() | tuple():
            return "ready.tcp(1) & ready.tcp(2) for both, or ready.tcp(1) | ready.tcp(2) for one of them"
        case PathLike():
            return f"ready.file({value.__fspath__()!r}), or ready.unix() for a socket"
        case _ if getattr(value, "__module__", "") == "aioverseer.ready":
            return f"ready.{getattr(value, '__name__', '...')}(...), with its arguments"
        case _:
            return None


def _probe_in(text: str) -> str | None:
    if text.startswith(("http://", "https://")):
        return f"ready.http({text!r})"
    if text.strip().isdecimal():
        return f"ready.tcp({text.strip()})"
    if found := re.fullmatch(r"(?:tcp://)?([\w.-]*):(\d{1,5})", text):
        return f"ready.tcp({found[2]}, host={found[1]!r})" if found[1] else f"ready.tcp({found[2]})"
    if text.startswith(("unix:", "/")) or text.endswith(".sock"):
        path = text.removeprefix("unix:").replace("//", "/")
        return f"ready.unix({path!r}) for a socket, or ready.file({path!r})"
    if _plain(text) in {"notify", "sdnotify"}:
        return "ready.notify()"
    return f"ready.line({text!r})" if text else None


def _ready(value: object) -> str | None:
    if type(value).__name__ == "Alive":
        return "write alive= for liveness, and ready= with its probe"
    probe = probe_for(value)
    return None if probe is None else f"write ready={probe}"


def _alive(value: object) -> str | None:
    if any(base.__name__ == "Probe" for base in type(value).__mro__):
        return f"write alive=Alive(...) around the probe of {value}"
    probe = probe_for(value)
    return None if probe is None else f"write alive=Alive({probe})"


def _until(value: object) -> str | None:
    if isinstance(value, Mapping):
        value = cast("Mapping[str, object]", value).get("condition")
    if isinstance(value, bool):
        return "ready" if value else None
    return _UNTIL.get(_plain(value)) if isinstance(value, str) else None


def _after(value: object) -> str | None:
    if value is None:
        return "leave after out, or pass [] for none"
    name = getattr(value, "id", None)
    if isinstance(name, str):
        return f"write after={name!r}, the name of the service"
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        known = {name: _until(condition) or condition for name, condition in pairs}
        return f"write after={known!r}" if known != value else None
    if isinstance(value, bytes):
        return f"write after={value.decode(errors='replace')!r}"
    if isinstance(value, str) or not isinstance(value, Iterable):
        return None
    items = list(cast("Iterable[object]", value))
    names = [getattr(item, "id", item) for item in items]
    if items and all(isinstance(name, str) for name in names):
        return f"write after={names!r}"
    tuples = [tuple(cast("Iterable[Any]", item)) for item in items if isinstance(item, tuple)]
    if items and len(tuples) == len(items) and all(len(one) == 2 for one in tuples):  # noqa: PLR2004  # pairs
        return f"write after={dict(tuples)!r}"
    return None


def _input(value: object) -> str | None:
    match value:
        case "PIPE" | "Pipe" | -1:
            return 'write stdin="pipe"'
        case "INHERIT" | "Inherit" | "inherited":
            return 'write stdin="inherit"'
        case "null" | "NULL" | "devnull" | "DEVNULL" | "none" | "None" | "/dev/null" | -3 | False:
            return "leave stdin out, or pass None, for the null device"
        case _:
            return None


def _output(value: object) -> str | None:
    match value:
        case -1 | "pipe" | "PIPE" | True:
            return "write 'read'"
        case -3 | False | "devnull" | "DEVNULL" | "/dev/null":
            return "write 'null'"
        case -2:
            return "write merge_stderr=True"
        case None:
            return "write 'inherit' for the streams of the host, or 'null'"
        case str() | PathLike():
            path = value if isinstance(value, str) else value.__fspath__()
            return f"write log=LogFile({path!r}) for a file" if "." in path or "/" in path else None
        case _:
            return None


def _umask(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    digits = value.strip().lower().removeprefix("0o")
    return f"write umask=0o{digits:0>3}" if re.fullmatch("[0-7]+", digits) else None


def _number(option: str) -> Callable[[object], str | None]:
    def hint(value: object) -> str | None:
        found = whole_in(value)
        return None if found is None else f"write {option}={found}"

    return hint


def _limit_name(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return f"write {_plain(value).removeprefix('rlimit').removeprefix('limit')!r}"


def _processors(value: object) -> str | None:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", value) if isinstance(value, str) else None
    return f"write cpu_max={float(found[1]) / (100 if found[2] else 1):g}" if found else None


def _window(value: object) -> str | None:
    found = re.fullmatch(r"\s*(\d+)\s*[x,]\s*(\d+)\s*", value) if isinstance(value, str) else None
    return f"write window_size=({found[1]}, {found[2]})" if found else None


def _log(value: object) -> str | None:
    if isinstance(value, str | PathLike):
        path = value if isinstance(value, str) else value.__fspath__()
        return f"write log=LogFile({path!r})"
    if hasattr(value, "getEffectiveLevel"):
        return f"write log=LogBridge({cast('Any', value).name!r})"
    if value is True or hasattr(value, "fileno"):
        return "write log=LogFile('web.log'), or log=LogBridge() for logging"
    return "write log=[] for none" if value is False else None


def _level(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    word = _plain(value)
    if word in {"cgroup", "cgroups", "full", "max", "high"}:
        return "write 'strict'"
    return "write 'basic'" if word in {"none", "off", "no", "low"} else None


def _group(value: object) -> str | None:
    name = getattr(value, "name", None)
    if isinstance(name, str):
        return f"write group={name!r}"
    return "write group='' for none" if value is None else None


_HINTS: dict[str, Callable[[Any], str | None]] = {
    "after": _after,
    "alive": _alive,
    "containment": _level,
    "cpu_max": _processors,
    "group": _group,
    "log": _log,
    "nice": _number("nice"),
    "output": _output,
    "ready": _ready,
    "reload": _reload,
    "restart": _restart,
    "restart.when": _when,
    "rlimits": _limit_name,
    "stderr": _output,
    "stdin": _input,
    "stdout": _output,
    "stop": _stop,
    "umask": _umask,
    "window_size": _window,
}
