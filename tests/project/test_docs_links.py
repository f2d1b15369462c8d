"""Links of README.md, CHANGELOG.md and docs/: each leads somewhere, and each page can be reached from docs/index.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INDEX = Path("docs/index.md")

FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|~{3,}).*?^[ \t]*(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)", re.DOTALL)
LINK = re.compile(r"\[(?:[^][]|\[[^][]*\])*\]\(\s*<?(?P<target>[^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)", re.DOTALL)
HEADING = re.compile(r"^#{1,6}[ \t]+(?P<text>.+?)[ \t#]*$", re.MULTILINE)
ANCHOR = re.compile(r"<a\s+(?:id|name)=\"(?P<name>[^\"]+)\"")
PATH = re.compile(r"`(?P<path>(?:aioverseer|core|_engine|_system|_aio|tests|docs|\.ci)/[\w./-]*)(?:::\w+)?`")
"""A file or a folder of the project, as pages name it: those of the package without its name."""
EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:|//")


def pages() -> list[Path]:
    """Return the Markdown files for readers, relative to the root of the project."""
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page.relative_to(ROOT) for page in found]


def links(text: str) -> list[str]:
    """Return the targets of all links of a page, without links to other sites."""
    prose = CODE.sub("`code`", FENCE.sub("", text))
    targets = [match["target"] for match in LINK.finditer(prose)]
    return [target for target in targets if not EXTERNAL.match(target)]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page: its headings as GitHub names them, and its ``<a id="...">``."""
    prose = FENCE.sub("", text)
    names = {match["name"] for match in ANCHOR.finditer(prose)}
    for match in HEADING.finditer(prose):
        heading = re.sub(r"\[([^][]*)\]\([^)]*\)", r"\1", match["text"])
        name = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        numbered, count = name, 0
        while numbered in names:
            count += 1
            numbered = f"{name}-{count}"
        names.add(numbered)
    return names


def resolve(page: Path, target: str) -> tuple[Path, str]:
    """Return the file and the anchor of a relative link."""
    path, _, anchor = target.partition("#")
    if not path:
        return page, anchor
    return (ROOT / page.parent / path).resolve().relative_to(ROOT.resolve()), anchor


def problem(page: Path, target: str) -> str:
    """Return what is wrong with a link; empty for a good one."""
    try:
        path, anchor = resolve(page, target)
    except ValueError:
        return f"{target}: outside of the project"
    if not (ROOT / path).exists():
        return f"{target}: no such file"
    if anchor and path.suffix == ".md" and anchor not in anchors((ROOT / path).read_text(encoding="utf-8")):
        return f"{target}: no such heading"
    return ""


@pytest.mark.parametrize("page", pages(), ids=str)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Relative links point at files that exist, and at headings that their pages have."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [] == [told for target in links(text) if (told := problem(page, target))]


@pytest.mark.parametrize("page", pages(), ids=str)
def test_files_that_a_page_names_exist(page: Path) -> None:
    """A file that was renamed must be renamed on the pages, too."""
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    named = sorted({match["path"] for match in PATH.finditer(text)})
    roots = (ROOT, ROOT / "aioverseer")
    assert [] == [path for path in named if not any((root / path).exists() for root in roots)]


def test_each_page_can_be_reached_from_the_index() -> None:
    """A reader who begins at docs/index.md can get to every page."""
    reached: set[Path] = set()
    ahead = [INDEX]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md" or not (ROOT / page).is_file():
            continue
        reached.add(page)
        ahead += [resolve(page, target)[0] for target in links((ROOT / page).read_text(encoding="utf-8"))]
    docs = [page for page in pages() if page.parts[0] == "docs"]
    assert [] == [str(page) for page in docs if page not in reached]


def test_the_readme_leads_to_the_index() -> None:
    """The README is where readers begin."""
    readme = Path("README.md")
    assert INDEX in [resolve(readme, target)[0] for target in links((ROOT / readme).read_text(encoding="utf-8"))]


def test_links_are_read_as_a_browser_reads_them() -> None:
    """Links in code are text, and links to other sites are not checked."""
    text = (
        "[a](b.md) [wrapped\nlines](c.md#d) `[code](e.md)` [out](https://example.org) [mail](mailto:me@example.org)\n"
        "```python\n[fenced](f.md)\n```\n[`ticks` inside](g.md)\n![picture](h.svg)\n"
    )
    assert ["b.md", "c.md#d", "g.md", "h.svg"] == links(text)


def test_anchors_are_those_of_the_headings() -> None:
    """Anchors are made as GitHub makes them, and a repeated heading gets a number."""
    text = "# How to `stop()`: it, & more\n```sh\n# no heading\n```\n## Twice\n## Twice\n## A [link](b.md)\n"
    assert {"how-to-stop-it--more", "twice", "twice-1", "a-link"} == anchors(text)
