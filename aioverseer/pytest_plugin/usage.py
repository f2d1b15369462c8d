"""What the plugin has noted: who is in use, at the node of its scope: the test, its module, the session.

It is looked at for every test of every suite that has the plugin installed, so nothing of the library is imported in
here. No hook of pytest and no fixture either.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

__all__ = ["Section", "Watched", "forget_ended", "note", "note_failure", "watched_by"]

Section = tuple[str, str]
"""A title and a text, in the report of a test that has failed."""


@dataclass(slots=True, eq=False, kw_only=True)
class Watched:
    """One overseer of the plugin, or one service that several workers share.

    Attributes:
        fixture: The fixture that has made it.
        body: Makes the block that ends with what tests rely on; see ``Overseer.body``.
        sections: Says what is to be said of each service in a report.
        is_told: Whether a test has failed of it: its end need not be told again.
        has_ended: Whether it has been left.
    """

    fixture: str
    body: Callable[[], contextlib.AbstractContextManager[object]]
    sections: Callable[[], Iterable[Section]]
    is_told: bool = False
    has_ended: bool = False


_watched = pytest.StashKey[list[Watched]]()
_NONE: list[Watched] = []


def note(node: pytest.Item | pytest.Collector, watched: Watched) -> None:
    """Note it for all tests below a node."""
    node.stash.setdefault(_watched, []).append(watched)


def watched_by(item: pytest.Item) -> list[Watched]:
    """Return those that a test uses."""
    noted = [(node is item, watched) for node in item.listchain() for watched in node.stash.get(_watched, _NONE)]
    if not noted:
        return []
    # The request knows those too that were asked for by `getfixturevalue`; an item that is no function has none.
    request = getattr(item, "_request", item)
    names: list[str] = getattr(request, "fixturenames", [])
    return [watched for is_own, watched in noted if is_own or watched.fixture in names]


def note_failure(item: pytest.Item) -> None:
    """Take note that a test has failed: what ends of what it uses alone needs no second error."""
    for watched in item.stash.get(_watched, _NONE):
        watched.is_told = True


def forget_ended(item: pytest.Item) -> None:
    """Let go of those that have been left: pytest keeps every test until its end."""
    for node in item.listchain():
        if _watched in node.stash:
            node.stash[_watched] = [watched for watched in node.stash[_watched] if not watched.has_ended]
