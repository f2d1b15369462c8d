"""Fixtures that users make in a line or two: a server for a test, a module or a whole session, or an overseer.

All of them run in a thread of their own, because the loop of async tests stands still between them, and a server that
writes to a pipe meanwhile must not wait. They are made when a ``conftest.py`` is imported, so nothing in here imports
the library before a test asks for one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from aioverseer import Spec, ThreadedOverseer, ThreadedService
    from aioverseer.pytest_plugin.shared import SharedService

__all__ = ["overseer_fixture", "service_fixture"]

Scope = Literal["function", "class", "module", "package", "session"]


def service_fixture(
    *, scope: Scope = "function", shared: bool = False, name: str | None = None, autouse: bool = False, **options: Any
) -> Any:
    """Make a fixture that runs a service, of a function that returns its Spec; the function may ask for fixtures.

    The fixture's value is a ``ThreadedService`` that is ready. The tests that use it fail at once when it ends. When
    the scope is over it is stopped, and nothing of it is left.

    Args:
        scope: How long it runs.
        shared: Whether all workers of pytest-xdist share one, which the first starts and the last to leave stops; the
            fixture's value is a ``SharedService`` then. Use ports with names: ``free_port_factory("redis")``.
        name: The name of the fixture; by default that of the function.
        autouse: Whether all tests use it.
        **options: As for ``ThreadedOverseer``. Those of a shared one go to another process, which can import what
            stands at the top of a module, and nothing else.
    """

    def decorate(function: Callable[..., Spec]) -> Any:
        def serve(request: pytest.FixtureRequest, **given: Any) -> Generator[ThreadedService | SharedService]:
            if asks:
                given["request"] = request
            spec = _checked(function.__name__, function(**given))
            if shared:
                from aioverseer.pytest_plugin.shared import shared_service  # noqa: PLC0415  # see the module

                with shared_service(request, spec, options) as service:
                    yield service
                return
            from aioverseer.pytest_plugin.overseers import (  # noqa: PLC0415
                relied_on,  # see the module
                threaded,  # see the module
            )

            with threaded(request, own=True, **options) as overseer:
                yield overseer.add(relied_on(spec)).start()

        signature = inspect.signature(function)
        asks = "request" in signature.parameters
        own = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        others = [parameter for parameter in signature.parameters.values() if parameter.name != "request"]
        serve.__signature__ = inspect.Signature([own, *others])  # type: ignore[attr-defined]  # what pytest reads
        serve.__name__, serve.__doc__, serve.__module__ = function.__name__, function.__doc__, function.__module__
        return pytest.fixture(scope=scope, name=name, autouse=autouse)(serve)

    return decorate


def overseer_fixture(*, scope: Scope = "function", name: str | None = None, **options: Any) -> Any:
    """Make a fixture whose value is a ThreadedOverseer.

    ``databases = overseer_fixture(scope="module")`` is all that it takes.

    Args:
        scope: How long it is in use; what it runs is stopped then.
        name: The name of the fixture; by default that of the variable.
        **options: As for ``ThreadedOverseer``.
    """

    def run(request: pytest.FixtureRequest) -> Generator[ThreadedOverseer]:
        """Run an overseer in a thread of its own."""
        from aioverseer.pytest_plugin.overseers import threaded  # noqa: PLC0415  # see the module

        with threaded(request, **options) as overseer:
            yield overseer

    return pytest.fixture(scope=scope, name=name)(run)


def _checked(name: str, spec: object) -> Spec:
    from aioverseer import Spec  # noqa: PLC0415  # see the module

    if not isinstance(spec, Spec):
        raise pytest.UsageError(
            f"the service fixture {name!r} has returned {spec!r}: return a Spec, for example "
            'Spec.of("web", ["nginx"], ready=ready.tcp(8000))'
        )
    return spec
