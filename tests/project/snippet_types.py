"""Types of every snippet of README.md and docs/, and of docs/examples: run this file to check them.

mypy and pyright run over all of them at once, with the settings of pyproject.toml, and report errors by page and line.
A snippet is left out, and named, when it needs a package that is not installed or has no types.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.project.test_docs import Snippet, pages, snippets  # noqa: E402  # found by the line above

EXAMPLES = ROOT / "docs" / "examples"
OF_MYPY = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+): error: (?P<text>.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """The snippets as files of one folder.

    Attributes:
        sources: Page of each file, by the name of the file.
        left_out: Snippets without a file, each with the reason.
    """

    sources: dict[str, str]
    left_out: list[str]


def untyped(snippet: Snippet) -> list[str]:
    """Return why a snippet cannot be checked: no Python, or packages without types."""
    try:
        tree = ast.parse(snippet.code)
    except SyntaxError as error:  # a part of a program; if it is to run, test_docs.py fails
        return [f"line {error.lineno} does not parse"]
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    needed = set(snippet.needs) & {name.partition(".")[0] for name in imported}
    return [why for name in sorted(needed) if (why := _without_types(name))]


def _without_types(package: str) -> str:
    spec = find_spec(package)
    if spec is None:
        return f"{package} is not installed"
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    stubs = find_spec(f"{package}-stubs") is not None
    return "" if stubs or any((place / "py.typed").exists() for place in places) else f"{package} has no types"


def extract(texts: dict[str, str], folder: Path) -> Extracted:
    """Write the Python snippets of pages into a folder, each line at its number in the page.

    Args:
        texts: Text of each page, by its name.
        folder: An empty folder.
    """
    found = Extracted(sources={}, left_out=[])
    for page, text in texts.items():
        for snippet in snippets(page, text):
            if snippet.language not in {"python", "pytest"}:
                continue
            if reasons := untyped(snippet):
                found.left_out.append(f"{page}:{snippet.line}: {', '.join(reasons)}")
                continue
            file = re.sub(r"\W", "_", f"snippet {page} {snippet.line}") + ".py"
            (folder / file).write_text(snippet.code, encoding="utf-8")
            found.sources[file] = page
    return found


def mypy(folder: Path) -> Iterator[tuple[str, int, str]]:
    """Yield the errors of mypy: file, line and text."""
    command = ["mypy", "--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary", "--hide-error-context"]
    printed = _run([*command, *sorted(file.name for file in folder.glob("*.py"))], folder)
    yield from ((error["file"], int(error["line"]), error["text"]) for error in OF_MYPY.finditer(printed))


def pyright(folder: Path) -> Iterator[tuple[str, int, str]]:
    """Yield the errors of pyright: file, line and text."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pyright"]
    del settings["executionEnvironments"]  # settings of the tests; a snippet gets those of the package
    settings["include"] = ["."]
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    printed = _run(["pyright", "--outputjson", "--pythonpath", sys.executable, "--project", "."], folder)
    for error in json.loads(printed)["generalDiagnostics"]:
        text = f"{' '.join(error['message'].split())} [{error.get('rule', 'error')}]"
        yield Path(error["file"]).name, error["range"]["start"]["line"] + 1, text


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:  # 1: it has found errors
        raise RuntimeError(f"{command[0]} has failed with code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def check(texts: dict[str, str], folder: Path) -> tuple[list[str], Extracted]:
    """Return the errors of both programs, by page and line, and the snippets that were checked."""
    found = extract(texts, folder)
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda program: list(program(folder)), (mypy, pyright)))
    errors = [
        f"{found.sources.get(file, f'docs/examples/{file}')}:{line}: {text} ({name})"
        for name, said in zip(("mypy", "pyright"), both, strict=True)
        for file, line, text in said
    ]
    return sorted(set(errors)), found


def main() -> int:
    """Check all snippets, print what was found, and return the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for example in EXAMPLES.glob("*.py"):
            shutil.copy(example, folder)
        texts = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in pages()}
        errors, found = check(texts, folder)
    for line in found.left_out:
        print(f"not checked: {line}")
    for line in errors:
        print(line)
    print(f"{len(found.sources)} snippets, {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
