"""CircusVariables of circus, such as ``$(circus.env.HOME)``, as text of our file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from aioverseer.config.convert.escapes import escaped, escaped_path

__all__ = ["CircusVariables", "with_shell_variables"]

_VARIABLE = re.compile(r"\$\(circus\.(?P<round>[\w.-]+)\)|\(\(circus\.(?P<double>[\w.-]+)\)\)", re.IGNORECASE)
_OF_SHELL = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<bare>\w+))")


class CircusVariables:
    """The variables of one watcher, or of the rest of a file."""

    def __init__(self, environ: Mapping[str, str], options: Mapping[str, str], sockets: Collection[str] = ()) -> None:
        """Prepare.

        Args:
            environ: CircusVariables that the file sets, as text of our file.
            options: Options of the watcher.
            sockets: Names of the sockets of the file.
        """
        self._environ = {name.lower(): text for name, text in environ.items()}
        self._options = {name.lower(): text for name, text in options.items()}
        self._sockets = sockets
        self.used: list[str] = []
        """Names of the sockets whose descriptors were named."""
        self.numbered = False
        """Whether the number of a worker was named."""
        self.unknown: list[str] = []
        """CircusVariables that circus leaves as they stand, as they do not exist."""

    def text(self, value: str, *, index: str, doubled: bool = False) -> str:
        """Return a value with its variables replaced.

        Args:
            value: Value of a key.
            index: Text for the number of a worker.
            doubled: Whether each brace is doubled, as the path of a log wants it.
        """
        written: list[str] = []
        end = 0
        for found in _VARIABLE.finditer(value):
            written += [_literal(value[end : found.start()], doubled=doubled), self._value_of(found, index, doubled)]
            end = found.end()
        return "".join([*written, _literal(value[end:], doubled=doubled)])

    def _value_of(self, found: re.Match[str], index: str, doubled: bool) -> str:  # noqa: FBT001  # as text() has it
        name: str = found["round"] or found["double"]
        kind, _, rest = name.lower().partition(".")
        if kind == "env" and rest:
            spelled = name.partition(".")[2]
            return self._environ.get(rest, f"${{{spelled if spelled != spelled.lower() else spelled.upper()}}}")
        if kind == "sockets" and rest in self._sockets:
            self.used.append(rest)
            return f"{{fd.{rest}}}"
        if kind == "wid":
            self.numbered = True
            return index
        if not rest and kind in self._options and not _VARIABLE.search(self._options[kind]):
            return _literal(self._options[kind], doubled=doubled)
        self.unknown.append(found[0])
        return _literal(found[0], doubled=doubled)


def with_shell_variables(value: str) -> str:
    """Return the value of a variable, in which circus expands ``$NAME`` and ``${NAME}`` as a shell does."""
    written: list[str] = []
    end = 0
    for found in _OF_SHELL.finditer(value):
        written += [escaped(value[end : found.start()]), f"${{{found['braced'] or found['bare']}:-}}"]
        end = found.end()
    return "".join([*written, escaped(value[end:])])


def _literal(text: str, *, doubled: bool) -> str:
    return escaped_path(text) if doubled else escaped(text)
