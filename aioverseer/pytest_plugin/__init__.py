"""The pytest plugin: its options and hooks, and the fixtures that tests ask for.

How overseers are watched and reports written stands in the files beside. Public names of the library only. pytest
imports this in every environment that has the library installed, so nothing is done for a test that asks for nothing:
what runs services is imported when a fixture is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

from aioverseer.pytest_plugin import async_plugins, usage
from aioverseer.pytest_plugin.user_fixtures import overseer_fixture, service_fixture
from aioverseer.pytest_plugin.xdist import run_of

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
        help="keep all that services write in DIR: a folder for each test, a file for each service",
    )
    parser.addini(
        "aioverseer_left_running",
        "what to do when a test leaves a service running that it has started itself: stop (the default), or stop and "
        "warn, or stop and fail",
        default="stop",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker, and the fixtures for the async plugins that are there.

    Raises:
        pytest.UsageError: For a value of an option that cannot be.
    """
    if (found := config.getini("aioverseer_left_running")) not in _LEFT_RUNNING:
        raise pytest.UsageError(f"aioverseer_left_running={found!r} is unknown: use {', '.join(_LEFT_RUNNING)}")
    config.addinivalue_line(
        "markers",
        "service(id, *argv, **options): run this program for the test, as Overseer.add describes it; the test fails at "
        "once when it ends. The fixture services has it by its id.",
    )
    async_plugins.register(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test at once when a service ends that it relies on."""
    used = usage.watched_by(item)
    if not used:
        return (yield)
    from aioverseer.pytest_plugin.overseers import inside  # noqa: PLC0415  # see the module

    with inside(item, used):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put a section for each service into the report of a test that has failed."""
    report = yield
    if report.failed:
        for watched in usage.watched_by(item):
            report.sections.extend(watched.sections())
        usage.note_failure(item)
    if call.when == "teardown":
        usage.forget_ended(item)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the marker ``service`` bring its fixture along."""
    for item in items:
        names: list[str] = getattr(item, "fixturenames", [])
        if item.get_closest_marker("service") is not None and "services" not in names:
            names.append("services")


@pytest.fixture
def overseer(request: pytest.FixtureRequest) -> Overseer:
    """An Overseer on the event loop of the test: that of pytest-asyncio, in each loop scope, or of anyio's plugin.

    When the test is over, however it went, all that it runs is stopped. A service with ``critical=True`` fails the
    test at once when it ends for good.
    """
    found: Overseer = request.getfixturevalue(async_plugins.fixture_for(request))
    return found


@pytest.fixture
def threaded_overseer(request: pytest.FixtureRequest) -> Generator[ThreadedOverseer]:
    """A ThreadedOverseer: the same in a thread of its own, for plain tests, and for async ones that want it."""
    from aioverseer.pytest_plugin.overseers import threaded  # noqa: PLC0415  # see the module

    with threaded(request) as found:
        yield found


@pytest.fixture
def service_factory(request: pytest.FixtureRequest) -> Generator[Callable[..., ThreadedService]]:
    """Start a service and wait until it is ready: ``service_factory("web", *argv, ready=ready.tcp(free_port))``.

    The arguments are those of ``Overseer.add``. It is stopped behind the test, and fails it at once when it ends
    before; it is restarted only when ``restart`` says so. It is looked after in a thread of its own.
    """
    from aioverseer import Spec  # noqa: PLC0415  # see the module
    from aioverseer.pytest_plugin.overseers import (  # noqa: PLC0415
        relied_on,  # see the module
        threaded,  # see the module
    )

    with threaded(request, own=True) as found:

        def start(id: str, *argv: str, **options: Any) -> ThreadedService:
            return found.add(relied_on(Spec.of(id, argv, **options))).start()

        yield start


@pytest.fixture
def services(request: pytest.FixtureRequest) -> Generator[dict[str, ThreadedService]]:
    """The services that the markers ``@pytest.mark.service(...)`` of a test ask for, by id; all are ready."""
    from aioverseer import Spec  # noqa: PLC0415  # see the module
    from aioverseer.pytest_plugin.overseers import (  # noqa: PLC0415
        relied_on,  # see the module
        threaded,  # see the module
    )

    # The outermost first: what a class asks for may be needed by what its test asks for.
    markers = list(request.node.iter_markers("service"))[::-1]
    with threaded(request, own=True) as found:
        for marker in markers:
            id, *argv = marker.args or ("",)
            found.add(relied_on(Spec.of(id, argv, **marker.kwargs)))
        found.start_all()
        yield {id: found[id] for id in found}


@pytest.fixture(scope="session", name="_aioverseer_ports")
def _ports(request: pytest.FixtureRequest) -> Generator[Ports]:
    from aioverseer.testing import Ports  # noqa: PLC0415  # see the module

    # One for all tests of this process, so that what one of them has given back is not given to the next.
    ports = Ports(run_of(request.config))
    yield ports
    ports.release()


@pytest.fixture(scope="session")
def free_port_factory(_aioverseer_ports: Ports) -> Callable[..., int]:
    """Reserve ports of the loopback for the session: ``free_port_factory()``.

    ``free_port_factory("redis")`` is the same port in all workers of pytest-xdist, while one of them needs it. No other
    process that asks in this way gets it, and it lies outside of the range of those that the system gives to who asks
    for any.
    """
    return _aioverseer_ports.reserve


@pytest.fixture
def free_port(_aioverseer_ports: Ports) -> Generator[int]:
    """A port of the loopback that nobody else gets while the test runs; see ``free_port_factory``."""
    port = _aioverseer_ports.reserve()
    yield port
    _aioverseer_ports.release(port)
