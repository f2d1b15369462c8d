"""Checks of the command of a Spec: its arguments, environment and input, and the steps of a stop that use the input."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.options.checker import Checker
from aioverseer.core.options.input import unfit_input, unfit_upstream, upstream_of
from aioverseer.core.options.meant import hint_for
from aioverseer.core.options.numbers import expands
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import CloseStdin, WriteStdin
from aioverseer.core.typing import HasDescriptor, PathLike

__all__ = [
    "check_argv",
    "check_command",
    "check_environment",
    "check_fed",
    "check_ladder",
    "check_ladder_of_alive",
    "check_stdin",
]

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def check_argv(check: Checker, argv: object) -> tuple[str, ...]:
    """Return the program and its arguments as a tuple of texts."""
    if isinstance(argv, str | bytes):
        raise check.refuse("argv", argv, "is one text: pass the program and each argument on its own")
    # Check the common types first: isinstance() with a protocol is about ten times as slow.
    if not isinstance(argv, tuple | list) and not isinstance(argv, Iterable):
        raise check.refuse("argv", argv, "is no list: pass the program and each argument on its own")
    items = tuple(cast("Iterable[object]", argv))
    if not items or items[0] == "":
        raise check.refuse("argv", list(items), "is empty: name the program to run")
    first = items[0]
    if type(first) is str and "/" not in first and len(first.split()) > 1:
        raise check.refuse("argv", list(items), f"is one text, and arguments are separate: {_separated(first)}")
    if type(first) is str and not first[0].isalnum() and (why := expands(first)) is not None:
        raise check.refuse("argv", list(items), why)
    if type(first) is str and "=" in first and (found := _ASSIGNMENT.fullmatch(first)):
        variable = {found[1]: found[2]}
        raise check.refuse(
            "argv", list(items), f"sets a variable, which only a shell does: pass extra_env={variable!r}"
        )
    if all(type(item) is str and "\0" not in item for item in items):
        return cast("tuple[str, ...]", items)
    return tuple(_argument(check, f"argv[{place}]", item) for place, item in enumerate(items))


def check_command(check: Checker, option: str, value: Iterable[object]) -> tuple[str, ...]:
    """Return the words of a command on behalf of the program."""
    items = tuple(value)
    if not items or items[0] == "":
        raise check.refuse(option, list(items), "is empty: name the program to run")
    words = tuple(_argument(check, f"{option}[{place}]", item) for place, item in enumerate(items))
    if (why := expands(words[0])) is not None:
        raise check.refuse(option, list(words), why)
    return words


def _argument(check: Checker, name: str, item: object) -> str:
    text = item.__fspath__() if isinstance(item, PathLike) else item
    if not isinstance(text, str):
        why = f"is of type {type(item).__name__}: every argument is a str or a path{_as_text(item)}"
        raise check.refuse(name, item, why)
    if "\0" in text:
        raise check.refuse(name, item, "holds a NUL, which no argument can")
    return text


def check_environment(check: Checker, option: str, value: object) -> Mapping[str, str]:
    """Return the variables as a mapping that cannot be changed. No value of one is part of a message."""
    if not isinstance(value, Mapping):
        raise check.refuse(option, type(value).__name__, f"is no mapping: {_as_variables(option, value)}")
    items = cast("Mapping[object, object]", value)
    for name, text in items.items():
        # A value is never part of a message, as it may be a secret, even if it was written into the name.
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            shown = f"{name.partition('=')[0]}=..." if isinstance(name, str) and "=" in name else name
            raise check.refuse(option, shown, "is no name of a variable")
        if not isinstance(text, str) or "\0" in text:
            what = "holds a NUL" if isinstance(text, str) else f"is of type {type(text).__name__}"
            raise SpecError(
                f"{check.owner}: {option}[{name!r}] {what}: every value is a str without NUL{_as_value(text)}",
                option=option,
            )
        if "$" in text and re.search(rf"\$({re.escape(name)}(?!\w)|\{{{re.escape(name)}\}})", text):
            raise SpecError(
                f"{check.owner}: {option}[{name!r}] holds ${name}, which only a shell expands: write its "
                f"value with os.environ[{name!r}]",
                option=option,
            )
    return MappingProxyType(dict(cast("Mapping[str, str]", value)))


def check_stdin(check: Checker, value: Any) -> object:
    """Return the input, or the first program of a pipeline. It may be a secret, so it is never part of a message."""
    # The input of a program may be a secret, so it is never part of a message.
    hint = hint_for("stdin", value)
    if hint is not None and isinstance(value, str):
        raise SpecError(
            f"service {check.id!r}: stdin={value!r} would be fed as text: {hint}; pass bytes to feed it",
            option="stdin",
            value=value,
        )
    if (upstream := upstream_of(value)) is not None:
        if (why := unfit_upstream(upstream)) is not None:
            raise SpecError(f"service {check.id!r}: stdin is the output of a program, and {why}", option="stdin")
        return upstream
    if (why := unfit_input(value)) is not None:
        raise SpecError(f"service {check.id!r}: stdin is of type {type(value).__name__}: {why}", option="stdin")
    if isinstance(value, PathLike):
        check.path("stdin", value)
    elif not (callable(value) or isinstance(value, str | bytes | HasDescriptor | AsyncIterable)):
        raise SpecError(
            f"service {check.id!r}: stdin is of type {type(value).__name__}: "
            'pass None, "pipe", "inherit", text, bytes, a pathlib.Path, an open file or an async iterable'
            + ("" if hint is None else f"; {hint}"),
            option="stdin",
        )
    return cast("object", value)


def check_fed(check: Checker, values: Mapping[str, Any]) -> None:
    """Check that the input fits the encoding and the terminal."""
    value, encoding = values["stdin"], values["encoding"] or "utf-8"
    if isinstance(value, str):
        try:
            value.encode(encoding)
        except UnicodeError:
            raise SpecError(
                f"service {check.id!r}: stdin cannot be encoded as {encoding}: pass bytes", option="stdin"
            ) from None
    if values["pty"] and (value == "inherit" or isinstance(value, PathLike | HasDescriptor) or upstream_of(value)):
        raise SpecError(
            f"service {check.id!r}: with pty=True its input is the terminal: pass stdin None, "
            '"pipe", text, bytes or an async iterable',
            option="stdin",
        )


def check_ladder(check: Checker, values: Mapping[str, Any]) -> None:
    """Check that a stop closes or writes the input only where there is a pipe to it."""
    _check_steps(check, values, "stop", values["stop"])


def check_ladder_of_alive(check: Checker, values: Mapping[str, Any]) -> None:
    """Check the same of the ladder for a program that is not alive."""
    if values["alive"] is not None and values["alive"].stop is not None:
        _check_steps(check, values, "alive", values["alive"].stop)


def _check_steps(check: Checker, values: Mapping[str, Any], option: str, ladder: Stop) -> None:
    has_input = values["stdin"] == "pipe" or (values["pty"] and values["stdin"] is None)
    for step in ladder.steps:
        if isinstance(step, CloseStdin | WriteStdin) and not has_input:
            call = "close_stdin" if isinstance(step, CloseStdin) else "write"
            raise SpecError(
                f"service {check.id!r}: {option} has the step Stop.{call}, and the program has no pipe to its standard "
                'input: pass stdin="pipe", or leave the step out',
                option=option,
                value=values[option],
            )


def _separated(text: str) -> str:
    """Return how to write a command that was given as one text."""
    if set(text) & set("|&;<>$`*"):
        return f"pass 'sh', '-c', {text!r} for a shell"
    try:
        words = shlex.split(text)
    except ValueError:  # a quotation that is not closed
        words = text.split()
    return f"pass {', '.join(map(repr, words))}"


def _as_text(item: object) -> str:
    """Return how to write an argument that is neither text nor a path; empty without an idea."""
    match item:
        case bool():
            return ""
        case int() | float():
            return f"; write {str(item)!r}"
        case bytes():
            return f"; write {item.decode(errors='surrogateescape')!r}"
        case list() | tuple():
            return f"; unpack the list: *{item!r}"
        case _:
            return "; leave it out" if item is None else ""


def _as_variables(option: str, value: object) -> str:
    """Return how to write variables that were given in another form. Values are never shown: they may be secret."""
    items = cast("list[object]", value) if isinstance(value, list | tuple) else [value]
    found = [_ASSIGNMENT.fullmatch(item) for item in items if isinstance(item, str)]
    names = [match[1] for match in found if match]
    if not names or len(names) < len(items):
        return "pass a dict of names to texts"
    return f"pass a dict of names to texts, {option}={{{', '.join(f'{name!r}: ...' for name in names)}}}"


def _as_value(value: object) -> str:
    """Return how to write the value of a variable that is no text; empty without an idea."""
    match value:
        case None:
            return "; leave the variable out, or write '' for an empty one"
        case bool():
            return "; write the word that the program expects, such as '1'"
        case int() | float():
            return "; write the number as a text, by str(...)"
        case bytes():
            return "; write os.fsdecode(...)"
        case _:
            return "; write os.fspath(...)" if isinstance(value, PathLike) else ""
