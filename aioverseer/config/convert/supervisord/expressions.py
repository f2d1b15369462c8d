"""Expressions of supervisord, such as ``%(program_name)s``, as text of our file."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aioverseer.config.convert.escapes import escaped, escaped_path

__all__ = ["Expressions", "is_padded", "names_number", "names_variable"]

_EXPRESSION = re.compile(r"%(?:%|\((?P<name>[^()]+)\)(?P<how>[-0-9.# +]*[a-zA-Z])|(?P<bad>))")
_VARIABLE = "ENV_"
_NUMBER = "process_num"


class Expressions:
    """The values of the expressions in one program."""

    def __init__(
        self, values: Mapping[str, str], *, number: int | None = None, variables: Mapping[str, str] | None = None
    ) -> None:
        """Prepare.

        Args:
            values: Text by name, such as ``program_name``.
            number: Value of ``process_num``; None writes ``{index}``, the number of an instance.
            variables: Variables that the file sets, as text of our file. All others are those of the environment.
        """
        self._values = values
        self._number = number
        self._variables = variables or {}

    def with_variables(self, variables: Mapping[str, str]) -> Expressions:
        """Return the same expressions, with more variables that the file sets."""
        return Expressions(self._values, number=self._number, variables={**self._variables, **variables})

    def text(self, value: str, *, doubled: bool = False) -> str:
        """Return a value with its expressions replaced.

        Args:
            value: Value of a key.
            doubled: Whether each brace is doubled, as the path of a log wants it.

        Raises:
            ValueError: For an expression that supervisord refuses.
        """
        written: list[str] = []
        end = 0
        for found in _EXPRESSION.finditer(value):
            written += [_literal(value[end : found.start()], doubled=doubled), self._value_of(found, doubled=doubled)]
            end = found.end()
        return "".join([*written, _literal(value[end:], doubled=doubled)])

    def plain(self, value: str) -> str:
        """Return a value with its expressions replaced, for a name, in which our file replaces nothing.

        Args:
            value: Value of a key.

        Raises:
            ValueError: For an expression that supervisord refuses.
        """
        words: dict[str, str | int] = {**self._values, "process_num": self._number or 0}

        def value_of(found: re.Match[str]) -> str:
            if found["name"] in words:
                return _formatted(found, words[found["name"]])
            return self._value_of(found, doubled=False)

        return _EXPRESSION.sub(value_of, value)

    def _value_of(self, found: re.Match[str], *, doubled: bool) -> str:
        if found[0] == "%%":
            return "%"
        name: str | None = found["name"]
        if name is None:
            raise ValueError("holds a '%' that begins no expression: write %% for a per cent sign")
        if name.startswith(_VARIABLE):
            variable = name.removeprefix(_VARIABLE)
            return self._variables.get(variable, f"${{{variable}}}")
        if name == "host_node_name":
            return "${HOSTNAME}"
        if name == _NUMBER:
            return "{index}" if self._number is None else _formatted(found, self._number)
        if name not in self._values:
            raise ValueError(f"holds %({name})s, and there is no such expression")
        return _literal(self._values[name], doubled=doubled)


def _formatted(found: re.Match[str], value: str | int) -> str:
    try:
        return f"%{found['how']}" % value
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"holds {found[0]}, which is no form of its value") from None


def names_number(value: str) -> bool:
    """Return whether a value depends on the number of the process."""
    return f"%({_NUMBER})" in value


def is_padded(value: str) -> bool:
    """Return whether a value has the number of the process in another form than its plain digits."""
    found = (each for each in _EXPRESSION.finditer(value) if each["name"] == _NUMBER)
    return any(each["how"] not in ("d", "s", "i") for each in found)


def names_variable(value: str) -> bool:
    """Return whether a value depends on a variable of the environment."""
    return f"%({_VARIABLE}" in value


def _literal(text: str, *, doubled: bool) -> str:
    return escaped_path(text) if doubled else escaped(text)
