"""The pytest plugin: options, hooks and fixtures.

pytest imports this package in every environment that has the library installed. The modules that run services are
therefore imported by ``deferred.py`` when a fixture is first used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

from aioverseer.pytest_plugin import async_plugins, deferred, usage
from aioverseer.pytest_plugin.user_fixtures import overseer_fixture, service_fixture
from aioverseer.pytest_plugin.xdist import run_id

if TYPE_CHECKING:
    from aioverseer import Overseer, ThreadedOverseer, ThreadedService
    from aioverseer.testing import Ports

__all__ = ["overseer_fixture", "service_fixture"]

_LEFT_RUNNING = ("stop", "warn", "fail")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.getgroup("aioverseer", "services for tests").addoption(
        "--aioverseer-logs",
        metavar="DIR",
        help="write the output of all services to DIR: a folder for each test, a file for each service",
    )
    parser.addini(
        "aioverseer_left_running",
        "treatment of a service that a test has started itself and leaves running: stop (the default), warn (stop it, "
        "and warn) or fail (stop it, and fail the test)",
        default="stop",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker, and fixtures for the async plugins in use.

    Raises:
        pytest.UsageError: If ``aioverseer_left_running`` has an unknown value.
    """
    if (found := config.getini("aioverseer_left_running")) not in _LEFT_RUNNING:
        raise pytest.UsageError(f"aioverseer_left_running={found!r} is unknown: use {', '.join(_LEFT_RUNNING)}")
    config.addinivalue_line(
        "markers",
        "service(id, *argv, **options): run this program for the test, as Overseer.add describes it; the test fails at "
        "once when it ends. The fixture `services` has it by its id.",
    )
    async_plugins.register(config)


@pytest.hookimpl(wrapper=True, trylast=True)  # inside of the wrappers of pytest, which the tear-down relies on
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test in its set-up when a service that it relies on has ended before, or start that service again."""
    if used := usage.used_by(item):
        deferred.overseers.fail_or_restart(item, used)
    result = yield
    if used := usage.used_by(item):
        deferred.overseers.fail_or_restart(None, used)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test at once when a service that it relies on ends."""
    used = usage.used_by(item)
    if not used:
        return (yield)
    with deferred.overseers.fail_early(item, used):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add a section for each service to the report of a failed test, and shorten the traceback of our errors."""
    if call.excinfo is not None and "aioverseer.core.errors" in sys.modules:  # else it is no error of the library
        deferred.tracebacks.shorten(call)
    report = yield
    if report.failed:
        for services in usage.used_by(item):
            report.sections.extend(services.sections())
        usage.record_failure(item)
    if call.when == "teardown":
        usage.forget_closed(item)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the fixture ``services`` to tests with the marker ``service``."""
    for item in items:
        names: list[str] = getattr(item, "fixturenames", [])
        if item.get_closest_marker("service") is not None and "services" not in names:
            names.append("services")


@pytest.fixture
def overseer(request: pytest.FixtureRequest) -> Overseer:
    """An Overseer on the event loop of the test, run by pytest-asyncio in any loop scope, or by anyio's plugin.

    All its services are stopped after the test. A service with ``critical=True`` fails the test at once when it ends
    for good.
    """
    found: Overseer = request.getfixturevalue(async_plugins.fixture_for(request))
    return found


@pytest.fixture
def threaded_overseer(request: pytest.FixtureRequest) -> Generator[ThreadedOverseer]:
    """A ThreadedOverseer, for plain tests and for async tests that want one.

    All its services are stopped after the test. A service with ``critical=True`` fails the test at once when it ends
    for good.
    """
    with deferred.overseers.threaded(request) as found:
        yield found


@pytest.fixture
def service_factory(request: pytest.FixtureRequest) -> Generator[Callable[..., ThreadedService]]:
    """Start a service and wait until it is ready: ``service_factory("web", *argv, ready=ready.tcp(free_port))``.

    The arguments are those of ``Overseer.add``. The service is stopped after the test, and fails the test at once when
    it ends before. It is restarted only with the option ``restart``. It runs in a thread of its own. A start that fails
    raises ``NotReady``, as that of a service fixture does.
    """
    with deferred.overseers.service_starter(request) as start:
        yield start


@pytest.fixture
def services(request: pytest.FixtureRequest) -> Generator[dict[str, ThreadedService]]:
    """The services of the markers ``@pytest.mark.service(...)`` on a test, by their ids. All are ready."""
    with deferred.overseers.marked_services(request) as found:
        yield found


@pytest.fixture(scope="session", name="_aioverseer_ports")
def _ports(request: pytest.FixtureRequest) -> Generator[Ports]:
    # One Ports for the whole session: a port that one test has released comes last for the next tests.
    ports = deferred.testing.Ports(run_id(request.config))
    yield ports
    ports.release()


@pytest.fixture(scope="session")
def free_port_factory(_aioverseer_ports: Ports) -> Callable[..., int]:
    """Reserve ports of the loopback interface for the session: ``free_port_factory()``.

    ``free_port_factory("redis")`` is the same port in all workers of pytest-xdist, as long as one of them needs it. No
    other process gets a reserved port from this plugin, and the kernel does not assign it, as it lies outside of the
    kernel's range.
    """
    return _aioverseer_ports.reserve


@pytest.fixture
def free_port(_aioverseer_ports: Ports) -> Generator[int]:
    """A port of the loopback interface, reserved for the test; see ``free_port_factory``."""
    port = _aioverseer_ports.reserve()
    yield port
    _aioverseer_ports.release(port)
