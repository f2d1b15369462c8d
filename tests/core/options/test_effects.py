from __future__ import annotations

from pathlib import Path

import pytest

from aioverseer import SpecOptions
from aioverseer.core.options.effects import EFFECTS, IN_PLACE, NEXT_RUN, RESTART


def test_each_option_takes_effect_at_one_time() -> None:
    options = {*SpecOptions.__annotations__, "argv"}
    assert set(EFFECTS) == options, "add the option to one of the sets in core/options/effects.py, and to no other"
    assert len(IN_PLACE) + len(NEXT_RUN) + len(RESTART) == len(options), "an option stands in two sets"


PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "change-sets.md"


@pytest.mark.parametrize("effect", ["in place", "next run", "restart"])
def test_page_has_the_table(effect: str) -> None:
    names = (f"`{'command' if name == 'argv' else name}`" for name, each in sorted(EFFECTS.items()) if each == effect)
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {effect}: "))
    assert row.split("|")[2].strip() == ", ".join(names), f"write them into {PAGE.name}"
