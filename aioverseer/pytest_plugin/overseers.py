"""How tests rely on services: which overseer runs them, which test is told of an end, and when.

Imported once a test uses any. No hook of pytest and no fixture in here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from types import TracebackType
from typing import Any

import pytest

from aioverseer import CriticalServiceEnded, Overseer, OverseerError, Restart, Spec, ThreadedOverseer
from aioverseer.pytest_plugin.log_dirs import log_for
from aioverseer.pytest_plugin.reports import AnyOverseer, Story
from aioverseer.pytest_plugin.usage import Section, Watched, note

__all__ = ["inside", "relied_on", "supervised", "threaded", "watching"]


@contextlib.contextmanager
def watching(
    request: pytest.FixtureRequest,
    body: Callable[[], contextlib.AbstractContextManager[object]],
    sections: Callable[[], Iterable[Section]],
) -> Generator[None]:
    """Note what a fixture runs, for its scope; what a test was told already is not raised once more."""
    watched = Watched(fixture=request.fixturename or "", body=body, sections=sections)
    note(request.node, watched)
    try:
        yield
    except CriticalServiceEnded as error:
        if not watched.is_told:
            cause = error.__cause__
            raise _failed(cause if isinstance(cause, OverseerError) else error) from None
    finally:
        watched.has_ended = True


# --- while a test runs


@contextlib.contextmanager
def inside(item: pytest.Item, used: list[Watched]) -> Generator[None]:
    """Run a test as a body of what it uses: it fails at once when a service that it relies on ends."""
    __tracebackhide__ = True
    function: Callable[..., Any] | None = getattr(item, "obj", None)
    if function is None:
        yield
    elif inspect.iscoroutinefunction(function):
        item.obj = _with_bodies(function, used)  # type: ignore[attr-defined]  # of a Function, as was looked at
        try:
            yield
        finally:
            item.obj = function  # type: ignore[attr-defined]  # as above
    else:
        with _bodies(used):
            yield


def _with_bodies(function: Callable[..., Awaitable[object]], used: list[Watched]) -> Callable[..., Awaitable[object]]:
    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> object:
        __tracebackhide__ = True
        with _bodies(used):
            return await function(*args, **kwargs)

    return run


@contextlib.contextmanager
def _bodies(used: list[Watched]) -> Generator[None]:
    __tracebackhide__ = True
    with contextlib.ExitStack() as stack:
        for watched in used:
            stack.enter_context(_body(watched))
        yield


@contextlib.contextmanager
def _body(watched: Watched) -> Generator[None]:
    __tracebackhide__ = True
    where: TracebackType | None = None
    try:
        with watched.body():
            try:
                yield
            except BaseException as error:
                where = error.__traceback__
                raise
    except CriticalServiceEnded as error:
        watched.is_told = True
        if where is None:
            raise _failed(error) from None
        # Not where the block ended but where the test was when it was told.
        raise error.with_traceback(where) from error.__cause__


def _failed(error: BaseException) -> BaseException:
    """Return the failure of a test by what it says alone: where the plugin was is of no use to a reader."""
    failed: BaseException = pytest.fail.Exception(str(error), pytrace=False)
    return failed


# --- the life of an overseer


def relied_on(spec: Spec) -> Spec:
    """Return it as a service that tests rely on: its first end fails them, unless it asks for restarts."""
    restart = Restart("never", max_restarts=0) if spec.restart == Restart() else spec.restart
    return dataclasses.replace(spec, critical=True, restart=restart)


@contextlib.contextmanager
def threaded(request: pytest.FixtureRequest, *, own: bool = False, **options: Any) -> Generator[ThreadedOverseer]:
    """Run a ThreadedOverseer for the scope of a fixture.

    Args:
        request: Of that fixture.
        own: Whether the plugin itself starts what it runs: then nobody has left anything running.
        **options: As for ``ThreadedOverseer``.
    """
    __tracebackhide__ = True
    options.setdefault("log", log_for(request))
    options.setdefault("name", request.node.name or "session")
    overseer = ThreadedOverseer(**options)
    left: list[str] = []
    with watching(request, overseer.body, Story(overseer).sections):
        with overseer:
            yield overseer
            left = [] if own else _running(overseer)
        _tell_left(request, left)


@contextlib.asynccontextmanager
async def supervised(request: pytest.FixtureRequest) -> AsyncGenerator[Overseer]:
    """Run an Overseer on the running event loop for the scope of a fixture."""
    overseer = Overseer(name=request.node.name, log=log_for(request))
    left: list[str] = []
    with watching(request, overseer.body, Story(overseer).sections):
        # The two ends of this block may run in different tasks, as they do in pytest-asyncio.
        async with overseer:
            yield overseer
            left = _running(overseer)
        _tell_left(request, left)


def _running(overseer: AnyOverseer) -> list[str]:
    """Return the ids of the services that are live."""
    return [id for id in overseer.list_all() if overseer.status(id).state.is_live]


def _tell_left(request: pytest.FixtureRequest, left: list[str]) -> None:
    """Tell, as the option says, what a test has left running; it has been stopped by now."""
    what: str = request.config.getini("aioverseer_left_running")
    if not left or what == "stop" or request.scope != "function":
        return
    text = f"{request.node.nodeid} has left running: {', '.join(left)}"
    if what == "fail":
        pytest.fail(f"{text}; stop it in the test, or set aioverseer_left_running", pytrace=False)
    warnings.warn(pytest.PytestWarning(text), stacklevel=2)
