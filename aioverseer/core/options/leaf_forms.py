"""Forms of single values: texts, numbers, times, sizes, words, signals. Each tells its JSON Schema beside its ``read``.

A number may also be a text of digits, as it comes from a variable of the environment.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from signal import Signals
from typing import Any, cast

from aioverseer.core.export import exported_from
from aioverseer.core.options.flaws import refused
from aioverseer.core.options.form import Form
from aioverseer.core.options.quantities import BYTES_IN, DURATION, SECONDS_IN, SIZE
from aioverseer.core.state import as_signal

__all__ = [
    "BYTES",
    "FLAG",
    "NUMBER",
    "PATH",
    "SECONDS",
    "SIGNAL",
    "TEXT",
    "Flag",
    "Number",
    "Path",
    "Seconds",
    "Signal",
    "Size",
    "Text",
    "TextOrBytes",
    "Whole",
    "Word",
    "text_like",
]

_DIGITS = re.compile(r"\s*([+-]?[0-9]+)\s*")
_DECIMAL = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*")
_MOST = 1 << 63
"""Numbers above are no counts; a text of many digits takes long to convert."""
_DIGITS_OF_MOST = 19


_BASE64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"


def text_like(pattern: str) -> dict[str, Any]:
    """Return the schema of texts that a regular expression matches from end to end."""
    # In Python "$" also matches before a newline at the end.
    return {"type": "string", "pattern": f"^(?:{pattern})$(?!\\n)"}


@exported_from("aioverseer.forms")
class Text(Form):
    """A text without NUL."""

    def __init__(
        self, what: str = "text", *, empty: bool = False, pattern: str = "", example: str = "", number: bool = False
    ) -> None:
        """Prepare.

        Args:
            what: Kind of text, for messages.
            empty: Whether the text may be empty.
            pattern: Regular expression that the whole text must match; empty for any text.
            example: Example, for the message.
            number: Whether a whole number may stand for its digits.
        """
        self._number = number
        self._what = what
        self._empty = empty
        self._pattern = re.compile(pattern) if pattern else None
        self._example = example

    def write(self, value: Any) -> Any:
        """Return the text."""
        return value

    def read(self, data: Any) -> Any:
        """Return the text."""
        if self._number and isinstance(data, int) and not isinstance(data, bool) and abs(data) <= _MOST:
            return str(data)
        if not isinstance(data, str):
            raise refused(f"is {_shown(data)}: write a {self._what}{self._for_example}")
        if not data and not self._empty:
            raise refused(f"is empty: write a {self._what}{self._for_example}")
        if "\0" in data:
            raise refused("holds a NUL character: leave it out")
        if self._pattern is not None and self._pattern.fullmatch(data) is None:
            raise refused(f"is no {self._what}: write for example {self._example}")
        return data

    def schema(self) -> dict[str, Any]:
        """Return the schema of a text."""
        pattern = (
            self._pattern.pattern if self._pattern is not None else r"[^\u0000]*" if self._empty else r"[^\u0000]+"
        )
        text = text_like(pattern)
        return {"anyOf": [text, {"type": "integer", "minimum": -_MOST, "maximum": _MOST}]} if self._number else text

    @property
    def _for_example(self) -> str:
        return f", for example {self._example}" if self._example else ""


class Path(Text):
    """A path. A ``~`` or a variable at its beginning is refused, as only a shell expands it."""

    def __init__(self, *, folder: bool = True) -> None:
        """Prepare.

        Args:
            folder: Whether a folder will do, with a slash at the end.
        """
        end = "" if folder else "(?![^\\u0000]*/$)"
        super().__init__("path", pattern=rf"{end}(?!~[\w.-]*(?:/|$))(?!\$\{{?\w)[^\u0000]+")

    def read(self, data: Any) -> Any:
        """Return the path."""
        if isinstance(data, str) and data and (data[0] in "~$" or data[-1] == "/") and not self._fits(data):
            if data[-1] == "/" and data[0] not in "~$":
                raise refused("is a folder: write the path of a file")
            raise refused(f"begins with {data[0]}, which only a shell expands: write the path without it")
        return super().read(data)

    def _fits(self, data: str) -> bool:
        return self._pattern is not None and self._pattern.fullmatch(data) is not None


@exported_from("aioverseer.forms")
class Flag(Form):
    """A bool, also as the text ``"true"`` or ``"false"``."""

    def write(self, value: Any) -> Any:
        """Return the bool."""
        return value

    def read(self, data: Any) -> Any:
        """Return the bool."""
        if isinstance(data, bool):
            return data
        if isinstance(data, str) and data in ("true", "false"):
            return data == "true"
        raise refused(f"is {_shown(data)}: write true or false")

    def schema(self) -> dict[str, Any]:
        """Return the schema of a bool."""
        return {"enum": [True, False, "true", "false"]}


@exported_from("aioverseer.forms")
class Word(Form):
    """One of a few words."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = tuple(words)

    def write(self, value: Any) -> Any:
        """Return the word."""
        return value

    def read(self, data: Any) -> Any:
        """Return the word."""
        if isinstance(data, str) and data in self._words:
            return data
        near = get_close_matches(data.lower().replace("_", "-"), self._words, n=1) if isinstance(data, str) else []
        listed = ", ".join(f'"{word}"' for word in self._words)
        raise refused(
            f"is unknown: write {listed}" if len(self._words) == 1 else f"is unknown: write one of {listed}",
            f'did you mean "{near[0]}"?' if near else None,
        )

    def schema(self) -> dict[str, Any]:
        """Return the schema of the words."""
        return {"enum": list(self._words)}


@exported_from("aioverseer.forms")
class Whole(Form):
    """A whole number of a range."""

    _noun = "whole number"

    def __init__(self, least: int = 0, most: int | None = None, *, unit: str = "") -> None:
        """Prepare.

        Args:
            least: Least number.
            most: Highest number; None for no limit.
            unit: Things that the number counts, in the plural, for messages.
        """
        self._least = least
        self._most = most
        self._unit = f" of {unit}" if unit else ""

    def write(self, value: Any) -> Any:
        """Return the number."""
        return int(value)

    def read(self, data: Any) -> Any:
        """Return the number."""
        number = self._number_in(data)
        if number is None:
            raise refused(f"is {_shown(data, self._noun)}: write a whole number{self._unit}, {self._range}")
        if number < self._least or number > (_MOST if self._most is None else self._most):
            raise refused(f"is too {'low' if number < self._least else 'high'}: write {self._range}")
        return number

    def _number_in(self, data: Any) -> int | None:
        if isinstance(data, int) and not isinstance(data, bool):
            return data
        if isinstance(data, float) and data.is_integer() and abs(data) <= _MOST:
            return int(data)
        found = _DIGITS.fullmatch(data) if isinstance(data, str) else None
        return int(found[1]) if found and len(found[1]) <= _DIGITS_OF_MOST else None

    def schema(self) -> dict[str, Any]:
        """Return the schema of the number."""
        most = _MOST if self._most is None else self._most
        return {"anyOf": [{"type": "integer", "minimum": self._least, "maximum": most}, self._texts]}

    @property
    def _texts(self) -> dict[str, Any]:
        return text_like(_DIGITS.pattern)

    @property
    def _range(self) -> str:
        if self._most is None:
            return f"{self._least} or more"
        return f"{self._least} to {self._most}"


@exported_from("aioverseer.forms")
class Size(Whole):
    """Bytes: a number, or a text such as ``"512 MiB"``."""

    _noun = "size"

    def read(self, data: Any) -> Any:
        """Return the number of bytes."""
        found = SIZE.fullmatch(data) if isinstance(data, str) else None
        if found is not None and len(found[1]) <= _DIGITS_OF_MOST:
            number = float(found[1]) * BYTES_IN[found[2].lower()]
            data = int(number) if number <= _MOST else _MOST + 1
        return super().read(data)

    @property
    def _texts(self) -> dict[str, Any]:
        return text_like(f"{_DIGITS.pattern}|{SIZE.pattern}")

    @property
    def _range(self) -> str:
        return f'{super()._range}, or for example "512 MiB"'


@exported_from("aioverseer.forms")
class Number(Form):
    """A number of a range."""

    _noun = "number"

    def __init__(
        self,
        least: float = 0.0,
        most: float = sys.float_info.max,
        *,
        above: bool = False,
        below: bool = False,
        unit: str = "",
    ) -> None:
        """Prepare.

        Args:
            least: Least number.
            most: Highest number.
            above: Whether the number must be more than the least.
            below: Whether the number must be less than the highest.
            unit: Things that the number counts, in the plural, for messages.
        """
        self._least = least
        self._most = most
        self._above = above
        self._below = below
        self._unit = f" of {unit}" if unit else ""

    def write(self, value: Any) -> Any:
        """Return the number."""
        return value

    def read(self, data: Any) -> Any:
        """Return the number."""
        number = data if type(data) is float or type(data) is int else self._number_in(data)
        if number is None or number != number:  # nan  # noqa: PLR0124
            raise refused(f"is {_shown(data, self._noun)}: write {self._wanted}")
        if number < self._least or (self._above and number == self._least):
            raise refused(f"is too low: write {self._wanted}")
        if number > self._most or (self._below and number == self._most):
            raise refused(f"is too high: write {self._wanted}")
        return number

    def _number_in(self, data: Any) -> float | None:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return data
        found = _DECIMAL.fullmatch(data) if isinstance(data, str) else None
        if found is None:
            return None
        return float(found[1]) if "." in found[1] else int(found[1][: _DIGITS_OF_MOST * 2])

    def schema(self) -> dict[str, Any]:
        """Return the schema of the number."""
        least = {"exclusiveMinimum" if self._above else "minimum": self._least}
        most = {"exclusiveMaximum" if self._below else "maximum": self._most}
        return {"anyOf": [{"type": "number", **least, **most}, self._texts]}

    @property
    def _texts(self) -> dict[str, Any]:
        return text_like(_DECIMAL.pattern)

    @property
    def _wanted(self) -> str:
        most = "" if self._most == sys.float_info.max else f", {self._most:g} at most"
        most = f", less than {self._most:g}" if self._below else most
        return (
            f"a number{self._unit}, {f'more than {self._least:g}' if self._above else f'{self._least:g} or more'}{most}"
        )


@exported_from("aioverseer.forms")
class Seconds(Number):
    """Seconds: a number, or a text such as ``"5m"`` or ``"1h 30m"``."""

    _noun = "time"

    def __init__(self, least: float = 0.0, *, above: bool = False) -> None:
        super().__init__(least, above=above, unit="seconds")

    def _number_in(self, data: Any) -> float | None:
        if not isinstance(data, str) or not DURATION.fullmatch(data):
            return super()._number_in(data)
        parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)", data.lower())
        return float(sum(float(number) * SECONDS_IN[unit] for number, unit in parts))

    @property
    def _texts(self) -> dict[str, Any]:
        return text_like(f"{_DECIMAL.pattern}|{DURATION.pattern}")

    @property
    def _wanted(self) -> str:
        return f'{super()._wanted}, or for example "5m"'


class TextOrBytes(Form):
    """Text as text, bytes as an object with their base64."""

    def write(self, value: Any) -> Any:
        """Return a text, or ``{"base64": ...}``."""
        return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value

    def read(self, data: Any) -> Any:
        """Return text or bytes."""
        if isinstance(data, str):
            return data
        match data:
            case {"base64": str(text), **rest} if not rest:
                try:
                    return base64.b64decode(text, validate=True)
                except (ValueError, binascii.Error):
                    raise refused("is no base64") from None
            case _:
                raise refused('is no text and no {"base64": text}')

    def schema(self) -> dict[str, Any]:
        """Return the schema of both."""
        encoded = {
            "type": "object",
            "properties": {"base64": text_like(_BASE64)},
            "required": ["base64"],
            "additionalProperties": False,
        }
        return {"anyOf": [{"type": "string"}, encoded]}


@exported_from("aioverseer.forms")
class Signal(Form):
    """A signal by its name, or by its number if it has none."""

    _names = tuple(each.name for each in Signals)
    _numbers = range(1, 65)

    def write(self, value: Any) -> Any:
        """Return the name or the number."""
        named = as_signal(value)
        return named.name if isinstance(named, Signals) else int(named)

    def read(self, data: Any) -> Any:
        """Return the signal."""
        if isinstance(data, str) and data in self._names:
            return Signals[data]
        if isinstance(data, int) and not isinstance(data, bool) and data in self._numbers:
            return as_signal(data)
        if isinstance(data, str):
            near = get_close_matches(f"SIG{data.upper().removeprefix('SIG')}", self._names, n=1)
            raise refused(
                "is no signal: write its name, such as SIGTERM, SIGINT, SIGHUP, SIGUSR1 or SIGKILL",
                f'did you mean "{near[0]}"?' if near else None,
            )
        raise refused(f'is {_shown(data)}: write a signal by its name, such as "SIGTERM"')

    def schema(self) -> dict[str, Any]:
        """Return the schema of a signal."""
        return {"anyOf": [{"enum": list(self._names)}, {"type": "integer", "minimum": 1, "maximum": 64}]}


def _kind(data: Any) -> str:
    return type(data).__name__


def _shown(data: Any, wanted: str = "") -> str:
    """Return what kind of value there is, without the value; of a text that it is not what is wanted."""
    if isinstance(data, str):
        return "empty" if not data else f"no {wanted}" if wanted else "a text"
    if isinstance(data, Mapping):
        return "a table" if cast("Mapping[str, Any]", data) else "an empty table"
    return {"NoneType": "null", "list": "a list", "bool": "a bool"}.get(_kind(data), f"of type {_kind(data)}")


TEXT = Text()
PATH = Path()
FLAG = Flag()
NUMBER = Number()
SECONDS = Seconds()
BYTES = TextOrBytes()
SIGNAL = Signal()
