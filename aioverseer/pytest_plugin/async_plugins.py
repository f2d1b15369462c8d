"""The fixture ``overseer`` for pytest-asyncio and for the plugin of anyio: an Overseer on the event loop of the test.

In pytest-asyncio a fixture gets its loop scope when it is made, so there is a fixture for each loop scope. The plugin
of anyio runs any async fixture of a test that is marked for it. Neither plugin is imported unless it is in use.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from aioverseer.pytest_plugin import deferred

if TYPE_CHECKING:
    from aioverseer import Overseer

__all__ = ["fixture_for", "register"]

_MODULE = "aioverseer.pytest_plugin.made"
"""The name under which the fixtures are registered."""

_SCOPES = ("function", "class", "module", "package", "session")


def register(config: pytest.Config) -> None:
    """Register a fixture for each loop scope of pytest-asyncio, and one for anyio, if these plugins are in use."""
    module = ModuleType(_MODULE)
    if config.pluginmanager.hasplugin("asyncio"):
        import pytest_asyncio  # noqa: PLC0415  # an extra, imported only if it is in use

        has_loop_scope = "loop_scope" in inspect.signature(pytest_asyncio.fixture).parameters
        for scope in _SCOPES if has_loop_scope else ("function",):
            options = {"loop_scope": scope} if has_loop_scope else {}
            # A new function for each scope, as pytest-asyncio stores the loop scope on the function.
            make: Any = pytest_asyncio.fixture
            setattr(module, _name(scope), make(name=_name(scope), **options)(_supervised()))
    if config.pluginmanager.hasplugin("anyio"):
        setattr(module, _name("anyio"), pytest.fixture(name=_name("anyio"))(_supervised()))
    config.pluginmanager.register(module, _MODULE)


def fixture_for(request: pytest.FixtureRequest) -> str:
    """Return the name of the fixture whose Overseer is on the event loop of the test.

    Raises:
        pytest.UsageError: If the test is not async, or its plugin has no such fixture.
    """
    item: pytest.Item = request.node
    config = request.config
    if item.get_closest_marker("anyio") is not None or "anyio_backend" in request.fixturenames:
        backend = str(request.getfixturevalue("anyio_backend_name"))
        if backend != "asyncio":
            raise pytest.UsageError(f"{item.nodeid}: the fixture overseer needs asyncio, this test runs on {backend}")
        return _name("anyio")
    marker = item.get_closest_marker("asyncio")
    if marker is None or not config.pluginmanager.hasplugin("asyncio"):
        raise pytest.UsageError(
            f"{item.nodeid}: the fixture overseer is for async tests, run by pytest-asyncio or marked for anyio; "
            "for this one use threaded_overseer or service_factory"
        )
    scope = marker.kwargs.get("loop_scope") or marker.kwargs.get("scope") or _default_scope(config)
    name = _name(scope)
    if not hasattr(config.pluginmanager.get_plugin(_MODULE), name):
        raise pytest.UsageError(
            f"{item.nodeid}: the fixture overseer needs pytest-asyncio 0.24 or later for loop scope {scope!r}; "
            "or use threaded_overseer, which has a loop of its own"
        )
    return name


def _default_scope(config: pytest.Config) -> str:
    try:
        return str(config.getini("asyncio_default_test_loop_scope") or "function")
    except ValueError:  # an old pytest-asyncio without this option
        return "function"


def _name(loop: str) -> str:
    return f"_aioverseer_on_{loop}"


def _supervised() -> Callable[..., AsyncGenerator[Overseer]]:
    async def run(request: pytest.FixtureRequest) -> AsyncGenerator[Overseer]:
        async with deferred.overseers.supervised(request) as overseer:
            yield overseer

    return run
