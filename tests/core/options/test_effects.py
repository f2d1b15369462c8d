from __future__ import annotations

from aioverseer import SpecOptions
from aioverseer.core.options.effects import EFFECTS, IN_PLACE, NEXT_RUN, RESTART


def test_each_option_takes_effect_at_one_time() -> None:
    options = {*SpecOptions.__annotations__, "argv"}
    assert set(EFFECTS) == options, "add the option to one of the sets in core/options/effects.py, and to no other"
    assert len(IN_PLACE) + len(NEXT_RUN) + len(RESTART) == len(options), "an option stands in two sets"
