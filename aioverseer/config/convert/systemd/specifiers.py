"""Specifiers of systemd, such as ``%i``, as text of our file."""

from __future__ import annotations

import re

from aioverseer.config.convert.escapes import escaped

__all__ = ["TEMPLATE", "Specifiers"]

TEMPLATE = "{index}"
"""Text for the instance of a template, which has no name here."""
_FIXED = {
    "t": "/run",
    "S": "/var/lib",
    "C": "/var/cache",
    "L": "/var/log",
    "E": "/etc",
    "T": "/tmp",  # noqa: S108  # the value of the specifier
    "V": "/var/tmp",  # noqa: S108  # the same
    "%": "%",
}
_VARIABLES = {"h": "${HOME}", "H": "${HOSTNAME}", "l": "${HOSTNAME}", "s": "${SHELL}"}


class Specifiers:
    """Values of the specifiers of one unit."""

    def __init__(self, unit: str, *, user: str, group: str) -> None:
        """Prepare.

        Args:
            unit: Name of the unit.
            user: Value of ``User=``; empty without one.
            group: Value of ``Group=``; empty without one.
        """
        name = unit.rpartition(".")[0]
        prefix, at, instance = name.partition("@")
        self.is_template = bool(at) and not instance
        shown = TEMPLATE if self.is_template else escaped(instance)
        self._values = {
            **{letter: escaped(text) for letter, text in _FIXED.items()},
            **_VARIABLES,
            "n": escaped(unit) if not self.is_template else f"{escaped(prefix)}@{TEMPLATE}.{unit.rpartition('.')[2]}",
            "N": escaped(name) if not self.is_template else f"{escaped(prefix)}@{TEMPLATE}",
            "p": escaped(prefix),
            "P": escaped(prefix.replace("-", "/")),
            "i": shown,
            "I": shown if self.is_template else escaped(_unescaped(instance)),
            "j": escaped(prefix.rpartition("-")[2]),
            "u": escaped(user or "root"),
            "g": escaped(group or user or "root"),
        }

    def text(self, value: str) -> str:
        """Return text of our file for the value of a key. An unknown specifier stays as it is."""
        parts = re.split("(%.)", value)
        return "".join(
            self._values.get(part[1:], escaped(part)) if part.startswith("%") else escaped(part) for part in parts
        )

    def unknown(self, value: str) -> tuple[str, ...]:
        """Return the specifiers of a value that have no counterpart."""
        return tuple(dict.fromkeys(each for each in re.findall("%.", value) if each[1:] not in self._values))


def _unescaped(text: str) -> str:
    plain = text.replace("-", "/")
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), plain)
