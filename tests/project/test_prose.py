"""Sentences begin with a noun, and name things by their words: the countable rules of docs/contributing/writing.md.

The tests read docstrings and comments of the package and of its tests, and the text of README, CHANGELOG and docs.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SWITCHED_ON = ["CHANGELOG.md", "README.md", "aioverseer", "docs", "tests"]
"""Files and folders that are read."""

BEGINNINGS = re.compile(
    r"(?i)^(who|whoever|what|whatever|whose|whom|those|one that|one who|ones that|nor)\b",
)
"""A sentence that begins so has no noun for a subject."""
PHRASES = re.compile(
    r"(?i)\b(in here|never lives?|decided elsewhere|takes? note|taken note|lets? go of|letting go of|told of|hears? of|"
    r"heard of)\b"
)
BEHIND = re.compile(r"(?i)\bbehind\b")
"""It may stand for a place, as in "left behind", but not for a time."""
LEFT_BEHIND = re.compile(r"(?i)\b(leav\w*|left|stay\w*|falls?)\b")

BULLET = re.compile(r"([-*|>]|\d+\.|#)")
ENTRY = re.compile(r"\*{0,2}\w[\w.\[\]]*( \([^)]*\))?:( |$)")
"""An entry of Args, Returns, Raises or Attributes."""
END_OF_SENTENCE = re.compile(r"(?<=[.!?:;])[\"')]*\s+(?=[A-Z`*\"'(])|\s\|\s")
MARKS_OF_TOOLS = re.compile(r"# (type: ignore|noqa|pyright:)[^#]*")


def findings(path: Path) -> list[str]:
    """Return each sentence of a file that the rules refuse, with its place and the words at fault."""
    return [
        f"{path}:{line}: {words!r} in: {sentence[:150]}"
        for line, text in texts(path)
        for sentence in sentences(text)
        if (words := refused(sentence))
    ]


def refused(sentence: str) -> str:
    """Return the words of a sentence that the rules refuse; empty for a good one, and for a question."""
    if sentence.endswith("?"):
        return ""
    if found := BEGINNINGS.search(sentence) or PHRASES.search(sentence):
        return found.group(0)
    return "behind" if BEHIND.search(sentence) and not LEFT_BEHIND.search(sentence) else ""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a file with their first lines: a whole page, or each docstring and comment."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield 1, _without_code(source)
    else:
        yield from _docstrings(source)
        yield from _comments(source)


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text, without marks of lists, tables and quotes."""
    for paragraph in _paragraphs(text):
        for part in END_OF_SENTENCE.split(re.sub(r"^[-*|>#\d.\s]+", "", paragraph)):
            if sentence := part.strip(" *_\"'(|"):
                yield sentence


def _paragraphs(text: str) -> Iterator[str]:
    block: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if not line or BULLET.match(line) or ENTRY.match(line):
            if block:
                yield " ".join(block)
            block = [ENTRY.sub("", line, count=1) if ENTRY.match(line) else line] if line else []
        else:
            block.append(line)
    if block:
        yield " ".join(block)


def _without_code(page: str) -> str:
    lines: list[str] = []
    fenced = False
    for line in page.splitlines():
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        lines.append("" if fence or fenced or line.lstrip().startswith("<!--") else line)
    return "\n".join(lines)


def _docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield every statement that is a string: docstrings, and the words below a constant."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield comments; lines that follow one another are one text."""
    block: list[str] = []
    start = last = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        text = MARKS_OF_TOOLS.sub("", token.string).lstrip("#! ").strip()
        alone = token.line.strip().startswith("#")
        if alone and token.start[0] == last + 1:
            block.append(text)
        else:
            if block:
                yield start, " ".join(block)
            start, block = token.start[0], [text]
        last = token.start[0] if alone else -1
    if block:
        yield start, " ".join(block)


def files_of(name: str) -> list[Path]:
    """Return the files of an entry of SWITCHED_ON that have prose."""
    path = ROOT / name
    return [path] if path.is_file() else sorted([*path.rglob("*.py"), *path.rglob("*.md")])


@pytest.mark.parametrize("name", SWITCHED_ON)
def test_sentences_begin_with_a_noun(name: str) -> None:
    assert files_of(name), f"there is no file in {name}"
    assert [] == [line for path in files_of(name) for line in findings(path)]


BAD = [
    ("Who waits for a turn has nothing open yet.", "Who"),
    ("It is closed. Those that ended are not started again.", "Those"),
    ("Fine: What is left at its default is not looked at.", "What"),
    ("In here nothing waits.", "In here"),
    ("The order is decided elsewhere.", "decided elsewhere"),
    ("It lets go of the pipe.", "lets go of"),
    ("A sweep comes behind the stop.", "behind"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_bad_sentence_is_found(tmp_path: Path, text: str, words: str) -> None:
    """Docstrings, comments, entries of Args, words below a constant, and pages are read."""
    sources = {
        "docstring.py": f'"""A module.\n\n{text}\n"""\n',
        "entry.py": f'def f(x):\n    """Return x.\n\n    Args:\n        x: {text}\n    """\n',
        "comment.py": f"x = 1\n# It is one.\n# {text}\n",
        "behind_code.py": f"x = 1  # noqa: F401  # {text}\n",
        "constant.py": f'X = 1\n"""{text}"""\n',
        "page.md": f"# Title\n\n- {text}\n",
        "table.md": f"| a | b |\n|---|---|\n| x | {text} |\n",
    }
    for name, source in sources.items():
        (tmp_path / name).write_text(source)
        (found,) = findings(tmp_path / name)
        assert f"{words!r} in: " in found


@pytest.mark.parametrize(
    "text",
    [
        "A queued launch holds no descriptors yet.",
        "The sweep kills what a program leaves behind.",
        "Return what the program wrote.",
        "`what` is a word.",
    ],
)
def test_good_sentence_is_accepted(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.md").write_text(f"{text}\n\n```\nWho is this? in here\n```\n")
    (tmp_path / "module.py").write_text(f'"""{text}"""\nWHO = "Who is this?"\n')
    assert [] == [line for path in tmp_path.iterdir() for line in findings(path)]
