"""Text that is escaped for our file is read as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer.config.convert.escapes import escaped
from aioverseer.config.procfile import read_procfile
from aioverseer.core.options.placeholders import expand


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("echo $HOME", "echo $HOME"),
        ("echo ${HOME}", "echo $${HOME}"),
        ("pid $$", "pid $$$"),
        ("{id} {run} {x}", "{{id}} {{run}} {x}"),
        ("awk {print}", "awk {print}"),
        ("{{id}}", "{{{id}}}"),
    ],
)
def test_what_our_file_would_replace_is_escaped(text: str, ours: str) -> None:
    assert escaped(text) == ours


@given(st.lists(st.sampled_from(["$", "{", "}", "$$", "${A}", "{id}", "{{run}}", "x"])).map("".join))
def test_an_escaped_text_is_read_as_it_was(text: str) -> None:
    quoted = "'" + escaped(text) + "'"
    (spec,) = read_procfile(f"web: echo {quoted}", path="Procfile", environ={"A": "no"})
    assert expanded(spec.argv[1]) == text


def expanded(text: str) -> str:
    """Return a text with the placeholders of an instance replaced, as its run gets it."""
    return expand(text, {"id": "no", "run": "no"})
