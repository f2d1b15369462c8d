"""Checker: the checks that several options of a Spec share. Each raises a SpecError that names the service."""

from __future__ import annotations

from typing import cast

from aioverseer.core.errors import SpecError
from aioverseer.core.options.meant import hint_for, with_hint
from aioverseer.core.options.numbers import expands, no_seconds, no_whole_number
from aioverseer.core.typing import PathLike

__all__ = ["Checker"]


class Checker:
    """Checks of the options of one service, whose id is part of each message.

    Attributes:
        id: Id of the service.
        owner: Begin of each message, ``service 'web'`` or the name of another value with such options.
    """

    def __init__(self, id: str, owner: str = "") -> None:
        self.id = id
        self.owner = owner or f"service {id!r}"

    def refuse(self, option: str, value: object, why: str) -> SpecError:
        """Return the error for a value of an option, with a hint where the value tells what is meant."""
        text = with_hint(why, hint_for(option, value))
        return SpecError(f"{self.owner}: {option}={value!r} {text}", option=option, value=value)

    def path(self, option: str, value: object) -> str:
        """Return a path as text."""
        # A str first: isinstance() with a protocol is about ten times as slow.
        text = value if isinstance(value, str) or not isinstance(value, PathLike) else value.__fspath__()
        if not isinstance(text, str) or not text or "\0" in text:
            raise self.refuse(option, value, "is no path: pass a non-empty str or a pathlib.Path")
        if (why := expands(text)) is not None:
            raise self.refuse(option, value, why)
        return text

    def one_of(self, option: str, value: object, known: tuple[str, ...]) -> object:
        """Return a value that is one of the known words."""
        if value not in known:
            raise self.refuse(option, value, f"is unknown: pass {' or '.join(map(repr, known))}")
        return value

    def flag(self, option: str, value: object) -> object:
        """Return a bool."""
        return self.kind(option, value, bool, "True or False")

    def kind(self, option: str, value: object, kind: type, wanted: str) -> object:
        """Return a value of a type."""
        if not isinstance(value, kind):
            raise self.refuse(option, value, f"is of type {type(value).__name__}: pass {wanted}")
        return value

    def whole(self, option: str, value: object, *, least: int, unit: str) -> object:
        """Return a whole number that is not below the least."""
        if (why := no_whole_number(value, unit, least=least)) is not None:
            raise self.refuse(option, value, why)
        return value

    def seconds(self, option: str, value: object, *, none: str = "") -> float:
        """Return a number of seconds."""
        if (why := no_seconds(value, none=none)) is not None:
            raise self.refuse(option, value, why)
        return float(cast("float", value))

    def more(self, option: str, value: object) -> float:
        """Return a number of seconds that is more than none."""
        if (why := no_seconds(value, above=True, none="for no limit")) is not None:
            raise self.refuse(option, value, why)
        return float(cast("float", value))

    def within(self, option: str, value: object, numbers: range) -> object:
        """Return a whole number of a range."""
        shown = oct if option == "umask" else str
        range_ = f"pass {shown(numbers[0])} to {shown(numbers[-1])}"
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refuse(option, value, f"is no whole number: {range_}")
        if value not in numbers:
            raise self.refuse(option, value, f"is too {'low' if value < numbers[0] else 'high'}: {range_}")
        return value
