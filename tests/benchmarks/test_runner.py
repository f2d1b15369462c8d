"""Benchmarks run, their arithmetic is right, and the page in the docs shows the saved figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks.against import Comparison, Sample, Tree, rows
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
    """Return a measure for arithmetic alone."""
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


def test_ratios_compare_medians() -> None:
    """Times are compared where less is better, speeds where more is."""
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
    """Small jobs, once: their speed says nothing."""
    result = run(one, rounds=1, quick=True)
    assert {*one.contenders} == {*result.medians}
    assert result.value >= 0


def test_command_prints_results_and_refuses_unknown_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["--only", "lost", "--quick", "--check"])
    assert "lines lost, changed or out of order" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])


def test_figures_become_a_table_and_a_plot(tmp_path: Path) -> None:
    """Figures of one version stay when another version is measured."""
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


def test_page_in_the_docs_shows_the_saved_figures() -> None:
    """Run the benchmarks with --write to renew table and plot."""
    known = figures(DOCS / "performance")
    assert {"3.11", "3.12", "3.13"} <= {*known}
    assert {measure.key for measure in MEASURES} == {*json.loads((DOCS / "performance" / "3.11.json").read_text())}
    assert table(MEASURES, known) in (DOCS / "performance.md").read_text()
    assert plot(MEASURES, known) == (DOCS / "performance" / "ratios.svg").read_text()


def test_comparison_counts_cpu_time_and_leaves_out_noise() -> None:
    """Short CPU times and small values say nothing; a row then has no ratio, or that of the values."""
    trees = [Tree("old", DOCS), Tree("new", DOCS)]
    one = measure(more_is_better=True, must=2, aim=3)

    def of(one: Measure, *samples: tuple[float, float]) -> Comparison:
        return Comparison(measure=one, best=[Sample(*pair) for pair in samples])

    by_cpu = of(one, (1.0, 0.5), (9.0, 0.25))
    by_value = of(one, (1.0, 0.5), (2.0, 0.001))
    noise = of(replace(one, unit="ms"), (1.5, 0), (-0.2, 0))
    assert [0.5, 2.0, None] == [each.ratio(1) for each in (by_cpu, by_value, noise)]
    *_, last = rows(trees, iter([by_cpu, by_value, noise]))
    assert last.endswith("new 1.000 (2 measures)")


@pytest.mark.timeout(60)
def test_trees_are_compared_in_fresh_processes(capsys: pytest.CaptureFixture[str]) -> None:
    """A tree that has no package is refused."""
    assert 0 == main(["--against", str(DOCS.parent), "--only", "threads", "--quick", "--rounds", "1"])
    out = capsys.readouterr().out.splitlines()
    assert out[1].split()[:4] == ["threads", "threads", "1", "1"]
    assert "geometric mean" in out[-1]
    with pytest.raises(SystemExit):
        main(["--against", str(DOCS)])
