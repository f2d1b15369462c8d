"""Records which services are in use, at the pytest node of their scope: a test, its module, the session.

The hooks read these records for every test, so this module imports nothing of the library.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

__all__ = ["Section", "UsedServices", "forget_closed", "record", "record_failure", "used_by"]

Section = tuple[str, str]
"""Title and text of a section in the report of a failed test."""


def _do_nothing(_error: BaseException) -> None:
    pass


@dataclass(slots=True, eq=False, kw_only=True)
class UsedServices:
    """The services of one fixture: those of an overseer, or one service that several workers share.

    Attributes:
        fixture: The name of the fixture.
        body: Factory of the context manager that ends with a critical service; see ``Overseer.body``.
        sections: Factory of the sections of a report, one for each service.
        await_ends: Function that waits until ends of programs that have happened are known, given the error of a test.
            It must not be called on the event loop of the services.
        restarts: Whether the fixture is set up again for the next test when a service has ended.
        is_reported: Whether a test has failed because of a service. The fixture then raises no second error.
        is_closed: Whether the scope of the fixture is over.
    """

    fixture: str
    body: Callable[[], contextlib.AbstractContextManager[object]]
    sections: Callable[[], Iterable[Section]]
    await_ends: Callable[[BaseException], None] = _do_nothing
    restarts: bool = False
    is_reported: bool = False
    is_closed: bool = False


_used = pytest.StashKey[list[UsedServices]]()
_NONE: list[UsedServices] = []


def record(node: pytest.Item | pytest.Collector, services: UsedServices) -> None:
    """Record services for all tests below a node."""
    node.stash.setdefault(_used, []).append(services)


def used_by(item: pytest.Item) -> list[UsedServices]:
    """Return the services that a test uses."""
    found = [(node is item, services) for node in item.listchain() for services in node.stash.get(_used, _NONE)]
    if not found:
        return []
    # Unlike the item, its request also knows fixtures from `getfixturevalue`. Items of other kinds have no request.
    request = getattr(item, "_request", item)
    names: list[str] = getattr(request, "fixturenames", [])
    return [services for is_own, services in found if is_own or services.fixture in names]


def record_failure(item: pytest.Item) -> None:
    """Record that a test has failed: the end of services of its own raises no second error."""
    for services in item.stash.get(_used, _NONE):
        services.is_reported = True


def forget_closed(item: pytest.Item) -> None:
    """Remove services whose scope is over, as pytest keeps all tests in memory until the end of the run."""
    for node in item.listchain():
        if _used in node.stash:
            node.stash[_used] = [services for services in node.stash[_used] if not services.is_closed]
