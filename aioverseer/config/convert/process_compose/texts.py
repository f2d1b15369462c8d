"""Texts of process-compose: variables of the environment, templates in double braces, and command lines for a shell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from aioverseer.config.convert.references import References
from aioverseer.config.convert.shell_command import plain_words

__all__ = ["INDEX", "Texts", "placeholder"]

_TEMPLATE = re.compile(r"\{\{-?\s*(?P<inside>.*?)\s*-?\}\}", re.DOTALL)
_NAME = re.compile(r"\.(\w+)")
_QUOTED = re.compile(r'"(?P<double>[^"\\]*)"|`(?P<back>[^`]*)`')
_OPEN, _CLOSE = "\ue000", "\ue001"
"""Signs of the private area, which stand for the braces of our placeholders until the text is escaped."""


def placeholder(word: str) -> str:
    """Return a placeholder of our file, such as ``{index}``, as text that is not escaped."""
    return f"{_OPEN}{word}{_CLOSE}"


INDEX = placeholder("index")


class Texts:
    """The texts of one process.

    Attributes:
        problems: Notes about templates that stay as they are, each once.
    """

    def __init__(
        self, references: References, variables: Mapping[str, str], shell: Sequence[str], *, templates: bool = True
    ) -> None:
        """Prepare.

        Args:
            references: Translation of variables of the environment.
            variables: Values of templates by name.
            shell: Words before a command line.
            templates: Whether double braces mean anything.
        """
        self._references = references
        self._variables = variables
        self._shell = list(shell)
        self._templates = templates
        self.problems: list[str] = []

    def text(self, text: str) -> str:
        """Return a text of the file as one of ours, in which templates have no meaning."""
        return self._ours(text)

    def filled(self, text: str) -> str:
        """Return a text of the file as one of ours, with its templates filled in."""
        return self._ours(self._fill(text))

    def without_variables(self, text: str) -> str:
        """Return a text as it is where no variable of the environment is set."""
        return self._references.default(text)

    def words(self, command: str) -> list[str]:
        """Return the words of a command line; those of a shell if it needs one."""
        filled = self._fill(command)
        words = None if self._references.used_in(filled) else plain_words(filled)
        if words is not None:
            return [self._ours(word) for word in words]
        return [*self._shell, self._ours(filled.rstrip("\n"))]

    def shell(self, command: str) -> list[str]:
        """Return the words of a shell that reads a command line."""
        return [*self._shell, self._ours(self._fill(command).rstrip("\n"))]

    def _ours(self, text: str) -> str:
        return self._references.translated(text).replace(_OPEN, "{").replace(_CLOSE, "}")

    def _fill(self, text: str) -> str:
        return _TEMPLATE.sub(self._value, text) if self._templates else text

    def _value(self, found: re.Match[str]) -> str:
        inside = found["inside"]
        name = _NAME.fullmatch(inside)
        if name is not None and name[1] in self._variables:
            return self._variables[name[1]]
        quoted = _QUOTED.fullmatch(inside)
        if quoted is not None:
            return quoted["double"] or quoted["back"] or ""
        why = "names no variable of this file" if name is not None else "is more than the name of a variable"
        problem = f"the template {found[0]} {why}, and stays as it is"
        if problem not in self.problems:
            self.problems.append(problem)
        return found[0]
