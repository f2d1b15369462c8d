"""Variables of the environment as compose writes them, such as ``$NAME``, in the form of our file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from aioverseer.config.convert.escapes import escaped

__all__ = ["References"]

_TOKEN = re.compile(r"\$\$|\$\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)|\$(?P<plain>[A-Za-z_][A-Za-z0-9_]*)")
_OPERATOR = re.compile(r":?[-?+]")

_FIRST_MARK = 0xE100
"""First of the signs of the private area that stand for references while a text is split."""
_MARK = re.compile("([\ue100-\uf8ff])")

Piece = tuple[str, str]
"""A part of the result: ``("text", ...)``, which is escaped, or ``("reference", ...)``, which stands as it is."""


class References:
    """Translation of the references of one file.

    Attributes:
        problems: Notes about text without the same form here, each once.
        names: Names of all variables that were seen.
    """

    def __init__(self, *, on: bool = True) -> None:
        """Prepare.

        Args:
            on: Whether ``$`` means anything in this file.
        """
        self._on = on
        self.problems: list[str] = []
        self.names: set[str] = set()

    def translated(self, text: str) -> str:
        """Return a text of the file as text of ours."""
        return joined(self.pieces(text))

    def words(self, text: str) -> list[str]:
        """Return the words of a command line without a shell, as texts of ours. A reference is never split."""
        marked = ""
        marks: list[str] = []
        for kind, value in self.pieces(text):
            marked += chr(_FIRST_MARK + len(marks)) if kind == "reference" else value
            marks += [value] if kind == "reference" else []
        try:
            words = shlex.split(marked)
        except ValueError:  # a quote that is not closed
            words = marked.split()
        return [joined(_unmarked(word, marks)) for word in words]

    def pieces(self, text: str) -> list[Piece]:
        """Return the parts of a text."""
        if not self._on:
            return [("text", text)]
        return self._until(text, 0, "")[0]

    def default(self, text: str) -> str:
        """Return a text as it is where no variable is set."""
        return "".join(_without_variables(value) if kind == "reference" else value for kind, value in self.pieces(text))

    def used_in(self, text: str) -> bool:
        """Return whether a text has a reference."""
        return any(kind == "reference" for kind, _value in self.pieces(text))

    def _until(self, text: str, start: int, closer: str) -> tuple[list[Piece], int]:
        """Return the parts up to a closing brace, and the place after it; -1 if there is none."""
        pieces: list[Piece] = []
        while True:
            found = _TOKEN.search(text, start)
            end = text.find(closer, start) if closer else len(text)
            if found is None or -1 < end <= found.start():
                pieces.append(("text", text[start:] if end == -1 else text[start:end]))
                return pieces, end + len(closer) if end != -1 else -1
            pieces.append(("text", text[start : found.start()]))
            made, start = self._reference(text, found)
            pieces += made
            if start == -1:
                return pieces, -1

    def _reference(self, text: str, found: re.Match[str]) -> tuple[list[Piece], int]:
        if found[0] == "$$":
            return [("text", "$")], found.end()
        name = found["braced"] or found["plain"]
        self.names.add(name)
        if found["plain"]:
            return [("reference", f"${{{name}:-}}")], found.end()
        if text.startswith("}", found.end()):
            return [("reference", f"${{{name}:-}}")], found.end() + 1
        operator = _OPERATOR.match(text, found.end())
        if operator is None:
            self._problem(f"${{{name} goes on in a way that is not understood, and stays as it is")
            return [("text", found[0])], found.end()
        inner, end = self._until(text, operator.end(), "}")
        if end == -1:
            self._problem(f"${{{name} is not closed, and stays as it is")
            return [("text", found[0])], found.end()
        return [self._with_operator(name, operator[0], inner)], end

    def _with_operator(self, name: str, operator: str, inner: list[Piece]) -> Piece:
        if operator.endswith("+"):
            self._problem(f"${{{name}{operator}...}} is left out: text that only a set variable gives has no form here")
            return "text", ""
        if operator.endswith("?"):
            if operator == ":?":
                self._problem(f"${{{name}:?...}} refuses a variable that is not set, and here accepts an empty one")
            return "reference", f"${{{name}}}"
        if operator == "-":
            self._problem(f"${{{name}-...}} has its default here also for an empty variable")
        default = joined(inner)
        if any("{" in value or "}" in value for kind, value in inner if kind == "text"):
            self._problem(f"the default of ${{{name}}} has braces, which have no form here, and is left out")
            default = ""
        return "reference", f"${{{name}:-{default}}}"

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def joined(pieces: Iterable[Piece]) -> str:
    """Return parts as one text of our file. A ``$`` before a reference is written twice."""
    made = ""
    literal = ""
    for kind, value in pieces:
        if kind == "text":
            literal += value
        else:
            made += _before_reference(escaped(literal)) + value
            literal = ""
    return made + escaped(literal)


def _unmarked(word: str, marks: list[str]) -> list[Piece]:
    parts = _MARK.split(word)
    return [
        ("reference", marks[ord(part) - _FIRST_MARK]) if index % 2 else ("text", part)
        for index, part in enumerate(parts)
    ]


def _before_reference(text: str) -> str:
    if not text.endswith("$"):
        return text
    ends = len(text) - len(text.rstrip("$"))
    # escaped() doubles each dollar that a dollar follows, so the last of the run is the one that stands alone.
    return text + "$" if ends % 2 else text


def _without_variables(reference: str) -> str:
    """Return the value of a reference of ours where no variable is set."""
    default = reference.partition(":-")[2][:-1]
    return References().default(default) if "$" in default else default
