"""The benchmarks work, do their sums right, and the page in the docs is made of what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks.measure import BASE, OURS, Measure
from tests.benchmarks.report import MARKS, figures, plot, save, table, write_docs
from tests.benchmarks.runner import MEASURES, main, run

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
CHEAP = [
    m
    for m in MEASURES
    if m.key not in ("idle", "wakeups", "import", "import-overseer", "stall", "memory", "memory-pipes")
]


async def _nothing(_count: int) -> float:
    return 1.0


def measure(*, more_is_better: bool, must: float, aim: float) -> Measure:
    """A measure that is not run."""
    return Measure(
        key="key",
        title="title",
        unit="x",
        must=must,
        aim=aim,
        more_is_better=more_is_better,
        size=1,
        quick=1,
        contenders={BASE: _nothing, OURS: _nothing},
    )


def test_ratios_are_those_of_the_medians() -> None:
    """Of times where less is better, of speeds where more is; against both goals."""
    slower = measure(more_is_better=False, must=2, aim=1)
    values = {BASE: [1.0, 9.0, 2.0], OURS: [3.0, 4.0, 1.0], "other": [4.0]}
    assert {OURS: 1.5, "other": 2.0} == slower.result(values).ratios
    assert ["aim", "must", "missed"] == [slower.verdict(value) for value in (1, 2, 2.1)]
    faster = measure(more_is_better=True, must=2, aim=3)
    assert 2 / 3 == faster.result(values).value
    assert ["aim", "must", "missed"] == [faster.verdict(value) for value in (3, 2, 1.9)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("one", CHEAP, ids=lambda one: one.key)
def test_each_measure_runs_and_all_lines_arrive(one: Measure) -> None:
    """Small and once: how fast it is says nothing here."""
    result = run(one, rounds=1, quick=True)
    assert {*one.contenders} == {*result.medians}
    assert result.value >= 0


def test_the_command_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    """And refuses what it does not know."""
    assert 0 == main(["--only", "lost", "--quick", "--check"])
    assert "lines lost, changed or out of order" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])


def test_figures_become_a_table_and_a_plot(tmp_path: Path) -> None:
    """What was kept of one version stays when another is measured."""
    one = measure(more_is_better=True, must=2, aim=3)
    save(tmp_path / "performance", [one.result({BASE: [6.0], OURS: [2.0]})])
    (tmp_path / "performance" / "3.99.json").write_text('{"key": 1}')
    (tmp_path / "performance.md").write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    write_docs(tmp_path, [one])
    page = (tmp_path / "performance.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "| title | ≥ 2 | ≥ 3 | **3** | 1 (missed) |" in page
    ElementTree.fromstring((tmp_path / "performance" / "ratios.svg").read_text())


def test_the_page_in_the_docs_shows_what_was_kept() -> None:
    """Table and plot; run the benchmarks with --write to renew them."""
    known = figures(DOCS / "performance")
    assert {"3.11", "3.12", "3.13"} <= {*known}
    assert {measure.key for measure in MEASURES} == {*json.loads((DOCS / "performance" / "3.11.json").read_text())}
    assert table(MEASURES, known) in (DOCS / "performance.md").read_text()
    assert plot(MEASURES, known) == (DOCS / "performance" / "ratios.svg").read_text()
