"""The page for users of the Go library: each row names a test that exists, and no row is missing."""

from __future__ import annotations

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "coming-from-go.md").read_text()

SEED_NAMES = """
    DEFAULT_LINE_BUFFER_SIZE DEFAULT_STREAM_CHAN_SIZE INITIAL STARTING RUNNING STOPPING INTERRUPT FINISHED FATAL UNKNOWN
    NewCmd NewCmdOptions Options.Buffered Options.Streaming CloneCmd Name Args Env Dir DelayStart RetryTimes
    Stdout Stderr State SetDir SetEnv SetDelayStart SetRetryTimes IsFinalState
    Start Done Status Stop Signal ToJSON
    Cmd PID Exit Error StartTs StopTs Runtime
    cmd state exitCode error runTime startTime dir delayStart retryTimes
    OutputBuffer NewOutputBuffer Lines OutputStream NewOutputStream SetLineBufferSize ErrLineBufferOverflow
    Factor Jitter Min Max ForAttempt Duration Reset Attempt
    NewOverseer Add Remove HasProc ListAll Supervise SuperviseAll StopAll
    ListGroup Clone WatchState UnWatchState WatchLogs UnWatchLogs
""".split()


def rows() -> list[list[str]]:
    """Return the cells of every row of a table that has a column of tests."""
    found: list[list[str]] = []
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[-1] != "test":
            found.append(cells)
    return found


def test_every_row_is_backed_by_a_test_that_exists() -> None:
    """A renamed or removed test must be changed on the page, too."""
    missing: list[str] = []
    known: dict[str, set[str]] = {}
    for cells in rows():
        match = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", cells[-1])
        assert match, cells
        path, name = match.groups()
        if path not in known:
            tree = ast.parse((ROOT / path).read_text())
            known[path] = {
                node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        if name not in known[path]:
            missing.append(f"{path}::{name}")
    assert [] == missing


def test_every_name_of_the_go_library_has_its_row() -> None:
    """The page covers each feature."""
    first = " ".join(cells[0] for cells in rows())
    assert [] == [name for name in SEED_NAMES if not re.search(rf"\b{re.escape(name)}\b", first)]


def test_every_flaw_has_its_row_once() -> None:
    """The fifty-five flaws are listed in order."""
    numbers = [int(match.group(1)) for cells in rows() if (match := re.match(r"B(\d\d) ", cells[0]))]
    assert list(range(1, 56)) == numbers
