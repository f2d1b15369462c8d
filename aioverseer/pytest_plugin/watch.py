"""What the plugin knows of the overseers that it has made: who uses them, what tests are told, what reports say.

An overseer is noted at the node of its scope: the test, its module, the session. No hook of pytest and no fixture in
here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import os
import re
import signal
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias

import pytest

from aioverseer import (
    CriticalServiceEnded,
    Event,
    EventStream,
    LogFile,
    Overseer,
    OverseerError,
    Restart,
    Spec,
    ThreadedEvents,
    ThreadedOverseer,
)
from aioverseer.pytest_plugin.shared import SharedService

__all__ = [
    "Watched",
    "forget_ended",
    "inside",
    "log_for",
    "note_failure",
    "relied_on",
    "report_on",
    "running",
    "tell_left",
    "threaded",
    "watched_by",
    "watching",
]

AnyOverseer: TypeAlias = Overseer | ThreadedOverseer
Relied: TypeAlias = AnyOverseer | SharedService

_LINES = 20
"""Last lines of each service in a report."""

_EVENTS = 30
"""Last events of each service in a report."""


@dataclass(slots=True, eq=False)
class Watched:
    """One overseer of the plugin.

    Attributes:
        overseer: It.
        fixture: The fixture that has made it.
        stream: Its events that have not been read yet.
        events: Those that have been read.
        is_told: Whether a test has failed of it: its end need not be told again.
        has_ended: Whether it has been left.
    """

    overseer: Relied
    fixture: str
    stream: EventStream | ThreadedEvents | None
    events: list[Event] = field(default_factory=list[Event])
    is_told: bool = False
    has_ended: bool = False


_watched = pytest.StashKey[list[Watched]]()
_NONE: list[Watched] = []


@contextlib.contextmanager
def watching(request: pytest.FixtureRequest, overseer: Relied) -> Generator[Watched]:
    """Note an overseer for the scope of a fixture; what a test was told already is not raised once more."""
    # Asked for before it is in use: reports are written when no event loop runs.
    stream = None if isinstance(overseer, SharedService) else overseer.events()
    watched = Watched(overseer, request.fixturename or "", stream)
    stash: pytest.Stash = request.node.stash
    stash.setdefault(_watched, []).append(watched)
    try:
        yield watched
    except CriticalServiceEnded as error:
        if not watched.is_told:
            cause = error.__cause__
            raise _failed(cause if isinstance(cause, OverseerError) else error) from None
    finally:
        watched.has_ended = True


def note_failure(item: pytest.Item) -> None:
    """Take note that a test has failed: what ends of what it uses alone needs no second error."""
    for watched in item.stash.get(_watched, _NONE):
        watched.is_told = True


def watched_by(item: pytest.Item) -> list[Watched]:
    """Return the overseers that a test uses."""
    names: list[str] = getattr(item, "fixturenames", [])
    return [
        watched
        for node in item.listchain()
        for watched in node.stash.get(_watched, _NONE)
        if node is item or watched.fixture in names
    ]


def forget_ended(item: pytest.Item) -> None:
    """Let go of those that have been left: pytest keeps every test until its end."""
    for node in item.listchain():
        if _watched in node.stash:
            node.stash[_watched] = [watched for watched in node.stash[_watched] if not watched.has_ended]


# --- while a test runs


@contextlib.contextmanager
def inside(item: pytest.Item) -> Generator[None]:
    """Run a test as a body of the overseers that it uses: it fails at once when a critical service ends."""
    __tracebackhide__ = True
    used = watched_by(item)
    function: Callable[..., Any] | None = getattr(item, "obj", None)
    if not used or function is None:
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
        with watched.overseer.body():
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
    restart = Restart("never") if spec.restart == Restart() else spec.restart
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
    overseer = ThreadedOverseer(name=request.node.name or "session", **options)
    left: list[str] = []
    with watching(request, overseer):
        with overseer:
            yield overseer
            left = [] if own else running(overseer)
        tell_left(request, left)


def running(overseer: AnyOverseer) -> list[str]:
    """Return the ids of the services that are live."""
    return [id for id in overseer.list_all() if overseer.status(id).state.is_live]


def tell_left(request: pytest.FixtureRequest, left: list[str]) -> None:
    """Tell, as the option says, what a test has left running; it has been stopped by now."""
    what: str = request.config.getini("aioverseer_left_running")
    if not left or what == "stop" or request.scope != "function":
        return
    text = f"{request.node.nodeid} has left running: {', '.join(left)}"
    if what == "fail":
        pytest.fail(f"{text}; stop it in the test, or set aioverseer_left_running", pytrace=False)
    warnings.warn(pytest.PytestWarning(text), stacklevel=2)


def log_for(request: pytest.FixtureRequest) -> LogFile | None:
    """Return where all lines go, when ``--aioverseer-logs`` was given: a folder for each test, a file for each id."""
    folder: str | None = request.config.getoption("--aioverseer-logs")
    if folder is None:
        return None
    name = re.sub(r"[^\w.=,-]+", "_", request.node.nodeid) or "session"
    path = os.path.join(os.path.abspath(folder), name)
    os.makedirs(path, exist_ok=True)
    return LogFile(os.path.join(path.replace("{", "{{").replace("}", "}}"), "{id}.log"))


# --- reports


def report_on(watched: Watched) -> Iterator[tuple[str, str]]:
    """Yield a title and a text for each service."""
    overseer = watched.overseer
    if isinstance(overseer, SharedService) or watched.stream is None:
        if isinstance(overseer, SharedService):
            yield f"service {overseer.id}", overseer.report()
        return
    watched.events.extend(iter(watched.stream.get_nowait, None))
    for id in overseer.list_all():
        yield f"service {id}", "\n".join(_about(overseer, id, watched.events))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _about(overseer: AnyOverseer, id: str, events: list[Event]) -> Iterator[str]:
    status, service = overseer.status(id), overseer[id]
    yield str(service.why())
    if status.exit_code is not None or status.signal is not None:
        how = f"code {status.exit_code}" if status.signal is None else _signal_name(status.signal)
        yield f"last exit: {how} after {status.runtime:.3f} s"
    lines = service.tail(_LINES)
    yield f"last {len(lines)} lines:" if lines else "it has written nothing"
    yield from (f"  {line.stream}: {line.text!s}" for line in lines)
    events = [event for event in events if event.id == id]
    if events:
        yield "events:"
    for event in events[-_EVENTS:]:
        yield f"  {(event.time - events[0].time).total_seconds():+9.3f} s  {event.state!s:<11} {event.reason}"
