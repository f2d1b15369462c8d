"""Values of the environment in messages: the name of the variable stands in their place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from aioverseer.config.shapes import is_list, is_table

__all__ = ["Hidden", "names_in", "names_in_command", "without_values"]

_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_NAME_IN_COMMAND = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_PIECE = re.compile(r"\w{3,}")


def names_in(data: Any) -> set[str]:
    """Return the names of the variables in the texts of data."""
    return {name for text in _texts_in(data) if "$" in text for name in _NAME.findall(text)}


def names_in_command(text: str) -> set[str]:
    """Return the names of the variables in a line of a Procfile, with braces and without."""
    return set(_NAME_IN_COMMAND.findall(text))


class Hidden:
    """The variables whose values no text about a service shows. They are looked for when there is such a text."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        data: Mapping[str, Any] | None = None,
        names: Mapping[str, set[str]] | None = None,
        ports: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare.

        Args:
            environ: Variables and their values.
            data: The merged table of the file.
            names: Further names of variables, by the services.
            ports: Values of ``PORT`` that came from files of variables, by the services.
        """
        self._environ = environ or {}
        self._data = data or {}
        self._names = names or {}
        self._ports = ports or {}

    def __repr__(self) -> str:
        """Return the name of the class, without the values."""
        return "Hidden()"

    def __call__(self, service: str, text: str) -> str:
        """Return a text about a service with names of variables in place of their values.

        Args:
            service: Id of the service.
            text: The text.
        """
        data = self._data
        table = data.get("services", {}).get(service)
        names = names_in([data.get("defaults"), data.get("vars"), table]) | self._names.get(service, set())
        values = {name: self._environ[name] for name in names if name in self._environ}
        if service in self._ports:
            values["PORT"] = self._ports[service]
        return without_values(text, set(values), values) if values else text


def without_values(message: str, names: set[str], environ: Mapping[str, str]) -> str:
    """Return a message with names of variables in place of their values, and of the longer pieces of these.

    Args:
        message: The message.
        names: Names of the variables that the value at the place of the message has.
        environ: Variables and their values.
    """
    for name in sorted(names):
        value = environ.get(name, "")
        forms = value, value.replace("{", "{{").replace("}", "}}")  # as it is, and as text beside placeholders
        pieces = {*forms, *(repr(form)[1:-1] for form in forms), *_PIECE.findall(value)} - {""}
        for piece in sorted(pieces, key=len, reverse=True):
            # A short value may be a part of any word, so it counts alone.
            pattern = re.escape(piece) if len(piece) > 2 else rf"(?<!\w){re.escape(piece)}(?!\w)"  # noqa: PLR2004  # as above
            message = re.sub(pattern, lambda _, name=name: f"${{{name}}}", message)
    return message


def _texts_in(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif is_table(data):
        for each in data.values():
            yield from _texts_in(each)
    elif is_list(data):
        for each in data:
            yield from _texts_in(each)
