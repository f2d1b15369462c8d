"""Real files of supervisord, circus and systemd, rewritten: the exact result and the exact report of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.conversions import convert, files_of, kept_data, kept_report, report, specs_of

FILES = files_of("supervisord", "circus", "systemd")
"""At least seven of each kind; see the numbers below."""


def names(path: Path) -> str:
    return f"{path.parent.name}-{path.name}"


@pytest.mark.parametrize("path", FILES, ids=names)
def test_the_result_and_the_report_are_those_that_were_read(path: Path) -> None:
    conversion = convert(path)
    assert conversion.data == kept_data(path)
    assert report(conversion) == kept_report(path)


@pytest.mark.parametrize("path", FILES, ids=names)
def test_every_service_of_the_result_is_valid(path: Path) -> None:
    conversion = convert(path)
    assert len(list(specs_of(conversion))) == len(conversion.data["services"])


@pytest.mark.parametrize("path", FILES, ids=names)
def test_every_key_of_the_file_has_a_note(path: Path) -> None:
    noted = {(note.place, note.key) for note in convert(path).notes}
    keys = keys_of(path.read_text(encoding="utf-8"))
    form = f"{path.name} [{{}}]" if path.parent.name == "systemd" else "{}"
    assert {(form.format(section), key) for section, key in keys} <= noted


def keys_of(text: str) -> list[tuple[str, str]]:
    """Return section and key of each line that begins one, without the help of the readers."""
    section, keys = "", list[tuple[str, str]]()
    for line in text.splitlines():
        if found := re.match(r"\[(.+)\]\s*$", line):
            section = found[1]
        elif found := re.match(r"([^\s#;\[=:][^=:]*?)\s*[=:]", line):
            keys.append((section, found[1]))
    return keys
