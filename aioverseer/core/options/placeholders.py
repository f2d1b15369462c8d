"""Placeholders: words in braces, such as ``{index}``, that each run of an instance replaces.

Only the words of this file are replaced. All other braces stay as they are, as in JSON, awk or Go templates.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aioverseer.core.errors import SpecError
from aioverseer.core.options.composition import AllOf, AnyOf, Probe, leaves
from aioverseer.core.options.probes import Command, File, Http, OutputLine, OutputPrompt, Tcp, Unix
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import RunCommand, StopStep

__all__ = [
    "NEEDS_PORT",
    "expand",
    "expand_command",
    "expand_ladder",
    "expand_probe",
    "texts_of_ladder",
    "texts_of_probe",
    "words_in",
]

_WORD = r"index|id|run|port|fd\.[^{}:]+"
_PLACEHOLDER = re.compile(rf"\{{\{{(?P<kept>{_WORD})\}}\}}|\{{(?P<word>{_WORD})\}}")
NEEDS_PORT = "port"
"""The word that needs a port of the pool."""
_PORTS = range(1, 1 << 16)


def words_in(text: str) -> frozenset[str]:
    """Return the words of a text that would be replaced: of ``{index}``, ``index``."""
    if "{" not in text:
        return frozenset()
    return frozenset(found["word"] for found in _PLACEHOLDER.finditer(text) if found["word"])


def expand(text: str, values: Mapping[str, object]) -> str:
    """Return a text with its placeholders replaced; ``{{id}}`` becomes ``{id}``.

    Args:
        text: Text of an option.
        values: Value of each word.

    Raises:
        SpecError: For a word without a value.
    """
    if "{" not in text:
        return text

    def value_of(found: re.Match[str]) -> str:
        word: str | None = found["word"]
        if word is None:
            return f"{{{found['kept']}}}"
        if word not in values:
            known = ", ".join(f"{{{known}}}" for known in values)
            raise SpecError(f"{{{word}}} in {text!r} has no value: there are {known}; for the text write two braces")
        return str(values[word])

    return _PLACEHOLDER.sub(value_of, text)


def expand_command(argv: tuple[str, ...], values: Mapping[str, object]) -> tuple[str, ...]:
    """Return the words of a command with their placeholders replaced. ``{pid}`` stays: it is known later.

    Args:
        argv: The words.
        values: Value of each placeholder.

    Raises:
        SpecError: For a placeholder without a value.
    """
    return tuple(expand(word, values) for word in argv)


def expand_ladder(ladder: Stop, values: Mapping[str, object]) -> Stop:
    """Return a ladder with the placeholders of its commands replaced; the same object if there are none.

    Args:
        ladder: Steps that stop a program.
        values: Value of each placeholder.

    Raises:
        SpecError: For a placeholder without a value.
    """
    if not any(map(_has_braces, texts_of_ladder(ladder))):
        return ladder

    def expanded(step: StopStep) -> StopStep:
        return RunCommand(expand_command(step.argv, values), step.timeout) if isinstance(step, RunCommand) else step

    return Stop(steps=map(expanded, ladder.steps), scope=ladder.scope)


def texts_of_ladder(ladder: Stop) -> Iterator[str]:
    """Yield the words of the commands of a ladder."""
    for step in ladder.steps:
        if isinstance(step, RunCommand):
            yield from step.argv


def texts_of_probe(probe: Probe | None) -> Iterator[str]:
    """Yield the texts of a probe in which placeholders are replaced."""
    for leaf in () if probe is None else leaves(probe):
        match leaf:
            case Tcp(host=host, port=port):
                yield from (host, str(port))
            case Unix(path=path) | File(path=path):
                yield path
            case Http(url=url):
                yield url
            case Command(argv=argv):
                yield from argv
            case OutputLine(pattern=pattern) | OutputPrompt(pattern=pattern):
                yield pattern.pattern
            case _:
                pass


def expand_probe(probe: Probe, values: Mapping[str, object]) -> Probe:
    """Return a probe with the placeholders of its texts replaced; the same object if there are none.

    Args:
        probe: Probe, or several that are combined.
        values: Value of each word.

    Raises:
        SpecError: For a word without a value, or a text that gives no port.
    """
    if not any(map(_has_braces, texts_of_probe(probe))):
        return probe
    return _expanded(probe, lambda text: expand(text, values), values)


def _has_braces(text: str) -> bool:
    return "{" in text


def _expanded(probe: Probe, filled: Callable[[str], str], values: Mapping[str, object]) -> Probe:
    match probe:
        case AllOf(probes=probes) | AnyOf(probes=probes):
            return dataclasses.replace(probe, probes=tuple(_expanded(part, filled, values) for part in probes))
        case Tcp(host=host, port=port):
            number = _as_port(filled(port), port) if isinstance(port, str) else port
            return dataclasses.replace(probe, host=filled(host), port=number)
        case Unix(path=path) | File(path=path):
            return dataclasses.replace(probe, path=filled(path))
        case Http(url=url):
            return dataclasses.replace(probe, url=filled(url))
        case Command(argv=argv):
            return dataclasses.replace(probe, argv=tuple(map(filled, argv)))
        case OutputLine(pattern=pattern) | OutputPrompt(pattern=pattern):
            # In a pattern a value stands for itself: the dot of an id is no wildcard.
            return dataclasses.replace(probe, pattern=_expanded_pattern(pattern, values))
        case _:
            return probe


def _expanded_pattern(pattern: re.Pattern[Any], values: Mapping[str, object]) -> re.Pattern[Any]:
    quoted = {word: re.escape(str(value)) for word, value in values.items()}
    return re.compile(expand(pattern.pattern, quoted), pattern.flags)


def _as_port(number: str, text: str) -> int:
    if not number.isascii() or not number.isdecimal() or int(number) not in _PORTS:
        why = f"ready.tcp({text!r}) gives {number!r}, which is no port, 1 to 65535"
        raise SpecError(why, option="ready", value=text)
    return int(number)
