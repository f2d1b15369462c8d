"""Forms of lists, tables and objects, for ``Spec.to_dict`` and ``Spec.from_dict``.

A form writes one kind of value, reads it again, and tells the JSON Schema of what it reads. Reading finds all that is
wrong in the data, each thing with its place; the constructor of the value checks what is left.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.command_text import split_command
from aioverseer.core.options.data_words import EXAMPLES
from aioverseer.core.options.docs import described
from aioverseer.core.options.flaws import DataError, Flaw, refused
from aioverseer.core.options.form import NO_TABLE, Form, table
from aioverseer.core.options.function_names import is_function, object_name, resolve
from aioverseer.core.options.leaf_forms import Text, text_like
from aioverseer.core.options.numbers import expands
from aioverseer.core.options.unknown import hint_for_name

__all__ = [
    "COMMAND",
    "FUNCTION",
    "Choice",
    "CommandLine",
    "Either",
    "Function",
    "Kinds",
    "ListOf",
    "Made",
    "MappingOf",
    "OrNone",
    "Record",
    "Reference",
    "Table",
    "WordOr",
    "flaw_of",
    "unknown_key",
    "with_example",
]


_NO_LIMIT = frozenset({"inf", "infinite", "infinity", "no", "null", "unlimited"})
"""Words for None in other tools, in small letters."""


@exported_from("aioverseer.forms")
class ListOf(Form):
    """A tuple or a set of values, as a list."""

    def __init__(
        self,
        item: Form,
        make: Callable[[list[Any]], Any] = tuple,
        *,
        ordered: bool = True,
        alone: bool = False,
        least: int = 0,
        most: int | None = None,
    ) -> None:
        """Prepare.

        Args:
            item: Form of each item.
            make: Class of the value.
            ordered: Whether the order says something; otherwise the list is written sorted.
            alone: Whether one item may stand for a list of one.
            least: Least number of items.
            most: Highest number of items; None for no limit.
        """
        self._item = item
        self._make = make
        self._ordered = ordered
        self._alone = alone
        self._least = least
        self._most = most

    def write(self, value: Any) -> Any:
        """Return a list; sorted if the order says nothing."""
        return [self._item.write(item) for item in (value if self._ordered else sorted(value))]

    def read(self, data: Any) -> Any:
        """Return the values of a list."""
        if not isinstance(data, list | tuple):
            if self._alone:
                return self._make([self._item.read(data)])
            raise refused(f"is of type {type(data).__name__}: write a list")
        items: list[Any] = []
        flaws: list[Flaw] = []
        for number, item in enumerate(cast("list[Any]", data)):
            try:
                items.append(self._item.read(item))
            except DataError as error:
                flaws += error.below(number)
        if flaws:
            raise DataError.of(flaws)
        if len(items) < self._least:
            raise refused("is an empty list: write at least one" if not items else f"is too short: write {self._least}")
        if self._most is not None and len(items) > self._most:
            raise refused(f"is too long: write {self._most} at most")
        return self._make(items)

    def schema(self) -> dict[str, Any]:
        """Return the schema of a list."""
        made: dict[str, Any] = {"type": "array", "items": self._item.schema()}
        if self._least:
            made["minItems"] = self._least
        if self._most is not None:
            made["maxItems"] = self._most
        return {"anyOf": [self._item.schema(), made]} if self._alone else made


@exported_from("aioverseer.forms")
class MappingOf(Form):
    """A mapping of names to values."""

    def __init__(self, item: Form, key: Form | None = None, *, what: str = "name") -> None:
        """Prepare.

        Args:
            item: Form of each value.
            key: Form of each name; None for any text.
            what: Kind of names, for messages.
        """
        self._item = item
        self._key = key
        self._what = what

    def write(self, value: Any) -> Any:
        """Return an object."""
        return {name: self._item.write(item) for name, item in value.items()}

    def read(self, data: Any) -> Any:
        """Return the values of an object."""
        values: dict[str, Any] = {}
        flaws: list[Flaw] = []
        for name, item in table(data).items():
            try:
                if self._key is not None:
                    self._key.read(name)
            except DataError as error:
                # A value may have been written into the name.
                shown = name.partition("=")[0]
                flaws += [
                    Flaw(path=(shown,), message=f"{shown!r} {each.message}", hint=each.hint, of_key=True)
                    for each in error.flaws
                ]
                continue
            try:
                values[name] = self._item.read(item)
            except DataError as error:
                flaws += error.below(name)
        if flaws:
            raise DataError.of(flaws)
        return values

    def schema(self) -> dict[str, Any]:
        """Return the schema of an object."""
        keys = {} if self._key is None else {"propertyNames": self._key.schema()}
        return {"type": "object", "additionalProperties": self._item.schema(), **keys}


@exported_from("aioverseer.forms")
class OrNone(Form):
    """A value or None: null, or the text ``"none"``, as TOML has no null."""

    def __init__(self, form: Form, *, word: bool = True) -> None:
        """Prepare.

        Args:
            form: Form of the value.
            word: Whether ``"none"`` is None too.
        """
        self._form = form
        self._word = word

    def write(self, value: Any) -> Any:
        """Return the value, or None."""
        return None if value is None else self._form.write(value)

    def read(self, data: Any) -> Any:
        """Return the value, or None."""
        if data is None or (self._word and isinstance(data, str) and data == "none"):
            return None
        try:
            return self._form.read(data)
        except DataError as error:
            if self._word and isinstance(data, str) and data.lower() in _NO_LIMIT:
                raise refused(error.flaws[0].message, 'write "none" for no limit') from None
            raise

    def schema(self) -> dict[str, Any]:
        """Return the schema of both."""
        return {"anyOf": [self._form.schema(), {"enum": [None, "none"] if self._word else [None]}]}


@exported_from("aioverseer.forms")
class Either(Form):
    """One of several forms, chosen by a look at the data; written by a function."""

    def __init__(
        self, *choices: tuple[Callable[[Any], bool], Form], wanted: str, write: Callable[[Any], Any] | None = None
    ) -> None:
        """Prepare.

        Args:
            *choices: Conditions on the data, and forms; the first that holds counts.
            wanted: Advice for data that no condition holds for, such as ``a number``.
            write: Function that writes a value; None to write it as it is.
        """
        self._choices = choices
        self._wanted = wanted
        self._write = write

    def write(self, value: Any) -> Any:
        """Return JSON values for a value."""
        return value if self._write is None else self._write(value)

    def read(self, data: Any) -> Any:
        """Return the value of JSON values."""
        for holds, form in self._choices:
            if holds(data):
                return form.read(data)
        raise refused(f"is of type {type(data).__name__}: write {self._wanted}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of all."""
        return {"anyOf": [form.schema() for _, form in self._choices]}


class Record(Form):
    """An object of a class, by the names of its arguments. Arguments at their defaults are left out."""

    def __init__(
        self,
        make: Callable[..., Any],
        fields: Mapping[str, Form],
        *,
        short: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        called: Mapping[str, str] | None = None,
        docs: object = None,
        inner: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """Prepare.

        Args:
            make: The class. Each argument is an attribute of its objects.
            fields: The form of each argument that is part of the data.
            short: The argument that may stand for the whole object, as in ``restart = "never"``.
            defaults: Attributes of an object made without arguments, where they are not the defaults of the arguments.
            called: Other names of arguments in the data, such as ``{"port": "tcp"}``.
            docs: The class or function whose docstring describes the arguments; None for ``make``.
            inner: Keys of the table of an argument that are often written beside it, for messages.
        """
        parameters = {name: each for name, each in inspect.signature(make).parameters.items() if name in fields}
        self._make = make
        self._docs = make if docs is None else docs
        self._called = dict(called or {})
        self.fields: dict[str, Form] = {self._called.get(name, name): form for name, form in fields.items()}
        self._arguments = {self._called.get(name, name): name for name in fields}
        self._short = short
        self._outer = {key: name for name, keys in (inner or {}).items() for key in keys}
        self._defaults: dict[str, Any] = {name: each.default for name, each in parameters.items()}
        self._defaults |= dict(defaults or {})
        self._required = [
            self._called.get(name, name)
            for name, each in parameters.items()
            if each.default is each.empty and each.kind is not each.VAR_POSITIONAL
        ]

    def write(self, value: Any, but: str = "") -> Any:
        """Return an object of the arguments that differ from their defaults.

        Args:
            value: The object of the class.
            but: An argument to leave out.
        """
        written: dict[str, Any] = {}
        for name, form in self.fields.items():
            argument = self._arguments[name]
            each, default = getattr(value, argument), self._defaults[argument]
            if argument != but and each is not default and each != default:
                written[name] = None if each is None else form.write(each)
        return written

    def read(self, data: Any) -> Any:
        """Return the object made of an object of arguments."""
        if self._short is not None and not isinstance(data, Mapping):
            try:
                return self._read({self._short: data})
            except DataError as error:
                raise DataError.of(
                    [each if len(each.path) == 0 else _without_key(each) for each in error.flaws]
                ) from None
        return self._read(table(data))

    def with_maker(self, make: Callable[..., Any]) -> Record:
        """Return the same form with another constructor."""
        other = copy.copy(self)
        other._make = make  # of the same class
        return other

    def _read(self, given: Mapping[str, Any]) -> Any:
        values: dict[str, Any] = {}
        flaws: list[Flaw] = []
        meant: set[str] = set()
        for name, each in given.items():
            form = self.fields.get(name)
            if form is None:
                outer = self._outer.get(name)
                meant |= {outer} if outer else set(get_close_matches(name, self._required))
                flaw = unknown_key(name, self.fields)
                flaws.append(flaw if outer is None else replace(flaw, hint=f"write {outer} = {{ {name} = ... }}"))
                continue
            try:
                values[self._arguments[name]] = form.read(each)
            except DataError as error:
                flaws += with_example(name, error).below(name)
        missing = [name for name in self._required if name not in given and name not in meant]
        flaws += [Flaw(message=f"has no {name}: write it") for name in missing]
        if flaws:
            raise DataError.of(flaws)
        try:
            return self._make(**values)
        except DataError:
            raise
        except SpecError as error:
            raise DataError.of([flaw_of(error, self._called, self._arguments.values())]) from error

    def schema(self) -> dict[str, Any]:
        """Return the schema of an object, or also of the short form."""
        made: dict[str, Any] = {
            "type": "object",
            "properties": described(self.properties(), self._docs, self._arguments),
            "additionalProperties": False,
        }
        if self._required:
            made["required"] = list(self._required)
        return made if self._short is None else {"anyOf": [self.fields[self._short].schema(), made]}

    def argument(self, name: str) -> str | None:
        """Return the argument that a name in the data stands for; None for none."""
        return self._arguments.get(name)

    def properties(self) -> dict[str, dict[str, Any]]:
        """Return the schemas of the arguments."""
        return {name: form.schema() for name, form in self.fields.items()}


class Kinds(Form):
    """One of several objects, each by a key of its own: ``{"tcp": 8000, "host": "::1"}``."""

    def __init__(
        self,
        kinds: Mapping[str, tuple[type, Form]],
        *,
        what: str,
        example: str,
        words: Iterable[str] = (),
        address: Form | None = None,
        other: Form | None = None,
    ) -> None:
        """Prepare.

        Args:
            kinds: Class and form of each kind. A form without the key of its kind as a field stands for
                ``{"notify": true}``.
            what: Noun for the value, for messages.
            example: Example of the data, for messages.
            words: Kinds that may be written as their name alone.
            address: Form of a text that is no word.
            other: Form of any other object.
        """
        self._kinds = kinds
        self._what = what
        self._example = example
        self._words = tuple(words)
        self._address = address
        self._other = other

    def write(self, value: Any) -> Any:
        """Return an object with the kind and the arguments that are not at their defaults."""
        for name, (kind, form) in self._kinds.items():
            if isinstance(value, kind):
                written = form.write(value)
                if not isinstance(form, Record):
                    return {name: written}
                return {name: self._first(name, form, value), **{key: written[key] for key in written if key != name}}
        if self._other is None:
            raise SpecError(f"{value!r} is no {self._what} that data can describe", value=value)
        return self._other.write(value)

    @staticmethod
    def _first(name: str, form: Record, value: Any) -> Any:
        argument = form.argument(name)
        return True if argument is None else form.fields[name].write(getattr(value, argument))

    def read(self, data: Any) -> Any:
        """Return the value of its kind."""
        if isinstance(data, str):
            if data in self._words:
                data = {data: True}
            elif self._address is not None:
                return self._address.read(data)
            else:
                raise refused(f"is no {self._what}: write {self._known}")
        if not isinstance(data, Mapping):
            raise refused(f"is no {self._what}: write {self._known}")
        given = table(cast("object", data))
        for name, (_, form) in self._kinds.items():
            if name not in given:
                continue
            if not isinstance(form, Record):
                return self._read_alone(name, form, given)
            self._refuse_others(name, form, given)
            if name in form.fields:
                return form.read(given)
            if given[name] is not True:
                raise DataError.of([Flaw(path=(name,), message="takes no argument: write true")])
            return form.read({key: each for key, each in given.items() if key != name})
        if self._other is not None and not {"function", "object"}.isdisjoint(given):
            return self._other.read(data)
        for key in given:
            if near := get_close_matches(key, self._kinds, n=1):
                message = f"there is no {self._what} {key!r}"
                raise DataError.of([Flaw(path=(key,), message=message, hint=f"did you mean {near[0]!r}?", of_key=True)])
        raise refused(f"is no {self._what}: write {self._known}")

    def _refuse_others(self, name: str, form: Record, given: Mapping[str, Any]) -> None:
        others = [key for key in given if key in self._kinds and key != name and key not in form.fields]
        if others:
            both = f"write all = [{{ {name} = ... }}, {{ {others[0]} = ... }}]" if "all" in self._kinds else None
            raise DataError.of(
                Flaw(path=(key,), message=f"{key!r} cannot go with {name!r}", hint=both, of_key=True) for key in others
            )

    @staticmethod
    def _read_alone(name: str, form: Form, given: Mapping[str, Any]) -> Any:
        others = [key for key in given if key != name]
        if others:
            raise DataError.of(
                [Flaw(path=(key,), message=f"{key!r} cannot go with {name!r}", of_key=True) for key in others]
            )
        try:
            return form.read(given[name])
        except DataError as error:
            raise DataError.of(error.below(name)) from None

    def schema(self) -> dict[str, Any]:
        """Return the schema of all kinds."""
        made: list[dict[str, Any]] = [{"enum": list(self._words)}] if self._words else []
        if self._address is not None:
            made.append(self._address.schema())
        for name, (_, form) in self._kinds.items():
            inner = form.schema()
            if not isinstance(form, Record):
                inner = {"type": "object", "properties": {name: inner}, "additionalProperties": False}
            elif name not in form.fields:
                inner = {**inner, "properties": {name: {"const": True}, **inner["properties"]}}
            # The first kind counts whose key is there, so the keys of the kinds before it exclude each other.
            made.append({**inner, "required": sorted({*cast("list[str]", inner.get("required", [])), name})})
        return {"anyOf": [*made, *([] if self._other is None else [self._other.schema()])]}

    @property
    def _known(self) -> str:
        if self._address is not None:
            return f"for example {self._example}"
        return f"one of {', '.join(self._kinds)}, for example {self._example}"


class Made(Form):
    """A value that a function makes of the data of another form."""

    def __init__(self, form: Form, make: Callable[[Any], Any]) -> None:
        """Prepare.

        Args:
            form: Form of the data.
            make: Function that makes the value.
        """
        self._form = form
        self._make = make

    def read(self, data: Any) -> Any:
        """Return the value of the data."""
        value = self._form.read(data)
        try:
            return self._make(value)
        except DataError:
            raise
        except SpecError as error:
            raise DataError.of([flaw_of(error, {}, ())]) from error

    def schema(self) -> dict[str, Any]:
        """Return the schema of the data."""
        return self._form.schema()


@exported_from("aioverseer.forms")
class Table(Form):
    """A table with known keys, as a dict of what their forms read."""

    def __init__(
        self, fields: Mapping[str, Form], *, required: Iterable[str] = (), docs: Mapping[str, str] | None = None
    ) -> None:
        """Prepare.

        Args:
            fields: Form of each key.
            required: Keys that must be there.
            docs: Descriptions of the keys, for the schema.
        """
        self.fields = dict(fields)
        self._required = tuple(required)
        self._docs = dict(docs or {})

    def write(self, value: Any) -> Any:
        """Return the table as data."""
        return {name: self.fields[name].write(each) for name, each in value.items()}

    def read(self, data: Any) -> Any:
        """Return the values by their keys."""
        values: dict[str, Any] = {}
        flaws: list[Flaw] = []
        given = table(data)
        for name, each in given.items():
            if name not in self.fields:
                flaws.append(unknown_key(name, self.fields))
                continue
            try:
                values[name] = self.fields[name].read(each)
            except DataError as error:
                flaws += error.below(name)
        flaws += [Flaw(message=f"has no {name}: write it") for name in self._required if name not in given]
        if flaws:
            raise DataError.of(flaws)
        return values

    def schema(self) -> dict[str, Any]:
        """Return the schema of the table."""
        properties = {name: form.schema() for name, form in self.fields.items()}
        made: dict[str, Any] = {
            "type": "object",
            "properties": {
                name: {"description": self._docs[name], **each} if name in self._docs else each
                for name, each in properties.items()
            },
            "additionalProperties": False,
        }
        return {**made, "required": list(self._required)} if self._required else made


class Function(Form):
    """A function or a class by its module and name; any other object by those of its class, which is never read."""

    def write(self, value: Any) -> Any:
        """Return ``{"function": "module:name"}``, or ``{"object": "module:name"}`` for what no name leads to."""
        return {"function" if is_function(value) else "object": object_name(value)}

    def read(self, data: Any) -> Any:
        """Return the function of a name; its module is imported."""
        match table(data):
            case {"function": str(name), **rest} if not rest:
                return resolve(name)
            case {"object": str(name)}:
                raise refused(
                    f"is {name!r}, an object that data cannot describe: pass the Spec itself, or a function or class "
                    "at the top of a module"
                )
            case _:
                raise refused('names no function: write { function = "module:name" }')

    def schema(self) -> dict[str, Any]:
        """Return the schema of a name."""
        return {
            "type": "object",
            "properties": {"function": text_like("[^:\\u0000]+:[^:\\u0000]+")},
            "required": ["function"],
            "additionalProperties": False,
        }


class WordOr(Form):
    """A value that another form reads, or anything else by a second one."""

    def __init__(self, plain: Form, other: Form) -> None:
        """Prepare.

        Args:
            plain: Form of texts and bools.
            other: Form of all else.
        """
        self._plain = plain
        self._other = other

    def write(self, value: Any) -> Any:
        """Return a text or a bool as it is."""
        return value if isinstance(value, str | bool) else self._other.write(value)

    def read(self, data: Any) -> Any:
        """Return a word, or the value of another form."""
        return self._other.read(data) if isinstance(data, Mapping) else self._plain.read(data)

    def schema(self) -> dict[str, Any]:
        """Return the schema of both."""
        return {"anyOf": [self._plain.schema(), self._other.schema()]}


class Choice(Form):
    """One of a few values as they are, such as true or a word."""

    def __init__(self, values: Iterable[object]) -> None:
        self._values = tuple(values)

    def write(self, value: Any) -> Any:
        """Return the value."""
        return value

    def read(self, data: Any) -> Any:
        """Return the value."""
        for value in self._values:
            if type(value) is type(data) and value == data:
                return data
        listed = ", ".join(f'"{each}"' if isinstance(each, str) else str(each).lower() for each in self._values)
        raise refused(f"is unknown: write one of {listed}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the values."""
        return {"enum": list(self._values)}


@exported_from("aioverseer.forms")
class CommandLine(Form):
    """The words of a command: a list, or a text that is split as a shell does."""

    _word = Text("word", empty=True, number=True)
    _words = ListOf(_word, list, least=1)

    def __init__(self, *, text: bool = True) -> None:
        """Prepare.

        Args:
            text: Whether a text is a command.
        """
        self._text = text

    def write(self, value: Any) -> Any:
        """Return a list."""
        return list(value)

    def read(self, data: Any) -> Any:
        """Return a list of words."""
        if isinstance(data, str) and self._text:
            words: list[str] = split_command(data)
            if expands(words[0]) is not None:
                raise refused(_EXPANDS)
            return words
        words = self._words.read(data)
        if not words[0]:
            raise DataError.of([Flaw(path=(0,), message="is empty: name the program to run")])
        if expands(words[0]) is not None:
            raise DataError.of([Flaw(path=(0,), message=_EXPANDS)])
        return words

    def schema(self) -> dict[str, Any]:
        """Return the schema of both."""
        text = text_like(r"[^\u0000]*[^\u0000\s][^\u0000]*")
        words = {
            "type": "array",
            "items": [Text("word", number=True).schema()],
            "additionalItems": self._word.schema(),
            "minItems": 1,
        }
        return {"anyOf": [text, words]} if self._text else words


class Reference(Form):
    """A form by a name, for forms that contain themselves, and for schemas that stand once."""

    def __init__(self, name: str, forms: Mapping[str, Form]) -> None:
        """Prepare.

        Args:
            name: Name below ``$defs``.
            forms: Forms by their names; filled later.
        """
        self._name = name
        self._forms = forms

    def write(self, value: Any) -> Any:
        """Return JSON values for a value."""
        return self._forms[self._name].write(value)

    def read(self, data: Any) -> Any:
        """Return the value of JSON values."""
        return self._forms[self._name].read(data)

    def schema(self) -> dict[str, Any]:
        """Return the reference."""
        return {"$ref": f"#/$defs/{self._name}"}


def with_example(name: str, error: DataError) -> DataError:
    """Return the error about an option; if its data should be a table, an example is shown.

    Args:
        name: Name of the option in the data.
        error: Error of its form.
    """
    example = {**EXAMPLES, **_INNER_EXAMPLES}.get(name)
    if example is None or not any(not each.path and each.message.endswith(NO_TABLE) for each in error.flaws):
        return error
    return refused(f"is no table: write for example {example}")


_INNER_EXAMPLES = {"backoff": 'backoff = { min = "1s", max = "1m" }'}
"""Examples of options inside of others."""


def unknown_key(name: str, known: Iterable[str]) -> Flaw:
    """Return the flaw of a key that does not exist."""
    return Flaw(path=(name,), message=f"there is no option {name!r}", hint=hint_for_name(name, known), of_key=True)


def _without_key(flaw: Flaw) -> Flaw:
    return Flaw(path=flaw.path[1:], message=flaw.message, hint=flaw.hint)


_OWNER = re.compile(r"(?:service '.*?': |group '.*?': |[A-Za-z][\w.]*(?:\('.*?'\))?: )?")
_NAMED = re.compile(r"([\w.]+)(?:\[[^\]]*\])?=")


def flaw_of(error: SpecError, called: Mapping[str, str], arguments: Iterable[str]) -> Flaw:
    """Return the flaw of an error of a constructor: its message begins with ``owner: name=value``.

    Args:
        error: Error of the constructor.
        called: Names in the data of arguments, where they differ.
        arguments: Names of the arguments.
    """
    text = str(error)
    owner = _OWNER.match(text)
    rest = text[owner.end() if owner else 0 :]
    named = _NAMED.match(rest)
    name = named[1].rpartition(".")[2] if named else ""
    shown = f"{named[0]}{error.value!r} " if named else ""
    if shown and rest.startswith(shown):
        rest = rest[len(shown) :]
    return Flaw(path=(called.get(name, name),) if name in set(arguments) else (), message=rest)


_EXPANDS = "begins with ~ or a variable, which only a shell expands: write the whole path, or sh -c '...' around it"
FUNCTION = Function()
COMMAND = CommandLine()
