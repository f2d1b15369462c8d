"""Compare coverage with the list of known gaps: ``python gaps.py COVERAGE.json UNCOVERED.txt``.

A line of the list is ``path function: reason``; the function ``*`` stands for all of the file.
"""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any


def known_gaps(text: str) -> dict[tuple[str, str], str]:
    """Return the reasons by path and function."""
    gaps: dict[tuple[str, str], str] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            place, _, reason = line.partition(": ")
            path, function = place.split()
            if not reason.strip():
                raise SystemExit(f"no reason: {line}")
            gaps[path, function] = reason
    return gaps


def gaps_of(report: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return the lines and branches that no test reaches, by path and function."""
    found: dict[tuple[str, str], str] = {}
    for path, file in report["files"].items():
        for function, region in file["functions"].items():
            lines = [str(line) for line in region["missing_lines"]]
            missing = set(region["missing_lines"])
            branches = [
                f"{begin}->{end if end > 0 else 'exit'}"
                for begin, end in region["missing_branches"]
                if begin not in missing
            ]
            if lines or branches:
                found[path, function or "<module>"] = " ".join(lines + branches)
    return found


def main() -> int:
    """Print gaps that are not listed, and entries without a gap; return 1 when there are such gaps."""
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    listed = known_gaps(Path(sys.argv[2]).read_text(encoding="utf-8"))
    found = gaps_of(report)
    used: set[tuple[str, str]] = set()
    unlisted = 0
    for (path, function), where in sorted(found.items()):
        entries = [entry for entry in listed if entry[0] == path and fnmatchcase(function, entry[1])]
        used.update(entries)
        if not entries:
            unlisted += 1
            print(f"not listed: {path} {function}: {where}")
    for path, function in sorted(set(listed) - used):
        print(f"covered by now: {path} {function}")
    totals = report["totals"]
    print(
        f"{totals['percent_covered']:.1f} % of lines and branches: {totals['missing_lines']} of "
        f"{totals['num_statements']} lines and {totals['missing_branches']} of {totals['num_branches']} branches are "
        f"not reached, in {len(found)} functions, {unlisted} of them not listed"
    )
    return 1 if unlisted else 0


sys.exit(main())
