"""Short tracebacks: an error of the library ends at the line of the test or fixture that has called the library."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType

import pytest

import aioverseer

__all__ = ["shorten"]

_LIBRARY = str(Path(__file__).parents[1])
_STANDARD = Path(contextlib.__file__).parent
_INNER = (_LIBRARY, *(str(_STANDARD / name) for name in ("asyncio", "concurrent", "contextlib.py")))
"""Files whose frames say nothing about a test when they come after its last line."""


def shorten(call: pytest.CallInfo[None]) -> None:
    """Cut the library's frames, and causes that say the same again, from an error of the library before its report."""
    error: BaseException | None = None if call.excinfo is None else call.excinfo.value
    if call.excinfo is None or not isinstance(error, aioverseer.OverseerError):
        return
    if isinstance(error, aioverseer.CriticalServiceEnded) and isinstance(error.__cause__, aioverseer.NotReady):
        error = error.__cause__  # the end of the service has failed its start, which says more
    error.__traceback__ = _outer(error.__traceback__)
    error.__cause__ = _cause_of_others(error)
    error.__traceback__ = error.__traceback__ or call.excinfo.tb
    call.excinfo = pytest.ExceptionInfo[BaseException].from_exception(error)


def _cause_of_others(error: BaseException) -> BaseException | None:
    """Return the first cause that says more than the error, whose message has the reason and the last lines already."""
    cause = _next(error)
    while isinstance(cause, aioverseer.OverseerError | OSError | asyncio.CancelledError):
        # An OSError is the cause of a failed spawn, or that of a client of a critical service.
        if isinstance(error, aioverseer.CriticalServiceEnded) and not isinstance(
            cause, aioverseer.OverseerError | asyncio.CancelledError
        ):
            return cause
        error, cause = cause, _next(cause)
    return cause


def _next(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _outer(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames after the last one that is neither the library's nor asyncio's."""
    frames: list[TracebackType] = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    while frames and _is_inner(frames[-1]):
        frames.pop()
    outer: TracebackType | None = None
    for frame in reversed(frames):
        outer = TracebackType(outer, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return outer


def _is_inner(trace: TracebackType) -> bool:
    name = trace.tb_frame.f_code.co_filename
    return name.startswith(_INNER) or "/anyio/" in name
