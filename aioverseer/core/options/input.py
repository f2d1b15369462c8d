"""Values that look like an input for ``stdin`` and would give a program something else than was meant."""

from __future__ import annotations

from aioverseer.core.typing import HasDescriptor

__all__ = ["unfit_input"]


def unfit_input(value: object) -> str | None:
    """Return the way to write it for a value that is no input for ``stdin``; None for a value that may be one.

    The core imports no asyncio, so the kinds are told apart by their methods.
    """
    if hasattr(value, "get_nowait"):
        return (
            "the lines of a queue have lost their ends, so the program would read one long line; pass a function that "
            "puts them back, async def feed(): async for line in queue: yield line + '\\n', or let a shell join the "
            "programs, sh -c 'first | second'"
        )
    if hasattr(value, "readuntil"):
        return (
            "a StreamReader fails at a line above its limit; pass a function that reads chunks, "
            "async def feed(): while chunk := await reader.read(65536): yield chunk"
        )
    if hasattr(value, "argv") or hasattr(value, "spec"):
        return "a program is no input; let a shell join the programs, sh -c 'first | second'"
    if hasattr(value, "getvalue"):
        return "it has no descriptor: pass its content, getvalue()"
    if isinstance(value, HasDescriptor):
        readable = getattr(value, "readable", None)
        if getattr(value, "closed", False) is True:
            return "the file is closed: pass an open one, or its path as a pathlib.Path"
        if callable(readable) and not readable():
            return "the file is not open for reading: open it with mode 'r' or 'rb'"
    return None
