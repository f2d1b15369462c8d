"""Forms: conversions between the values of options and JSON values, for ``Spec.to_dict`` and ``Spec.from_dict``.

A form writes one kind of value and reads it again. Reading checks the outline of the data; the constructor of the value
checks the rest. An error names the place in the data and never shows a value, which may be a secret.
"""

from __future__ import annotations

import base64
import binascii
import inspect
from collections.abc import Callable, Mapping
from signal import Signals
from typing import Any, TypeGuard, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.options.function_names import is_function, object_name, resolve
from aioverseer.core.options.unknown import hint_for_name
from aioverseer.core.state import as_signal

__all__ = [
    "BYTES",
    "FUNCTION",
    "PLAIN",
    "SIGNAL",
    "Bytes",
    "Form",
    "Function",
    "ListOf",
    "MappingOf",
    "Plain",
    "Record",
    "Signal",
    "WordOr",
    "is_list",
    "is_tuple",
    "refused",
    "table",
]


def refused(place: str, why: str) -> SpecError:
    """Return the error about data at a place, such as ``restart.backoff``. No value is part of it."""
    return SpecError(f"{place} {why}", option=place)


def is_list(data: Any) -> TypeGuard[list[Any]]:
    """Return whether JSON values are a list."""
    return isinstance(data, list)


def is_tuple(value: Any) -> TypeGuard[tuple[Any, ...]]:
    """Return whether a value is a tuple."""
    return isinstance(value, tuple)


def table(data: Any, place: str) -> Mapping[str, Any]:
    """Return data that must be an object with texts as keys."""
    kind = type(data).__name__
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in cast("Mapping[object, object]", data)):
        raise refused(place, f"is of type {kind}: write an object of names and values")
    return cast("Mapping[str, Any]", data)


class Form:
    """Conversion of one kind of value."""

    def write(self, value: Any) -> Any:
        """Return JSON values for a value."""
        raise NotImplementedError

    def read(self, data: Any, place: str) -> Any:
        """Return the value of JSON values.

        Args:
            data: The JSON values.
            place: Name of the option, with the names of those around it, for the error.

        Raises:
            SpecError: If the data cannot be a value of this kind.
        """
        raise NotImplementedError


class Plain(Form):
    """A value that is a JSON value itself."""

    def write(self, value: Any) -> Any:
        """Return the value."""
        return value

    def read(self, data: Any, place: str) -> Any:  # noqa: ARG002  # the constructor of the option checks it
        """Return the data."""
        return data


class ListOf(Form):
    """A tuple or a set of values, as a list."""

    def __init__(self, item: Form, make: Callable[[list[Any]], Any] = tuple, *, ordered: bool = True) -> None:
        self._item = item
        self._make = make
        self._ordered = ordered

    def write(self, value: Any) -> Any:
        """Return a list; sorted if the order says nothing."""
        return [self._item.write(item) for item in (value if self._ordered else sorted(value))]

    def read(self, data: Any, place: str) -> Any:
        """Return the values of a list."""
        if not isinstance(data, list | tuple):
            raise refused(place, f"is of type {type(data).__name__}: write a list")
        items = cast("list[Any]", data)
        return self._make([self._item.read(item, f"{place}[{number}]") for number, item in enumerate(items)])


class MappingOf(Form):
    """A mapping of names to values."""

    def __init__(self, item: Form) -> None:
        self._item = item

    def write(self, value: Any) -> Any:
        """Return an object."""
        return {name: self._item.write(item) for name, item in value.items()}

    def read(self, data: Any, place: str) -> Any:
        """Return the values of an object."""
        return {name: self._item.read(item, f"{place}.{name}") for name, item in table(data, place).items()}


class Record(Form):
    """An object of a class, by the names of its arguments. Arguments at their defaults are left out."""

    def __init__(
        self,
        make: Callable[..., Any],
        fields: Mapping[str, Form],
        *,
        short: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        without: str = "",
    ) -> None:
        """Prepare.

        Args:
            make: The class. Each argument is an attribute of its objects.
            fields: The forms of the arguments that are more than JSON values; all others are ``PLAIN``.
            short: The argument that may stand for the whole object, as in ``restart = "never"``.
            defaults: Attributes of an object made without arguments, where they are not the defaults of the arguments.
            without: An argument that is no part of the data.
        """
        parameters = {name: each for name, each in inspect.signature(make).parameters.items() if name != without}
        self._make = make
        self._short = short
        self.fields: dict[str, Form] = {name: fields.get(name, PLAIN) for name in parameters}
        self._defaults = {name: each.default for name, each in parameters.items()} | dict(defaults or {})

    def write(self, value: Any, but: str = "") -> Any:
        """Return an object of the arguments that differ from their defaults.

        Args:
            value: The object of the class.
            but: An argument to leave out.
        """
        written: dict[str, Any] = {}
        for name, form in self.fields.items():
            each, default = getattr(value, name), self._defaults[name]
            if name != but and each is not default and each != default:
                written[name] = None if each is None else form.write(each)
        return written

    def read(self, data: Any, place: str) -> Any:
        """Return the object made of an object of arguments."""
        if self._short is not None and not isinstance(data, Mapping):
            data = {self._short: data}
        given = table(data, place)
        for name in given:
            if name not in self.fields:
                raise refused(place, f"has no option {name!r}; {hint_for_name(name, self.fields)}")
        return self._make(**{
            name: each if each is None else self.fields[name].read(each, f"{place}.{name}")
            for name, each in given.items()
        })  # fmt: skip


class Bytes(Form):
    """Text as text, bytes as an object with their base64."""

    def write(self, value: Any) -> Any:
        """Return a text, or ``{"base64": ...}``."""
        return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value

    def read(self, data: Any, place: str) -> Any:
        """Return text or bytes."""
        if not isinstance(data, Mapping):
            return data
        given = table(data, place)
        if set(given) != {"base64"} or not isinstance(given["base64"], str):
            raise refused(place, 'is no text and no {"base64": text}')
        try:
            return base64.b64decode(given["base64"], validate=True)
        except (ValueError, binascii.Error):
            raise refused(place, "is no base64") from None


class Signal(Form):
    """A signal by its name, or by its number if it has none."""

    def write(self, value: Any) -> Any:
        """Return the name or the number."""
        named = as_signal(value)
        return named.name if isinstance(named, Signals) else int(named)

    def read(self, data: Any, place: str) -> Any:
        """Return the signal."""
        if not isinstance(data, str):
            return data
        try:
            return Signals[data]
        except KeyError:
            raise refused(place, f"is no signal: there are {', '.join(each.name for each in Signals)}") from None


class Function(Form):
    """A function or a class by its module and name; any other object by those of its class, which is never read."""

    def write(self, value: Any) -> Any:
        """Return ``{"function": "module:name"}``, or ``{"object": "module:name"}`` for what no name leads to."""
        return {"function" if is_function(value) else "object": object_name(value)}

    def read(self, data: Any, place: str) -> Any:
        """Return the function of a name; its module is imported."""
        given = table(data, place)
        match given:
            case {"function": str(name)} if len(given) == 1:
                return resolve(name, place)
            case {"object": str(name)}:
                raise refused(
                    place,
                    f"is {name!r}, an object that data cannot describe: pass the Spec itself, or a function or class "
                    "at the top of a module",
                )
            case _:
                raise refused(place, 'names no function: write {"function": "module:name"}')


class WordOr(Form):
    """One of a few words or plain values as they are, and anything else by another form."""

    def __init__(self, other: Form) -> None:
        self._other = other

    def write(self, value: Any) -> Any:
        """Return a text, a bool or None as it is."""
        return value if value is None or isinstance(value, str | bool) else self._other.write(value)

    def read(self, data: Any, place: str) -> Any:
        """Return a text, a bool or None as it is."""
        return data if data is None or isinstance(data, str | bool) else self._other.read(data, place)


PLAIN = Plain()
BYTES = Bytes()
SIGNAL = Signal()
FUNCTION = Function()
