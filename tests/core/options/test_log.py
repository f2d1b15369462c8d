"""LogFile and LogBridge: what they refuse, and which names they make."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest

from aioverseer import LogBridge, LogFile, SpecError
from aioverseer.core.options.log import as_logs

BAD: dict[str, list[Any]] = {
    "path": ["", "a\0b", "folder/", b"x", 5, None, "{", "}", "{}", "{0}", "{pid}", "{id!r}", "{id:>9}", "{id.x}"],
    "max_bytes": [0, -1, True, 1.5, "1"],
    "keep": [0, -1, 1000, True, None, 1.0],
    "every": [0, 0.5, -1, True, "day", math.inf],
    "compress": [1, None, "gz", True],
    "format": ["xml", None, ["text"]],
    "timestamps": [1, None],
    "overflow": ["drop_oldest", "error", None],
    "stream": ["stdin", "", 1],
}


def make(options: dict[str, Any]) -> LogFile:
    """A log file of any options, right or wrong."""
    return LogFile(**options)


@pytest.mark.parametrize(("option", "value"), [(option, value) for option, values in BAD.items() for value in values])
def test_refused_values_of_a_log_file_are_named(option: str, value: Any) -> None:
    """The option, the value, and what to do; ``compress`` alone has nothing to compress."""
    with pytest.raises(SpecError, match=f"^LogFile: {option}={re.escape(repr(value))} .*: .") as caught:
        make({"path": "x"} | {option: value})
    assert (option, value) == (caught.value.option, caught.value.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [("logger", ""), ("logger", None), ("logger", "{stream}"), ("stdout", "INFO"), ("stdout", True), ("stderr", -1)],
)
def test_refused_values_of_a_bridge_are_named(option: str, value: Any) -> None:
    """Levels are numbers, as everywhere in logging."""
    with pytest.raises(SpecError, match=f"^LogBridge: {option}={re.escape(repr(value))} .*: .") as caught:
        LogBridge(**{option: value})
    assert (option, value) == (caught.value.option, caught.value.value)


def test_a_log_file_shows_what_differs_and_does_not_change() -> None:
    """It is a value."""
    log = LogFile(Path("/var/log/{id}.log"), keep=3, max_bytes=10**6)
    assert "LogFile('/var/log/{id}.log', max_bytes=1000000, keep=3)" == repr(log)
    assert log == LogFile("/var/log/{id}.log", keep=3, max_bytes=10**6)
    with pytest.raises(dataclasses.FrozenInstanceError):
        log.keep = 4  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize(
    ("path", "id", "group", "expected"),
    [
        ("/l/{id}.log", "web", "", "/l/web.log"),
        ("/l/{group}/{id}-{stream}.log", "web", "g", "/l/g/web-stdout.log"),
        ("/l/{group}/{id}", "web", "", "/l/-/web"),
        ("{{{id}}}", "web", "", "{web}"),
        # No id leaves the folder, and no two ids share a file.
        ("/l/{id}", "../../etc/passwd", "", "/l/..%2F..%2Fetc%2Fpasswd"),
        ("/l/{id}", "a/b", "", "/l/a%2Fb"),
        ("/l/{id}", "a%2Fb", "", "/l/a%252Fb"),
        ("/l/{id}/log", "..", "", "/l/%2E%2E/log"),
        ("/l/{id}/log", ".", "", "/l/%2E/log"),
    ],
)
def test_the_path_of_a_service(path: str, id: str, group: str, expected: str) -> None:
    """Placeholders stand for one part of a path each, whatever the id holds."""
    assert expected == LogFile(path).path_of(id=id, stream="stdout", group=group)


def test_one_or_several_logs_and_none() -> None:
    """Values that the option ``log`` takes."""
    file, bridge = LogFile("x"), LogBridge()
    assert as_logs(None, owner="o") is None
    assert () == as_logs([], owner="o")
    assert (file,) == as_logs(file, owner="o")
    assert (file, bridge) == as_logs((file, bridge), owner="o")
    both = (LogFile("x", stream="stdout"), LogFile("x", stream="stderr"))
    assert both == as_logs(iter(both), owner="o")


@pytest.mark.parametrize(
    "logs",
    [
        [LogFile("x"), LogFile("x")],
        [LogFile("x"), LogFile("x", stream="stderr")],
        [LogBridge(), LogBridge(stdout=10)],
    ],
)
def test_a_line_is_not_written_twice_to_one_place(logs: list[Any]) -> None:
    """It would be by mistake."""
    with pytest.raises(SpecError, match=r"^overseer 'o': log=.* twice: name it once"):
        as_logs(logs, owner="overseer 'o'")
