"""The options ``prepare`` and ``cleanup``: a function of the application, or a command, before or after each run."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterable
from typing import Any, cast

from aioverseer.core.options.checker import Checker
from aioverseer.core.options.command_checks import check_command
from aioverseer.core.typing import PathLike

__all__ = ["AnyHook", "Hook", "check_hook", "hook_words"]

Hook = Callable[[Any, Any], Any] | tuple[str, ...]
"""Function or command, in its final form."""
AnyHook = Callable[[Any, Any], Any] | Iterable[str | PathLike]
"""Function or command, as users give it."""

_ARGUMENTS = {"prepare": "(service, run)", "cleanup": "(service, status)"}


def check_hook(check: Checker, option: str, value: object) -> Hook | None:
    """Return the function or the words of the command."""
    if value is None:
        return None
    if callable(value):
        return value
    if inspect.isawaitable(value):
        raise check.refuse(option, value, "is the result of a call: pass the function itself")
    if isinstance(value, str):
        raise check.refuse(option, value, f"is one text: write {option}={shlex.split(value)!r}")
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        what = f"pass an async function{_ARGUMENTS[option]}, or a list of words"
        raise check.refuse(option, value, f"is neither a function nor a command: {what}")
    return check_command(check, option, cast("Iterable[object]", value))


def hook_words(option: str, hook: Hook) -> str:
    """Return a function or command as words of a sentence, for example ``its prepare (`initdb -D data`)``."""
    name = getattr(hook, "__qualname__", repr(hook)) if callable(hook) else f"`{shlex.join(hook)}`"
    return f"its {option} ({name})"
