"""Files that were changed at random are read, or refused by an error that names them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import SpecError
from aioverseer.config.convert import read
from tests.support.conversions import files_of

KINDS = ("supervisord", "circus", "systemd")
TEXTS = {kind: [path.read_text(encoding="utf-8") for path in files_of(kind)] for kind in KINDS}
NAMES = {"supervisord": "a.conf", "circus": "a.ini", "systemd": "a@.service"}
PIECES = st.sampled_from(
    "% %( %(ENV_A)s %(process_num)03d %(process_num)x %(here)f ${ $(circus.env.x) ((circus.wid)) ' \" \\ \\x4 \\P ; "
    "# \0 é {index} { 99999999999999999999 -1 = [ ] infinity nan 1e9 %i @ ! \n \n\n \t".split(" ")
)
CHANGES = st.lists(st.tuples(st.integers(0, 5000), st.sampled_from([0, 1, 5, 30]), PIECES), min_size=1, max_size=6)


@pytest.mark.parametrize("kind", KINDS)
@given(number=st.integers(0, 6), changes=CHANGES)
def test_any_text_is_read_or_refused(kind: str, number: int, changes: list[tuple[int, int, str]]) -> None:
    text = TEXTS[kind][number]
    for place, removed, piece in changes:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + removed :]
    problem = NAMES[kind]
    try:
        read(text, kind=kind, path=NAMES[kind])
    except SpecError as error:
        problem = str(error)
    assert NAMES[kind] in problem
