"""Runs the overseers of fixtures, and lets a test fail at once when a service that it relies on ends."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import inspect
import logging
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import Any

import pytest

from aioverseer import (
    CriticalServiceEnded,
    Overseer,
    OverseerError,
    Restart,
    Spec,
    ThreadedOverseer,
    ThreadedService,
)
from aioverseer.pytest_plugin.folders import ServiceFolder
from aioverseer.pytest_plugin.log_dirs import log_for
from aioverseer.pytest_plugin.reports import AnyOverseer, ServiceReports
from aioverseer.pytest_plugin.unnoticed_ends import await_ends
from aioverseer.pytest_plugin.usage import Section, UsedServices, forget_closed, record

__all__ = [
    "as_critical",
    "checked_spec",
    "fail_early",
    "fail_or_restart",
    "marked_services",
    "one_service",
    "recorded",
    "service_starter",
    "supervised",
    "threaded",
]


@contextlib.contextmanager
def recorded(
    request: pytest.FixtureRequest,
    body: Callable[[], contextlib.AbstractContextManager[object]],
    sections: Callable[[], Iterable[Section]],
    *,
    await_ends: Callable[[BaseException], None] = lambda _error: None,
    restarts: bool = False,
) -> Generator[None]:
    """Record the services of a fixture for its scope.

    The end of a critical service is raised at the end of the scope, unless a test has failed because of it already.

    Args:
        request: The request of the fixture.
        body: Factory of the context manager that ends with a critical service.
        sections: Factory of the sections of a report.
        await_ends: Function that waits until ends of programs that have happened are known, given the error of a
            test.
        restarts: Whether the fixture is set up again for the next test when a service has ended.
    """
    services = UsedServices(
        fixture=request.fixturename or "", body=body, sections=sections, await_ends=await_ends, restarts=restarts
    )
    record(request.node, services)
    try:
        yield
    except CriticalServiceEnded as error:
        if not services.is_reported:
            cause = error.__cause__
            raise _failure(cause if isinstance(cause, OverseerError) else error) from None
    finally:
        services.is_closed = True


_log = logging.getLogger("aioverseer")

# --- before a test


def fail_or_restart(item: pytest.Item | None, used: list[UsedServices]) -> None:
    """Fail a test in its set-up when a service that it uses has ended, or end the fixture, so that it is made anew.

    Args:
        item: The test, before its fixtures are set up; None after that, when nothing is made anew.
        used: The services that it uses.
    """
    for services in used:
        if services.is_closed or (ended := _end_of(services)) is None:
            continue
        services.is_reported = True
        text = f"{_when(ended)}{ended}"
        if item is None or not services.restarts:
            raise _failure(OverseerError(f"fixture {services.fixture!r} is dead: {text}")) from None
        _log.warning("fixture %r is set up again: %s", services.fixture, text)
        _finish(item, services.fixture)
        forget_closed(item)


def _end_of(services: UsedServices) -> CriticalServiceEnded | None:
    try:
        with services.body():
            return None
    except CriticalServiceEnded as error:
        return error


def _when(ended: CriticalServiceEnded) -> str:
    """Return when a service has ended, as the beginning of a sentence."""
    at = None if ended.status is None else ended.status.stopped_at
    if at is None:
        return "before this test "
    ago = (datetime.datetime.now(datetime.UTC) - at).total_seconds()
    return f"at {at.astimezone():%H:%M:%S}, {ago:.1f} s before this test, "


def _finish(item: pytest.Item, name: str) -> None:
    """Tear a fixture down, and those that use it. pytest sets them up again for the test."""
    info: Any = getattr(item, "_fixtureinfo", None)
    for made in () if info is None else info.name2fixturedefs.get(name, ()):
        if made.cached_result is not None:
            made.finish(getattr(item, "_request"))  # noqa: B009  # pytest has no public name for it


# --- during a test


@contextlib.contextmanager
def fail_early(item: pytest.Item, used: list[UsedServices]) -> Generator[None]:
    """Run a test inside ``Overseer.body()`` of the services that it uses, so that it fails at once when one ends."""
    __tracebackhide__ = True
    function: Callable[..., Any] | None = getattr(item, "obj", None)
    if function is None:
        yield
    elif inspect.iscoroutinefunction(function):
        item.obj = _inside_blocks(function, used)  # type: ignore[attr-defined]  # a Function, as it has an `obj`
        try:
            yield
        finally:
            item.obj = function  # type: ignore[attr-defined]  # as above
    else:
        with _blocks(used):
            yield


def _inside_blocks(
    function: Callable[..., Awaitable[object]], used: list[UsedServices]
) -> Callable[..., Awaitable[object]]:
    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> object:
        __tracebackhide__ = True
        with _blocks(used):
            return await function(*args, **kwargs)

    return run


@contextlib.contextmanager
def _blocks(used: list[UsedServices]) -> Generator[None]:
    __tracebackhide__ = True
    with contextlib.ExitStack() as stack:
        for services in used:
            stack.enter_context(_block(services))
        yield


@contextlib.contextmanager
def _block(services: UsedServices) -> Generator[None]:
    __tracebackhide__ = True
    where: TracebackType | None = None
    try:
        with services.body():
            try:
                yield
            except BaseException as error:
                where = error.__traceback__
                if isinstance(error, Exception):  # a client may have seen the end of its server first
                    services.await_ends(error)
                raise
    except CriticalServiceEnded as error:
        services.is_reported = True
        if where is None:
            raise _failure(error) from None
        # Show the line of the test that was interrupted, and not the end of this block.
        raise error.with_traceback(where) from error.__cause__


def _failure(error: BaseException) -> BaseException:
    """Return a test failure with the text of an error, and without a traceback, which would show the plugin only."""
    failure: BaseException = pytest.fail.Exception(str(error), pytrace=False)
    return failure


# --- the fixtures


def as_critical(spec: Spec) -> Spec:
    """Return the Spec of a service that tests rely on: its first end fails them, unless it has restart options."""
    restart = Restart("never", max_restarts=0) if spec.restart == Restart() else spec.restart
    return dataclasses.replace(spec, critical=True, restart=restart)


def checked_spec(fixture: str, spec: object) -> Spec:
    """Return the result of a service fixture's function.

    Raises:
        pytest.UsageError: If the result is no Spec.
    """
    if not isinstance(spec, Spec):
        raise pytest.UsageError(
            f"the service fixture {fixture!r} has returned {spec!r}: return a Spec, for example "
            'Spec.of("web", ["nginx"], ready=ready.tcp(8000))'
        )
    return spec


@contextlib.contextmanager
def threaded(
    request: pytest.FixtureRequest, *, own: bool = False, restarts: bool = False, **options: Any
) -> Generator[ThreadedOverseer]:
    """Run a ThreadedOverseer for the scope of a fixture.

    Args:
        request: The request of the fixture.
        own: Whether the plugin itself starts the services. They do not count as left running by the test.
        restarts: Whether the fixture is set up again for the next test when a service has ended.
        **options: Options of ``ThreadedOverseer``.
    """
    __tracebackhide__ = True
    options.setdefault("log", log_for(request))
    options.setdefault("name", request.node.name or "session")
    overseer = ThreadedOverseer(**options)
    left: list[str] = []
    ends = functools.partial(await_ends, overseer)
    with recorded(request, overseer.body, ServiceReports(overseer).sections, await_ends=ends, restarts=restarts):
        with overseer:
            yield overseer
            left = [] if own else _running(overseer)
        _report_left_running(request, left)


@contextlib.asynccontextmanager
async def supervised(request: pytest.FixtureRequest) -> AsyncGenerator[Overseer]:
    """Run an Overseer on the running event loop for the scope of a fixture."""
    overseer = Overseer(name=request.node.name, log=log_for(request))
    left: list[str] = []
    with recorded(request, overseer.body, ServiceReports(overseer).sections):
        # pytest-asyncio may run the two ends of this block in different tasks.
        async with overseer:
            yield overseer
            left = _running(overseer)
        _report_left_running(request, left)


@contextlib.contextmanager
def one_service(
    request: pytest.FixtureRequest,
    spec: Spec,
    options: Mapping[str, Any],
    folder: ServiceFolder | None = None,
    *,
    restarts: bool = False,
) -> Generator[ThreadedService]:
    """Run one service for the scope of a fixture; yield it once it is ready. Its folder lives a bit longer."""
    __tracebackhide__ = True
    with contextlib.ExitStack() as stack:
        if folder is not None:
            stack.enter_context(folder.made())
            folder.fill()
        overseer = stack.enter_context(threaded(request, own=True, restarts=restarts, **options))
        yield overseer.add(as_critical(spec)).start()


@contextlib.contextmanager
def service_starter(request: pytest.FixtureRequest) -> Generator[Callable[..., ThreadedService]]:
    """Yield a function that adds and starts a service for the scope of a fixture."""
    with threaded(request, own=True) as overseer:

        def start(id: str, *argv: str, **options: Any) -> ThreadedService:
            return overseer.add(as_critical(Spec.of(id, argv, **options))).start()

        yield start


@contextlib.contextmanager
def marked_services(request: pytest.FixtureRequest) -> Generator[dict[str, ThreadedService]]:
    """Run the services of the markers ``service`` on a test; yield them by their ids once all are ready."""
    # Outermost first: services of a test may need services of its class.
    markers = list(request.node.iter_markers("service"))[::-1]
    with threaded(request, own=True) as overseer:
        for marker in markers:
            id, *argv = marker.args or ("",)
            overseer.add(as_critical(Spec.of(id, argv, **marker.kwargs)))
        overseer.start_all()
        yield {id: overseer[id] for id in overseer}


def _running(overseer: AnyOverseer) -> list[str]:
    """Return the ids of the live services."""
    return [id for id in overseer.list_all() if overseer.status(id).state.is_live]


def _report_left_running(request: pytest.FixtureRequest, left: list[str]) -> None:
    """Warn or fail, as the option says, about services that a test has left running. They have been stopped already."""
    action: str = request.config.getini("aioverseer_left_running")
    if not left or action == "stop" or request.scope != "function":
        return
    text = f"{request.node.nodeid} has left running: {', '.join(left)}"
    if action == "fail":
        pytest.fail(f"{text}; stop it in the test, or set aioverseer_left_running", pytrace=False)
    warnings.warn(pytest.PytestWarning(text), stacklevel=2)
