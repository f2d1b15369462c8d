"""The figures as text: a line for each, and a table and a plot for the docs."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from tests.benchmarks.measure import OURS, Measure, Result

__all__ = ["plot", "save", "sentence", "table", "write_docs"]

MARKS = "<!-- figures -->", "<!-- end of figures -->"
Figures = Mapping[str, Mapping[str, float]]
"""The value of each measure, by the version of Python."""


def sentence(measure: Measure, result: Result) -> str:
    """Return the result of a measure as a line for a terminal."""
    others = ", ".join(f"{name} {ratio:.2f}" for name, ratio in result.ratios.items() if name != OURS)
    beside = f"   ({others})" if others else ""
    goals = f"must {measure.must:g}, aim {measure.aim:g}"
    verdict = measure.verdict(result.value)
    return f"{verdict:6} {result.value:9.2f} {measure.unit:8} {goals:20} {measure.title}{beside}"


def save(folder: Path, results: Sequence[Result]) -> None:
    """Write the values to the file of this version of Python; values of other measures stay."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{'.'.join(platform.python_version_tuple()[:2])}.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known |= {result.key: round(result.value, 3) for result in results}
    path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def figures(folder: Path) -> Figures:
    """Return all saved values, by version."""
    paths = sorted(folder.glob("*.json"), key=lambda path: [int(part) for part in path.stem.split(".")])
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def table(measures: Sequence[Measure], known: Figures) -> str:
    """Return the figures as a table in Markdown. Figures that reach the aim are bold, missed ones are marked."""
    rows = [
        f"| measure | must | aim | {' | '.join(f'Python {version}' for version in known)} |",
        "|---|---|---|" + "---|" * len(known),
    ]
    for measure in measures:
        sign = "≥" if measure.more_is_better else "≤"
        cells = [_cell(measure, values.get(measure.key)) for values in known.values()]
        unit = f" {measure.unit}" if measure.unit != "x" else ""
        rows.append(
            f"| {measure.title} | {sign} {measure.must:g}{unit} | {sign} {measure.aim:g}{unit} | {' | '.join(cells)} |"
        )
    return "\n".join(rows)


def _cell(measure: Measure, value: float | None) -> str:
    if value is None:
        return ""
    text = f"{value:.3g}"
    return {"aim": f"**{text}**", "must": text, "missed": f"{text} (missed)"}[measure.verdict(value)]


_WIDTH, _ROW, _LEFT = 900, 22, 430


def plot(measures: Sequence[Measure], known: Figures) -> str:
    """Return the ratios as an SVG, with a bar for each version.

    The length of a bar is the speed relative to bare asyncio; the line across it is the required value.
    """
    measures = [measure for measure in measures if measure.unit == "x"]
    speeds = {
        (measure.key, version): _speed(measure, values[measure.key])
        for measure in measures
        for version, values in known.items()
        if measure.key in values
    }
    most = max([*speeds.values(), *(_speed(measure, measure.must) for measure in measures), 1.0])
    scale = (_WIDTH - _LEFT - 60) / most
    bar = _ROW / (len(known) + 1)
    height = _ROW * len(measures) + 40
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif">']
    for row, measure in enumerate(measures):
        top = row * _ROW + 10
        parts.append(f'<text x="4" y="{top + 13}" font-size="11">{escape(measure.title)}</text>')
        for place, version in enumerate(known):
            if (measure.key, version) in speeds:
                width = speeds[measure.key, version] * scale
                shade = 90 + 110 * place // max(1, len(known))
                parts.append(
                    f'<rect x="{_LEFT}" y="{top + place * bar:.1f}" width="{width:.1f}" height="{bar:.1f}" '
                    f'fill="rgb(40,{shade},160)"><title>Python {version}: {speeds[measure.key, version]:.2f}'
                    "</title></rect>"
                )
        goal = _LEFT + _speed(measure, measure.must) * scale
        parts.append(f'<path d="M{goal:.1f} {top - 2}v{_ROW - 4}" stroke="crimson" stroke-width="2"/>')
    same = _LEFT + scale
    legend = (
        f'<text x="{_LEFT}" y="{height - 8}" font-size="11">speed beside bare asyncio (dashed: the same; red: must; '
        f"from above: Python {', '.join(known)})</text>"
    )
    parts += [
        f'<path d="M{same:.1f} 4V{height - 24}" stroke="gray" stroke-dasharray="3"/>',
        legend,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _speed(measure: Measure, value: float) -> float:
    return value if measure.more_is_better else 1 / value


def write_docs(docs: Path, measures: Sequence[Measure]) -> None:
    """Write the table between its marks in performance.md, and the plot to its file."""
    known = figures(docs / "performance")
    (docs / "performance" / "ratios.svg").write_text(plot(measures, known), encoding="utf-8")
    page = docs / "performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    page.write_text(f"{before}{MARKS[0]}\n{table(measures, known)}\n{MARKS[1]}{after}", encoding="utf-8")
