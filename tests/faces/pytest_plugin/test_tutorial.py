"""The step of the tutorial in which a test fails, and what is printed there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "tutorial" / "testing.md"


def test_failing_step_of_the_tutorial_prints_what_the_page_says(suite: pytest.Pytester) -> None:
    """Apart from numbers, and from the widths of lines and spaces."""
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
