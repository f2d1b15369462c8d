"""The step of the tutorial that shows a failing test and its output."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "tutorial" / "testing.md"


def test_output_of_the_failing_step_is_that_of_the_page(suite: pytest.Pytester) -> None:
    """Numbers, spaces and widths of lines may differ."""
    step = PAGE.read_text(encoding="utf-8").partition("## 4. See it fail")[2]
    blocks = dict(re.findall(r"^```(python|text)\n(.*?)^```$", step.partition("\n## ")[0], re.MULTILINE | re.DOTALL))
    suite.makepyfile(test_shout=blocks["python"])
    result = suite.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    expected = [
        re.sub(r"\.\.\.|\d+\.\d+|-{4,}|\s+", "*", line).replace("[", "[[]") + "*"
        for line in blocks["text"].splitlines()
    ]
    assert len(expected) > 10
    result.stdout.fnmatch_lines(expected)
