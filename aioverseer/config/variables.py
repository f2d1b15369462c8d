"""Variables in the texts of a file: ``${NAME:-default}`` of the environment, ``{vars.name}`` of the file itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from aioverseer.config.shapes import Path, is_list, is_table, size_of

__all__ = ["BadVariable", "Variables"]

_LARGEST = 4 * 2**20
"""Characters and values that all variables of a file may add together. A few lines could ask for any number."""
_DEEPEST = 40
"""Variables inside of variables."""

_TOKEN = re.compile(
    r"(?P<dollar>\$\$)"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-)?"
    r"|(?P<open>\$\{)"
    r"|\{\{(?P<kept>vars\.[^{}]*)\}\}"
    r"|\{vars\.(?P<var>[^{}]*)\}"
)
_WHOLE = re.compile(r"\{vars\.([^{}]*)\}")

Report = Callable[[Path, str, str], None]
"""A function that takes the place of an error, its message, and what to write."""


class BadVariable(Exception):
    """A text cannot be replaced.

    Attributes:
        message: Cause.
        hint: Advice.
        is_final: Whether it holds for a default that is not needed, too.
    """

    def __init__(self, message: str, hint: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.is_final = is_final


class Variables:
    """The variables of one file. A value from outside is never searched for variables again."""

    def __init__(
        self,
        environ: Mapping[str, str],
        table: Mapping[str, Any],
        report: Report,
        escape_for: Callable[[Path], Callable[[str], str]] = lambda _: str,
    ) -> None:
        """Prepare; nothing is replaced yet.

        Args:
            environ: Variables of the environment.
            table: Table ``vars`` of the file.
            report: Function that is called with each error.
            escape_for: Function that returns how a value of the environment becomes text at a place.
        """
        self._escape_for = escape_for
        self._escape: Callable[[str], str] = str
        self._environ = environ
        self._table = table
        self._report = report
        self._values: dict[tuple[Callable[[str], str], str], Any] = {}
        self._sizes: dict[tuple[Callable[[str], str], str], int] = {}
        self._failed: set[str] = set()
        self._open: list[str] = []
        self._errors = 0
        self._added = 0
        self._is_full = False

    def replaced(self, data: Any, path: Path) -> Any:
        """Return data with the variables in all its texts replaced. A text that cannot be is reported, and stays.

        Args:
            data: Values of TOML.
            path: Place of the data.
        """
        if not isinstance(data, str):
            if is_table(data):
                return {key: self.replaced(each, (*path, key)) for key, each in data.items()}
            return [self.replaced(each, (*path, at)) for at, each in enumerate(data)] if is_list(data) else data
        if "$" not in data and "{vars." not in data:
            return data
        if not self._open:  # a value of the table is for the place that names it
            self._escape = self._escape_for(path)
        try:
            return self._text(data)
        except BadVariable as error:
            self._errors += 1
            if error.message:
                self._report(path, error.message, error.hint)
            return data

    def _text(self, text: str) -> Any:
        whole = _WHOLE.fullmatch(text)
        if whole is not None:  # the value itself, which may be a number or a list
            value = self._value(whole[1])
            self._count(self._sizes[self._escape, whole[1]])
            return value
        return self._replace(text, 0, "")[0]

    def _replace(self, text: str, start: int, until: str) -> tuple[str, int]:
        """Return the text from a place on with its variables replaced, and the place after it.

        Args:
            text: The whole text.
            start: The place to begin at.
            until: The character that ends it; empty for the end of the text.
        """
        parts: list[str] = []
        while True:
            found = _TOKEN.search(text, start)
            # No further than the next variable: many of them would search the same text again.
            end = text.find(until, start, len(text) if found is None else found.start()) if until else len(text)
            if found is None or (until and end != -1):
                if end == -1:
                    raise BadVariable("a ${ has no } after it", "close it, or write $${ for the text", is_final=True)
                parts.append(text[start:end])
                return "".join(parts), end + len(until)
            parts.append(text[start : found.start()])
            value, start = self._token(text, found)
            parts.append(value)

    def _token(self, text: str, found: re.Match[str]) -> tuple[str, int]:
        end = found.end()
        if found["dollar"]:
            return "$", end
        if found["kept"]:
            return f"{{{found['kept']}}}", end
        if found["var"] is not None:
            value = self._value(found["var"])
            if isinstance(value, dict | list):
                kind = "a list" if isinstance(value, list) else "a table"
                raise BadVariable(
                    f"{{vars.{found['var']}}} is {kind}, which is no part of a text", "let it be the whole text"
                )
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            self._count(len(shown))
            return shown, end
        if found["open"]:
            raise BadVariable("${ is not followed by a name", "write ${NAME} or ${NAME:-default}, and $$ for a $")
        name = found["name"]
        given = self._environ.get(name)
        if found["default"]:
            default, end = self._replace_default(text, end, needed=not given)
            return self._escape(given) if given else default, end
        if not text.startswith("}", end):
            raise BadVariable(
                f"${{{name} goes on in a way that is not understood",
                "write ${NAME} or ${NAME:-default}, and $$ for a $",
            )
        if given is None:
            raise BadVariable(f"the variable {name} is not set", f"set it, or write ${{{name}:-default}}")
        self._count(len(given))
        return self._escape(given), end + 1

    def _replace_default(self, text: str, start: int, *, needed: bool) -> tuple[str, int]:
        self._enter(f"default at {start}")
        try:
            return self._replace(text, start, "}")
        except BadVariable as error:
            # The default of a variable that is set may name others that are not.
            if needed or error.is_final:
                raise
            end = _closing(text, start)
            self._count((end or len(text)) - start)  # defaults inside of defaults search the same text again
            if end is None:
                error.is_final = True
                raise error from None
            return "", end
        finally:
            self._open.pop()

    def _value(self, name: str) -> Any:
        known_as = self._escape, name
        if known_as in self._values:
            return self._values[known_as]
        if name in self._failed:
            raise BadVariable("", "")  # reported at the variable itself
        if name not in self._table:
            known = ", ".join(self._table)
            raise BadVariable(f"there is no variable vars.{name}", f"there are {known}" if known else "write [vars]")
        if name in self._open:
            circle = " -> ".join(f"vars.{each}" for each in [*self._open[self._open.index(name) :], name])
            raise BadVariable(f"this variable leads to itself: {circle}", "give one of them a value of its own")
        self._enter(name)
        before = self._errors
        try:
            value = self.replaced(self._table[name], ("vars", name))
        finally:
            self._open.pop()
        if self._errors > before:
            self._failed.add(name)
            raise BadVariable("", "")
        size = size_of(value)
        if size > _LARGEST:
            raise self._too_large()
        self._values[known_as], self._sizes[known_as] = value, size
        return value

    def _enter(self, name: str) -> None:
        if len(self._open) >= _DEEPEST:
            message = f"variables lead to others more than {_DEEPEST} times"
            raise BadVariable(message, "write the value itself", is_final=True)
        self._open.append(name)

    def _count(self, size: int) -> None:
        self._added += size
        if self._added > _LARGEST:
            raise self._too_large()

    def _too_large(self) -> BadVariable:
        if self._is_full:
            return BadVariable("", "", is_final=True)  # reported before
        self._is_full = True
        message = f"variables make more than {_LARGEST // 2**20} MiB of text"
        return BadVariable(message, "write less of them", is_final=True)


def _closing(text: str, start: int) -> int | None:
    """Return the place after the brace that closes a default."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}":
            if depth == 0:
                return place + 1
            depth -= 1
    return None
