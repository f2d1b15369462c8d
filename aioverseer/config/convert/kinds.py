"""The formats that are read, and which of them a file is in."""

from __future__ import annotations

import re

__all__ = ["KINDS", "kind_of"]

KINDS: dict[str, str] = {
    "supervisord": "INI file of supervisord, with [program:web]",
    "circus": "INI file of circus, with [watcher:web]",
    "systemd": "unit of systemd: a .service, .socket or .timer",
    "process-compose": "YAML file of process-compose, with processes",
    "compose": "YAML file of compose, with services",
    "pm2": "JSON of pm2, with apps",
}
"""Each format, with what tells it."""

_UNIT = (".service", ".socket", ".timer", ".target", ".path", ".slice", ".mount")
_SECTIONS = (
    (
        "supervisord",
        re.compile(r"^\[(program|group|eventlistener|fcgi-program):|^\[(supervisord|supervisorctl)\]", re.MULTILINE),
    ),
    ("circus", re.compile(r"^\[(watcher|plugin|socket|env):|^\[circus\]", re.MULTILINE)),
    ("systemd", re.compile(r"^\[(Unit|Service|Socket|Timer|Install)\]\s*$", re.MULTILINE)),
    (
        "pm2",
        re.compile(r"""\A\s*(\[\s*)?\{[^\0]*["'](apps|script)["']\s*:|^module\.exports\s*=""", re.MULTILINE),
    ),
    ("process-compose", re.compile(r"""^\s{0,2}["']?processes["']?\s*:""", re.MULTILINE)),
    ("compose", re.compile(r"""^\s{0,2}["']?services["']?\s*:""", re.MULTILINE)),
)
"""Patterns of the text of each format; the first one that matches wins."""


def kind_of(path: str, text: str) -> str | None:
    """Return the format of a file by its name and its text; None if it is no file of another supervisor.

    Args:
        path: The path of the file. Its ending tells a Procfile and our own TOML apart.
        text: The text of the file.
    """
    name = path.rsplit("/", 1)[-1]
    if name.endswith(_UNIT):
        return "systemd"
    if name.endswith(".toml") or name.startswith("Procfile"):
        return None
    return next((kind for kind, pattern in _SECTIONS if pattern.search(text)), None)
