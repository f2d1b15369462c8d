"""The syntax of unit files: words of a command, assignments, names and times, as in systemd.syntax(7)."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["INSTANCE", "Unit", "assignment", "escape_name", "exec_line", "literal", "seconds", "word"]

INSTANCE = "\0"
"""Stands for the specifier ``%i`` until the text is escaped: no option can hold a NUL."""

_PLAIN = re.compile(r"[\w\0./:=,@+^~*?!|&%$()<>{}\[\]#-]+", re.ASCII)
"""Words that need no quotes. A percent sign and a dollar sign are doubled apart."""
_IN_NAME = re.compile(r"[A-Za-z0-9:_.-]")
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\r": r"\r"}


class Unit:
    """A unit file in the making: sections, each with its settings in order."""

    def __init__(self, comment: str) -> None:
        """Begin with a comment in the first line."""
        self._comment = comment
        self._sections: dict[str, list[str]] = {}

    def set(self, section: str, name: str, value: str) -> None:
        """Add a setting; the value is in the syntax of unit files already."""
        self._sections.setdefault(section, []).append(f"{name}={value}")

    def text(self) -> str:
        """Return the text of the file."""
        order = sorted(self._sections, key=["Unit", "Service", "Socket", "Timer", "Install"].index)
        parts = ["\n".join([f"[{name}]", *self._sections[name]]) for name in order]
        return "\n\n".join([f"# {self._comment}", *parts]) + "\n"


def escape_name(text: str) -> str:
    r"""Return a text as a part of the name of a unit: other bytes become ``\xNN``, as systemd-escape writes them."""
    return "".join(
        each if _IN_NAME.fullmatch(each) else "".join(f"\\x{byte:02x}" for byte in each.encode()) for each in text
    )


def word(text: str, *, variables: bool = True) -> str:
    """Return one word of a command or of ``Environment=``.

    Args:
        text: The word.
        variables: Whether a dollar sign begins the name of a variable there, so that it must be doubled.
    """
    quoted = text if _PLAIN.fullmatch(text) and not text.startswith("#") else f'"{"".join(map(_escaped, text))}"'
    doubled = quoted.replace("%", "%%")
    return (doubled.replace("$", "$$") if variables else doubled).replace(INSTANCE, "%i")


def exec_line(program: str, arguments: Iterable[str]) -> str:
    """Return the value of ``ExecStart=`` and the like.

    Args:
        program: Absolute path or name of the program.
        arguments: Its arguments; ``INSTANCE`` in them becomes ``%i``.
    """
    return " ".join([word(program, variables=False), *map(word, arguments)])


def assignment(name: str, value: str) -> str:
    """Return one assignment of ``Environment=``."""
    return word(f"{name}={value}", variables=False)


def literal(text: str) -> str:
    """Return the value of a setting that knows specifiers and no quotes, such as a path."""
    return text.replace("%", "%%").replace(INSTANCE, "%i")


def seconds(value: float | None) -> str:
    """Return a time span; None is no limit."""
    return "infinity" if value is None else f"{value:.6f}".rstrip("0").rstrip(".") or "0"


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    is_control = character != INSTANCE and (character < " " or "\x7f" <= character < "\xa0")
    return "".join(f"\\x{byte:02x}" for byte in character.encode()) if is_control else character
