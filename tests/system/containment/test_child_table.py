"""The table of children that the guardian reads: full, and freed again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aioverseer._system.containment.guardian import child_table
from aioverseer._system.containment.guardian.child_table import ChildTable, boot_time


@pytest.fixture(name="table")
def table_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChildTable]:
    """A table with room for two children."""
    monkeypatch.setattr(child_table, "SLOTS", 3)
    table = ChildTable()
    yield table
    table.close()


def test_child_without_room_has_no_slot(table: ChildTable) -> None:
    """The guardian finds it by its session and its mark alone; its removal changes nothing."""
    assert [1, 2, 0] == [table.add(pid, boot_time()) for pid in (11, 12, 13)]
    table.remove(0)
    assert 0 == table.add(14, boot_time())


def test_freed_slot_is_used_again(table: ChildTable) -> None:
    """Slots are not a number of starts but of live children."""
    for pid in (11, 12):
        table.add(pid, boot_time())
    table.remove(1)
    assert 1 == table.add(13, boot_time())
