"""Formats are told by the name and the text of a file, and an unknown one is refused with those that exist."""

from __future__ import annotations

import pytest

from aioverseer import SpecError
from aioverseer.config.convert import Conversion, Note, kind_of, read


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("supervisord.conf", "; a comment\n[unix_http_server]\n[supervisord]\n", "supervisord"),
        ("conf.d/web.conf", "[program:web]\ncommand = web\n", "supervisord"),
        ("web.ini", "[group:web]\nprograms = a, b\n", "supervisord"),
        ("circus.ini", "[circus]\ncheck_delay = 5\n", "circus"),
        ("web.ini", "[watcher:web]\ncmd = web\n", "circus"),
        ("web.service", "[Service]\nExecStart=/bin/true\n", "systemd"),
        ("web.socket", "", "systemd"),
        ("override.conf", "[Service]\nEnvironment=A=1\n", "systemd"),
        ("process-compose.yaml", "version: '0.5'\n\nprocesses:\n  web:\n    command: web\n", "process-compose"),
        ("compose.yaml", "services:\n  web:\n    image: web\n", "compose"),
        ("ecosystem.json", '{"apps": [{"script": "app.js"}]}', "pm2"),
        ("ecosystem.config.js", "module.exports = {\n  apps: []\n}\n", "pm2"),
        ("Procfile", "web: gunicorn app\n", None),
        ("Procfile.dev", "services: run\n", None),
        ("aioverseer.toml", "[services.web]\n", None),
        ("notes.txt", "nothing of the kind\n", None),
    ],
)
def test_the_format_of_a_file_is_found(path: str, text: str, kind: str | None) -> None:
    assert kind_of(path, text) == kind


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError) as caught:
        read("", kind="upstart", path="web.conf")
    assert str(caught.value).startswith("kind='upstart' is unknown: there are")


def test_a_conversion_counts_its_notes() -> None:
    notes = (
        Note(place="program:web", key="user", what="carried", text="services.web.user"),
        Note(place="program:web", key="serverurl", what="lost", text="there is no XML-RPC"),
    )
    conversion = Conversion(data={}, notes=notes)
    assert conversion.summary() == "1 carried, 0 changed, 1 lost"
    assert conversion.of("lost") == notes[1:]
    assert str(notes[1]) == "program:web: serverurl: lost: there is no XML-RPC"
