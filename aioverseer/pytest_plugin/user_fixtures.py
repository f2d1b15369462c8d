"""Makers of fixtures for users: a server for a test, a module or a whole session, or an overseer.

Each fixture runs its services in a thread of its own. The event loop of async tests stands still between tests, and a
server that writes to a full pipe meanwhile would be blocked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

import pytest

from aioverseer.pytest_plugin import deferred

if TYPE_CHECKING:
    from aioverseer import Spec, ThreadedOverseer, ThreadedService
    from aioverseer.pytest_plugin.shared import SharedService

__all__ = ["overseer_fixture", "service_fixture"]

Scope = Literal["function", "class", "module", "package", "session"]


def service_fixture(
    *,
    scope: Scope = "function",
    shared: bool = False,
    when_dead: Literal["fail", "restart"] = "fail",
    name: str | None = None,
    autouse: bool = False,
    **options: Any,
) -> Callable[[Callable[..., Spec]], Any]:
    """Make a fixture that runs a service, from a function that returns its Spec. The function may use fixtures.

    The value of the fixture is a ``ThreadedService`` that is ready. Tests that use it fail at once when the service
    ends. At the end of the scope the service and its leftovers are stopped.

    Args:
        scope: The scope of the fixture.
        shared: Whether all workers of pytest-xdist share one service. The first worker starts it, the last one to leave
            stops it, and the value of the fixture is a ``SharedService``. Use named ports for shared services:
            ``free_port_factory("redis")``.
        when_dead: Treatment of later tests of the scope when the service has ended: ``"fail"`` fails them in their
            set-up, with who ended when; ``"restart"`` sets the fixture up again, and those that use it.
        name: The name of the fixture. Default: the name of the function.
        autouse: Whether all tests use the fixture.
        **options: Options of ``ThreadedOverseer``. For a shared service they must be plain values or names at the top
            of a module, as they are sent to another process.

    Raises:
        pytest.UsageError: If ``when_dead`` is unknown, or is ``"restart"`` for a shared service.
    """
    if when_dead not in ("fail", "restart"):
        raise pytest.UsageError(f'service_fixture: when_dead={when_dead!r} is unknown: pass "fail" or "restart"')
    if shared and when_dead == "restart":
        raise pytest.UsageError(
            'service_fixture: when_dead="restart" is not possible with shared=True, as other workers use the service '
            "too: pass restart=Restart(...) to its Spec"
        )

    def decorate(function: Callable[..., Spec]) -> Any:
        def serve(request: pytest.FixtureRequest, **fixtures: Any) -> Generator[ThreadedService | SharedService]:
            if takes_request:
                fixtures["request"] = request
            spec = deferred.overseers.checked_spec(function.__name__, function(**fixtures))
            if shared:
                with deferred.shared.shared_service(request, spec, options) as service:
                    yield service
            else:
                restarts = when_dead == "restart"
                with deferred.overseers.one_service(request, spec, options, restarts=restarts) as service:
                    yield service

        signature = inspect.signature(function)
        takes_request = "request" in signature.parameters
        own = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        others = [parameter for parameter in signature.parameters.values() if parameter.name != "request"]
        serve.__signature__ = inspect.Signature([own, *others])  # type: ignore[attr-defined]  # read by pytest
        serve.__name__, serve.__doc__, serve.__module__ = function.__name__, function.__doc__, function.__module__
        return pytest.fixture(scope=scope, name=name, autouse=autouse)(serve)

    return decorate


def overseer_fixture(*, scope: Scope = "function", name: str | None = None, **options: Any) -> Any:
    """Make a fixture whose value is a ThreadedOverseer.

    Example: ``databases = overseer_fixture(scope="module")``.

    Args:
        scope: The scope of the fixture. All services are stopped at its end.
        name: The name of the fixture. Default: the name of the variable.
        **options: Options of ``ThreadedOverseer``.
    """

    def run(request: pytest.FixtureRequest) -> Generator[ThreadedOverseer]:
        """Run an overseer in a thread of its own."""
        with deferred.overseers.threaded(request, **options) as overseer:
            yield overseer

    return pytest.fixture(scope=scope, name=name)(run)
