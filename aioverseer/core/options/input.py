"""Values that look like an input for ``stdin`` and would give a program something else than was meant."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from aioverseer.core.typing import HasDescriptor

__all__ = ["unfit_input", "unfit_upstream", "upstream_of"]


def upstream_of(value: object) -> object | None:
    """Return the Spec of a Process, or the Spec itself, whose output is to be the input; None for another value."""
    if hasattr(value, "with_command"):
        return value
    if hasattr(value, "clone") and hasattr(value, "spec"):
        return cast("object", cast("Any", value).spec)
    return None


_OF_THE_LAST = frozenset({"ready", "restart", "after", "critical", "on_give_up", "group", "significant", "log"})
"""Options of a service, which are those of the last program of a pipeline."""


def unfit_upstream(spec: Any) -> str | None:
    """Return why the output of a program cannot be the input of another one; None if it can.

    Args:
        spec: Spec of the program.
    """
    for field in dataclasses.fields(spec):
        if field.name in _OF_THE_LAST and getattr(spec, field.name) != field.default:
            return f"{field.name} is an option of the last program of a pipeline: leave it out there"
    if spec.pty:
        return "it runs on a terminal: leave pty out"
    if spec.stdout not in (None, "read"):
        return "its standard output goes elsewhere: leave stdout out"
    if spec.streaming not in (False, "stderr"):
        return 'its standard output is for that program alone: pass streaming="stderr", or leave it out'
    return None


def unfit_input(value: object) -> str | None:
    """Return the way to write it for a value that is no input for ``stdin``; None for a value that may be one.

    The core imports no asyncio, so the kinds are told apart by their methods.
    """
    if hasattr(value, "get_nowait"):
        return (
            "the lines of a queue have lost their ends, so the program would read one long line; pass a function that "
            "puts them back, async def feed(): async for line in queue: yield line + '\\n', or join the programs, "
            "stdin=Process('first')"
        )
    if hasattr(value, "readuntil"):
        return (
            "a StreamReader fails at a line above its limit; pass a function that reads chunks, "
            "async def feed(): while chunk := await reader.read(65536): yield chunk"
        )
    if hasattr(value, "argv") or hasattr(value, "spec"):
        return "a service is no input; pass a Process, as in stdin=Process('first')"
    if hasattr(value, "getvalue"):
        return "it has no descriptor: pass its content, getvalue()"
    if isinstance(value, HasDescriptor):
        readable = getattr(value, "readable", None)
        if getattr(value, "closed", False) is True:
            return "the file is closed: pass an open one, or its path as a pathlib.Path"
        if callable(readable) and not readable():
            return "the file is not open for reading: open it with mode 'r' or 'rb'"
    return None
