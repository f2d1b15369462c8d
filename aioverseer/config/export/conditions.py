"""Readiness as a condition of a shell, for targets that ask by a command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Condition", "condition_of", "leaves_of"]

_SECONDS = 5
"""Limit of one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A probe as a command.

    Attributes:
        script: A command for bash that succeeds when the probe does; empty if no part can be asked so.
        tools: Programs that it needs.
        missing: Kinds of probes that are no part of it.
    """

    script: str = ""
    tools: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


def condition_of(probe: Mapping[str, Any]) -> Condition:
    """Return a probe, in the form of ``Spec.to_dict``, as a condition."""
    match probe:
        case {"all": parts}:
            found = [condition_of(part) for part in parts]
            return _joined([each for each in found if each.script], found, " && ")
        case {"any": parts}:
            found = [condition_of(part) for part in parts]
            # Without one of its ways the condition could wait for ever.
            usable = all(each.script and not each.missing for each in found)
            return _joined(found if usable else [], found, " || ")
        case {"tcp": port}:
            host = probe.get("host", "127.0.0.1")
            return Condition(script=f"(: </dev/tcp/{shlex.quote(f'{host}/{port}')}) 2>/dev/null")
        case {"unix": path}:
            return Condition(script=f"test -S {shlex.quote(path)}")
        case {"file": path}:
            return Condition(script=f"test -e {shlex.quote(path)}")
        case {"http": url}:
            return _http(url, probe.get("status"), has_body="body" in probe)
        case {"command": words}:
            return Condition(script=shlex.join(words), tools=frozenset(words[:1]))
        case _:
            return Condition(missing=frozenset({_kind_of(probe)}))


def leaves_of(probe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the simple probes in a probe."""
    for name in ("all", "any"):
        if name in probe:
            return [leaf for part in probe[name] for leaf in leaves_of(part)]
    return [probe]


def _joined(used: list[Condition], found: list[Condition], operator: str) -> Condition:
    scripts = [f"{{ {each.script}; }}" if len(used) > 1 else each.script for each in used]
    return Condition(
        script=operator.join(scripts),
        tools=_union(used, lambda each: each.tools),
        missing=_union(found if used else [], lambda each: each.missing)
        or frozenset(() if used else (kind for each in found for kind in each.missing or {"any"})),
    )


def _union(found: list[Condition], of: Callable[[Condition], frozenset[str]]) -> frozenset[str]:
    return frozenset(item for each in found for item in of(each))


def _http(url: str, status: list[int] | None, *, has_body: bool) -> Condition:
    quoted = shlex.quote(url)
    if status is None:
        script = f"curl -fsS -m {_SECONDS} -o /dev/null {quoted}"
    else:
        wanted = "|".join(map(str, status))
        code = f"curl -sS -m {_SECONDS} -o /dev/null -w '%{{http_code}}' {quoted}"
        script = f"case $({code}) in {wanted}) ;; *) false ;; esac"
    missing = frozenset({"http.body"}) if has_body else frozenset[str]()
    return Condition(script=script, tools=frozenset({"curl"}), missing=missing)


def _kind_of(probe: Mapping[str, Any]) -> str:
    return next((name for name in probe if re.fullmatch(r"[a-z]+", name)), "probe")
