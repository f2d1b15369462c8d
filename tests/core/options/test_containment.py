"""Sentences about processes that were left behind."""

from __future__ import annotations

import pytest

from aioverseer import Survivor
from aioverseer.core.options.containment import left_behind

FOLDER = "/opt/a/folder/whose/name/takes/more/than/sixty/characters/of/a/sentence"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/usr/bin/redis-server *:6379", "/usr/bin/redis-server *:6379"),
        (f"{FOLDER}/bin/python -m app", "python -m app"),
        (f"{FOLDER}/app", "app"),
        (f"app {FOLDER}/data/file", f"app {FOLDER}"[:57] + "..."),
        ("redis-server: " + "x" * 60, ("redis-server: " + "x" * 60)[:57] + "..."),
    ],
)
def test_long_command_loses_its_folder_before_its_end(command: str, said: str) -> None:
    """A long path would hide the name of the program."""
    assert f"1 process behind: pid 4 ({said})" == left_behind([Survivor(pid=4, command=command)])
