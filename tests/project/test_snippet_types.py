"""The check of the types of snippets sees each of them, and reports the line of the page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.project.snippet_types import check, extract

PAGE = """
```python
x: int = 1
```
<!-- continues -->
```python
x.real_part
```
<!-- not run: it needs a server -->
```python
y: str = 2
```
<!-- tests: needs nosuchpackage nosuchprogram -->
```python
import nosuchpackage.part
```
<!-- tests: needs nosuchprogram -->
```python
def test_it(port): ...
```
```sh
exit
```
"""


def test_a_snippet_is_left_out_only_for_what_it_imports(tmp_path: Path) -> None:
    """A program that is missing does not matter, nor a block that does not run."""
    found = extract({"page.md": PAGE}, tmp_path)
    assert ["page.md:15: nosuchpackage is not installed"] == found.left_out
    assert {file.name for file in tmp_path.iterdir()} == set(found.sources)
    assert [3, 11, 19] == sorted(int(file.removesuffix(".py").rpartition("_")[2]) for file in found.sources)


@pytest.mark.skipif(
    find_spec("mypy") is None or find_spec("pyright") is None, reason="mypy and pyright are not installed"
)
@pytest.mark.timeout(120)
def test_both_programs_report_by_page_and_line(tmp_path: Path) -> None:
    """Also in a part that continues, and in a block that does not run."""
    errors, _ = check({"page.md": PAGE}, tmp_path)
    assert {(line, name) for line in (7, 11, 19) for name in ("mypy", "pyright")} == {
        (int(error.split(":")[1]), error.rpartition("(")[2].rstrip(")")) for error in errors
    }
