"""The kinds of async tests: which plugin runs a test, and on which event loop, so that its Overseer lives on that one.

pytest-asyncio gives its fixtures a loop scope when they are made, so there is one for each; anyio's plugin takes any
async fixture of a test that is marked for it. Both are asked for by name; neither is imported unless it is in use,
and nothing of the library before a test has asked.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aioverseer import Overseer

__all__ = ["fixture_for", "register"]

_SCOPES = ("function", "class", "module", "package", "session")


def register(config: pytest.Config) -> None:
    """Add a fixture for each kind of async tests that there can be in this run."""
    made = ModuleType("aioverseer.pytest_plugin.made")
    if config.pluginmanager.hasplugin("asyncio"):
        import pytest_asyncio  # noqa: PLC0415  # only where it is in use

        scoped = "loop_scope" in inspect.signature(pytest_asyncio.fixture).parameters
        for scope in _SCOPES if scoped else ("function",):
            options = {"loop_scope": scope} if scoped else {}
            # A function of its own for each: pytest-asyncio writes the loop scope on it.
            make: Any = pytest_asyncio.fixture
            setattr(made, _name(scope), make(name=_name(scope), **options)(_supervised()))
    if config.pluginmanager.hasplugin("anyio"):
        setattr(made, _name("anyio"), pytest.fixture(name=_name("anyio"))(_supervised()))
    config.pluginmanager.register(made, made.__name__)


def fixture_for(request: pytest.FixtureRequest) -> str:
    """Return the name of the fixture that makes an Overseer on the event loop of the test.

    Raises:
        pytest.UsageError: When the test is not async, or its plugin cannot do it.
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
    if not hasattr(config.pluginmanager.get_plugin("aioverseer.pytest_plugin.made"), name):
        raise pytest.UsageError(
            f"{item.nodeid}: the fixture overseer needs pytest-asyncio 0.24 or later for loop scope {scope!r}; "
            "or use threaded_overseer, which has a loop of its own"
        )
    return name


def _default_scope(config: pytest.Config) -> str:
    try:
        return str(config.getini("asyncio_default_test_loop_scope") or "function")
    except ValueError:  # a pytest-asyncio that does not know it yet
        return "function"


def _name(kind: str) -> str:
    return f"_aioverseer_on_{kind}"


def _supervised() -> Callable[..., AsyncGenerator[Overseer]]:
    async def run(request: pytest.FixtureRequest) -> AsyncGenerator[Overseer]:
        from aioverseer.pytest_plugin.overseers import supervised  # noqa: PLC0415  # see the module

        async with supervised(request) as overseer:
            yield overseer

    return run
