"""Snippets of README.md and docs/: each one runs, and prints the output that the page shows.

A Markdown comment alone on its line says how the fenced block after it is used:

- no comment: a ``python`` block runs as a script of its own, in a copy of docs/examples;
- ``<!-- continues -->``: this ``python`` block is the next part of the script before it;
- ``<!-- not run: reason -->``: the block is skipped, and the report shows the reason;
- ``<!-- script: needs mcp -->``: this ``python`` block is skipped where these programs or Python packages are missing;
- ``<!-- tests -->``: this ``python`` block is a file of tests, and they pass; ``<!-- tests: needs nginx -->`` skips it
  where these programs or Python packages are not installed;
- ``<!-- run -->``: this ``sh`` block runs in a folder with docs/examples, with ``aioverseer`` on its PATH;
- ``<!-- output -->``: the script before prints this ``text`` block. ``...`` stands for any part of a line, and a line
  with only ``...`` for any number of lines. Write pids and durations this way.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 30.0
"""Seconds that one snippet may take."""
PROGRAMS = os.pathsep.join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
"""Search path for the programs that a page needs."""
LOOPS = ("-o", "asyncio_default_fixture_loop_scope=function")
"""Some versions of pytest-asyncio warn when this option is not set."""

FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+-]*)[^`]*$")
COMMENT = re.compile(r"^\s*<!--\s*(?P<text>.*?)\s*-->\s*$")
COMPLAINTS = (
    "Exception ignored",
    "ResourceWarning",
    "was never awaited",
    "never retrieved",
    "Task was destroyed",
)
"""Messages of Python on stderr about something left behind; they do not change the exit code."""


@dataclass
class Block:
    """A fenced block, and the comment before it."""

    line: int
    language: str
    text: str
    comment: str


@dataclass
class Snippet:
    """A script of one or several blocks, and its expected output."""

    name: str
    line: int
    language: str
    code: str = ""
    skip: str = ""
    needs: tuple[str, ...] = ()
    output: list[str] = field(default_factory=list)

    def append(self, block: Block) -> None:
        """Add a part at its own line number, so that a traceback points into the page."""
        self.code += "\n" * (block.line - 1 - self.code.count("\n")) + block.text


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page; ``line`` is the number of the first line inside."""
    comment = ""
    lines = enumerate(text.splitlines(keepends=True), 1)
    for _, line in lines:
        if opened := FENCE.match(line):
            start, body = 0, ""
            for number, inner in lines:
                start = start or number
                if inner.strip() and not inner.strip().strip(opened["fence"][0]) and inner.strip() >= opened["fence"]:
                    break
                body += inner
            else:
                raise ValueError(f"line {start}: the fenced block is never closed")
            yield Block(start, opened["language"], textwrap.dedent(body), comment)
            comment = ""
        elif found := COMMENT.match(line):
            comment = found["text"]
        elif line.strip():
            comment = ""


def snippets(name: str, text: str) -> list[Snippet]:
    """Return the scripts of a page."""
    found: list[Snippet] = []
    for block in blocks(text):
        word, _, reason = block.comment.partition(":")
        match word, block.language:
            case ("continues", "python"):
                if not found:
                    raise ValueError(f"{name}:{block.line}: there is nothing to continue")
                found[-1].append(block)
            case ("output", "text"):
                if not found:
                    raise ValueError(f"{name}:{block.line}: there is no script before this output")
                found[-1].output.append(block.text)
            case ("tests", "python"):
                needs = tuple(reason.split()[1:])
                found.append(Snippet(name, block.line, "pytest", skip=_missing(needs), needs=needs))
                found[-1].append(block)
            case ("script", "python"):
                needs = tuple(reason.split()[1:])
                found.append(Snippet(name, block.line, "python", skip=_missing(needs), needs=needs))
                found[-1].append(block)
            case (_, "python") | ("run", "sh"):
                skip = reason.strip() if word == "not run" else ""
                if word == "not run" and not skip:
                    raise ValueError(f"{name}:{block.line}: 'not run' needs a reason")
                found.append(Snippet(name, block.line, block.language, skip=skip))
                found[-1].append(block)
            case ("continues" | "output" | "run" | "script" | "tests", language):
                raise ValueError(f"{name}:{block.line}: {word!r} does not go with a block of {language!r}")
            case _:
                pass
    return found


def _missing(needs: tuple[str, ...]) -> str:
    """Return why a block with ``needs ...`` cannot run on this machine; empty when it can."""
    missing = [name for name in needs if shutil.which(name, path=PROGRAMS) is None and find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def pages() -> list[Path]:
    """Return README.md and every page in docs/."""
    return [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if page.is_file()]


def parameters() -> list[object]:
    """Return one test for each snippet, named by page and line."""
    return [
        pytest.param(
            snippet,
            id=f"{snippet.name}:{snippet.line}",
            marks=[pytest.mark.skip(reason=snippet.skip)] if snippet.skip else [],
        )
        for page in pages()
        for snippet in snippets(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))
    ]


def pattern(expected: str) -> re.Pattern[str]:
    """Return a pattern for the expected text, with ``...`` as a wildcard and without spaces at the ends of lines."""
    lines = [
        r"(?:[^\n]*\n)*?" if line.strip() == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", r"[^\n]*") + r"\n"
        for line in expected.rstrip().splitlines()
    ]
    return re.compile("".join(lines))


def matches(expected: str, printed: str) -> bool:
    """Return whether the printed text is the expected one."""
    lines = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    return pattern(expected).fullmatch(lines) is not None


def run(snippet: Snippet, folder: Path) -> None:
    """Run a script in the folder and compare its output."""
    examples = folder / "docs" / "examples"
    if (ROOT / "docs" / "examples").is_dir():
        shutil.copytree(ROOT / "docs" / "examples", examples)
    else:
        examples.mkdir(parents=True)
    if snippet.language == "python":
        script = examples / f"{Path(snippet.name).stem}_snippet.py"
        script.write_text(snippet.code, encoding="utf-8")
        command, cwd = [sys.executable, "-X", "dev", "-W", "error", str(script)], examples
    elif snippet.language == "pytest":
        script = examples / f"test_{Path(snippet.name).stem.replace('-', '_')}.py"
        script.write_text(snippet.code, encoding="utf-8")
        command, cwd = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *LOOPS, str(script)], examples
    else:
        command, cwd = ["sh", "-eu", "-c", snippet.code], folder
    process = subprocess.Popen(
        command,
        cwd=cwd,
        # With bytecode: a late import that compiles would block the event loop, and asyncio's debug mode reports that.
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_ADDOPTS": "-p no:hypothesispytest",  # no page uses it, and it doubles the time of the start
            "PYTHONDEVMODE": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "error",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, errors = process.communicate()
        pytest.fail(f"still running after {LIMIT:g} s\n{_told(snippet, printed, errors)}", pytrace=False)
    expected = "".join(snippet.output)
    if process.returncode:
        pytest.fail(f"exit {process.returncode}\n{_told(snippet, printed, errors)}", pytrace=False)
    if any(complaint in errors for complaint in COMPLAINTS):
        pytest.fail(f"left something behind\n{_told(snippet, printed, errors)}", pytrace=False)
    if snippet.output and not matches(expected, printed):
        told = _told(snippet, printed, errors)
        pytest.fail(f"printed something else than\n{expected}\n{told}", pytrace=False)


def _told(snippet: Snippet, printed: str, errors: str) -> str:
    return f"{snippet.name}:{snippet.line}\n--- stdout\n{printed}\n--- stderr\n{errors}"


@pytest.mark.timeout(LIMIT + 15)
@pytest.mark.parametrize("snippet", parameters())
def test_snippet(snippet: Snippet, tmp_path: Path) -> None:
    """The snippet ends in time, prints the output of the page, and leaves nothing behind."""
    run(snippet, tmp_path)


PAGE = """
# A page

1. In a list:

   ```python
   for n in range(3):
       print("line", n, id(n))
   ```

   <!-- output -->

   ```text
   line 0 ...
   ...
   ```

<!-- tests -->
```python
def test_it():
    assert __name__.startswith("test_")
```

<!-- not run: needs a server -->
```python
raise SystemExit("never run")
```

```python
x = 1
```
And more:
<!-- continues -->
```python
print(x)
```

```sh
never-run
```
<!-- run -->
```sh
echo "$0" | tr a-z A-Z; python -c 'print("from", "python")'
```
<!-- output -->
```text
SH
from python
```
"""


def test_a_page_is_read_as_documented(tmp_path: Path) -> None:
    """Each kind of block has its line, its parts, its output and its reason to be skipped."""
    found = snippets("page.md", PAGE)
    assert [
        ("python", 7),
        ("pytest", 20),
        ("python", 26),
        ("python", 30),
        ("sh", 43),
    ] == [(s.language, s.line) for s in found]
    assert ["", "", "needs a server", "", ""] == [s.skip for s in found]
    assert ["line 0 ...\n...\n"] == found[0].output
    assert "x = 1" == found[3].code.splitlines()[29]
    assert "print(x)" == found[3].code.splitlines()[34]
    for number in (0, 1, 3, 4):
        folder = tmp_path / str(number)
        folder.mkdir()
        run(found[number], folder)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(3)", "exit 3"),
        ("1 / 0", 'page_snippet.py", line 2'),
        ("import warnings\nwarnings.warn('old')", "UserWarning: old"),
        ("open(__file__)", "left something behind"),
        ("print('b')", "printed something else than"),
    ],
)
def test_a_bad_snippet_fails(tmp_path: Path, code: str, told: str) -> None:
    """An exit code, an exception, a warning, a leak and other output are failures."""
    (snippet,) = snippets("page.md", f"```python\n{code}\n```\n<!-- output -->\n```text\na\n```\n")
    with pytest.raises(pytest.fail.Exception, match=re.escape(told)):
        run(snippet, tmp_path)


def test_a_snippet_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its children are killed as well."""
    monkeypatch.setitem(globals(), "LIMIT", 0.5)
    (snippet,) = snippets("page.md", "<!-- run -->\n```sh\nsleep 60 & sleep 60\n```\n")
    with pytest.raises(pytest.fail.Exception, match=r"still running after 0\.5 s"):
        run(snippet, tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<!-- output -->\n```text\na\n```\n", "page.md:3: there is no script before this output"),
        ("<!-- continues -->\n```python\na\n```\n", "page.md:3: there is nothing to continue"),
        ("<!-- not run -->\n```python\na\n```\n", "page.md:3: 'not run' needs a reason"),
        ("<!-- run -->\n```bash\na\n```\n", "page.md:3: 'run' does not go with a block of 'bash'"),
        ("```python\na\n", "line 2: the fenced block is never closed"),
    ],
)
def test_a_comment_without_meaning_is_refused(text: str, told: str) -> None:
    """A mistake in a comment must not leave a snippet untested."""
    with pytest.raises(ValueError, match=re.escape(told)):
        snippets("page.md", text)


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\nb", "a \nb\n\n", True),
        ("pid ... ended", "pid 17 ended\n", True),
        ("pid ... ended", "pid 17\nended\n", False),
        ("a\n...\nz", "a\nz\n", True),
        ("a\n...\nz", "a\nb\nc\nz\n", True),
        ("a\n...", "b\na\n", False),
        ("a", "ab\n", False),
        ("1.5 (x)", "115 x\n", False),
    ],
)
def test_output_is_compared_by_lines(expected: str, printed: str, same: bool) -> None:
    """Dots stand for a part of one line, and a line of dots for any lines."""
    assert same == matches(expected, printed)
