"""Each row of ``docs/how-to/file-options.md`` says the same in Python and in TOML."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

import aioverseer
from aioverseer import Spec, framing, listen, ready
from aioverseer.config import load

PAGE = Path(__file__).parents[3] / "docs/how-to/file-options.md"
ROW = re.compile(r"^\| `(?P<option>\w+)` \| `(?P<python>[^`]+)` \| `(?P<toml>[^`]+)` \|$", re.MULTILINE)
ROWS = [found.groups() for found in ROW.finditer(PAGE.read_text(encoding="utf-8"))]
NAMES = {name: getattr(aioverseer, name) for name in aioverseer.__all__} | {
    "Path": Path,
    "framing": framing,
    "listen": listen,
    "ready": ready,
    "signal": signal,
}


@pytest.mark.parametrize(("option", "python", "toml"), ROWS)
def test_both_forms_are_equal(option: str, python: str, toml: str, tmp_path: Path) -> None:
    value: Any = eval(python, dict(NAMES))
    options: dict[str, Any] = {"cwd": str(tmp_path), option: value}
    if option in ("port", "roll"):  # they are of a service with instances
        options["instances"] = 2
        toml += "\ninstances = 2"
    path = tmp_path / "aioverseer.toml"
    path.write_text(
        f'[services.a]\ncommand = ["a"]\n{toml}\n'
        + "".join(f'[services.{name}]\ncommand = ["b"]\n' for name in ("db", "redis", "migrate")),
        encoding="utf-8",
    )
    assert load(str(path)).specs[0] == Spec.of("a", ["a"], **options)


def test_each_row_of_the_page_is_read() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(lines) == len(ROWS) > 50
