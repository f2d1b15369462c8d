"""Makers of fixtures for users: a server for a test, a module or a whole session, or an overseer.

Each fixture runs its services in a thread of its own. The event loop of async tests stands still between tests, and a
server that writes to a full pipe meanwhile would be blocked.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

import pytest

from aioverseer.pytest_plugin import deferred
from aioverseer.pytest_plugin.xdist import run_id

if TYPE_CHECKING:
    from pathlib import Path

    from aioverseer import Spec, ThreadedOverseer, ThreadedService
    from aioverseer.pytest_plugin.shared import SharedService

__all__ = ["overseer_fixture", "service_fixture"]

Scope = Literal["function", "class", "module", "package", "session"]


def service_fixture(
    *,
    scope: Scope = "function",
    shared: bool = False,
    when_dead: Literal["fail", "restart"] = "fail",
    prepare: Callable[[Path], object] | None = None,
    name: str | None = None,
    autouse: bool = False,
    **options: Any,
) -> Callable[[Callable[..., Spec]], Any]:
    """Make a fixture that runs a service, from a function that returns its Spec. The function may use fixtures.

    The value of the fixture is a ``ThreadedService`` that is ready. Tests that use it fail at once when the service
    ends. At the end of the scope the service and its leftovers are stopped.

    A function with the argument ``service_folder`` gets the path of a folder for the service. The folder is made when
    the function has returned, and removed after the end of the service. All workers have the same folder for a shared
    service.

    Args:
        scope: The scope of the fixture.
        shared: Whether all workers of pytest-xdist share one service. The first worker starts it, the last one to leave
            stops it, and the value of the fixture is a ``SharedService``. Use named ports for shared services:
            ``free_port_factory("redis")``.
        when_dead: Treatment of later tests of the scope when the service has ended: ``"fail"`` fails them in their
            set-up, with who ended when; ``"restart"`` sets the fixture up again, and those that use it.
        prepare: A function that fills ``service_folder`` before the start, for example by ``initdb``. It is called with
            the path, and once for all workers that share the service.
        name: The name of the fixture. Default: the name of the function.
        autouse: Whether all tests use the fixture.
        **options: Options of ``ThreadedOverseer``. For a shared service they and ``prepare`` must be plain values or
            names at the top of a module, as they are sent to another process.

    Raises:
        pytest.UsageError: If ``when_dead`` is unknown, or is ``"restart"`` for a shared service; or if ``prepare`` is
            no plain function, or the function has no argument ``service_folder``.
    """
    if when_dead not in ("fail", "restart"):
        raise pytest.UsageError(f'service_fixture: when_dead={when_dead!r} is unknown: pass "fail" or "restart"')
    if shared and when_dead == "restart":
        raise pytest.UsageError(
            'service_fixture: when_dead="restart" is not possible with shared=True, as other workers use the service '
            "too: pass restart=Restart(...) to its Spec"
        )
    if prepare is not None and (not callable(prepare) or inspect.iscoroutinefunction(prepare)):
        raise pytest.UsageError(
            f"service_fixture: prepare={prepare!r} is no plain function: pass one that takes the path of the folder, "
            "such as `def initdb(folder): ...`"
        )

    def decorate(function: Callable[..., Spec]) -> Any:
        def serve(request: pytest.FixtureRequest, **fixtures: Any) -> Generator[ThreadedService | SharedService]:
            if takes_request:
                fixtures["request"] = request
            folder = None
            if takes_folder:
                identity = run_id(request.config) if shared else os.urandom(16).hex()
                name = f"{identity} {inspect.getfile(function)} {function.__qualname__}"
                folder = deferred.folders.ServiceFolder.named(name, prepare)
                fixtures["service_folder"] = folder.path
            spec = deferred.overseers.checked_spec(function.__name__, function(**fixtures))
            if shared:
                with deferred.shared.shared_service(request, spec, options, folder) as service:
                    yield service
            else:
                restarts = when_dead == "restart"
                with deferred.overseers.one_service(request, spec, options, folder, restarts=restarts) as service:
                    yield service

        signature = inspect.signature(function)
        takes_request = "request" in signature.parameters
        takes_folder = "service_folder" in signature.parameters
        if prepare is not None and not takes_folder:
            raise pytest.UsageError(
                f"service_fixture: {function.__name__!r} does not use the folder that prepare= fills: give it the "
                f"argument `service_folder`, as in `def {function.__name__}(service_folder: Path) -> Spec`"
            )
        own = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        given = ("request", "service_folder")
        others = [parameter for parameter in signature.parameters.values() if parameter.name not in given]
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
