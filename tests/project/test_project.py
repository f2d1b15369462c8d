"""The project itself: its version, its public names, its files."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import aioverseer

ROOT = Path(__file__).parents[2]

TOP_LEVEL = {"CHANGELOG.md", "LICENSE", "README.md", "aioverseer", "docs", "pyproject.toml", "tests"}
"""And dot-files."""
GENERATED = {"__pycache__", "build", "dist", "htmlcov"}

MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:work|root|tmp/w)/")
"""A folder of the machine on which somebody wrote this."""


def project_files() -> list[str]:
    """The files of the project, new ones too: as git sees them, else as they lie (an unpacked sdist)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    return [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(
            part.startswith(".") or part in GENERATED or part.endswith(".egg-info")
            for part in path.relative_to(ROOT).parts
        )
    ]


def test_the_version_is_the_same_everywhere() -> None:
    """The package and the project file agree, and the changelog has a place for what comes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == aioverseer.__version__
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_public_names_are_sorted_once_and_exist() -> None:
    """Constants, classes, then the rest, as ruff sorts them."""

    def rank(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2), name

    names = list(aioverseer.__all__)
    assert sorted(set(names), key=rank) == names
    assert [] == [name for name in names if not hasattr(aioverseer, name)]


def test_public_classes_and_functions_are_documented() -> None:
    """With a text of their own: neither inherited nor made by dataclass."""
    undocumented = []
    for name in aioverseer.__all__:
        value = getattr(aioverseer, name)
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            text = (vars(value).get("__doc__") or "").strip()
            if not text or text.startswith((f"{name}(", "An enumeration.")):
                undocumented.append(name)
    assert undocumented == []


def test_the_top_level_holds_nothing_else() -> None:
    """The package, its tests and docs, and the files that every project has."""
    entries = {name.partition("/")[0] for name in project_files()}
    assert {entry for entry in entries if not entry.startswith(".")} <= TOP_LEVEL


def test_no_file_names_a_folder_of_the_machine() -> None:
    """What is written down is true on every machine."""
    found = []
    for name in project_files():
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        found += [
            f"{name}:{number}: {line.strip()}"
            for number, line in enumerate(text.splitlines(), 1)
            if MACHINE_PATH.search(line)
        ]
    assert found == []


def test_the_machine_path_rule_can_fail() -> None:
    """It sees the folder at the start of a path, not in the middle of a link or of another path."""
    assert MACHINE_PATH.search("see /" + "work/main")
    assert MACHINE_PATH.search('"/' + 'root/.cache"')
    assert not MACHINE_PATH.search("https://example.org/" + "work/main and a/" + "root/b")


def test_windows_is_refused_with_a_sentence() -> None:
    """The import says what is missing and what to use, before anything else can fail."""
    code = "import sys; sys.platform = 'win32'; import aioverseer"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "ImportError: aioverseer needs" in outcome.stderr.splitlines()[-1]
    assert "WSL" in outcome.stderr
