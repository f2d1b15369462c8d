"""Numbers of things agree with their nouns."""

from __future__ import annotations

import pytest

from aioverseer.core.text.counted import counted


@pytest.mark.parametrize(("n", "said"), [(0, "0 lines are"), (1, "1 line is"), (2, "2 lines are")])
def test_noun_and_verb_agree(n: int, said: str) -> None:
    """One thing is, all other numbers are."""
    assert said == counted(n, "line", verb=True)
    assert said.rpartition(" ")[0] == counted(n, "line")
