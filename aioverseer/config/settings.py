"""Settings of the command line, such as ``web.instances=2``: the topmost layer of a file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from aioverseer.config.document import Document
from aioverseer.config.merging import merge
from aioverseer.config.problems import ConfigError, Problem
from aioverseer.config.shapes import is_table

__all__ = ["formation", "read_settings"]

_KEY = re.compile(r"""\s*(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*\s*""")
_MOST_PARTS = 100
"""Parts of a key. The time that tomllib needs grows with their square."""
_LITERAL = ("[", "{", '"', "'")
"""The beginnings of values that are TOML and no text."""
_TEXTS = frozenset({"command", "cwd", "name"})
"""Options that take a text and no number."""
_TABLES_OF_TEXTS = frozenset({"env", "extra_env"})
"""Options that are tables of texts. In ``vars``, only a number that another text would show differently is a text."""


def read_settings(settings: Collection[str], *, sections: Collection[str], folder: str) -> list[Document]:
    """Return a document for each setting, ``KEY=VALUE``.

    The key begins with a name of a service, or with a section of the file. The value is one of TOML, or a text. A
    value for a service alone, ``web=2``, is the number of its instances.

    Args:
        settings: The settings in their order.
        sections: Keys at the top of a file.
        folder: Folder at which the paths in them begin.

    Raises:
        ConfigError: For settings that have another form.
    """
    problems: list[Problem] = []
    documents: list[Document] = []
    for setting in settings:
        key, equals, value = setting.partition("=")
        file = f"-s {key.strip() if equals else setting}"  # a value may be secret
        if not equals or key.count(".") > _MOST_PARTS or _KEY.fullmatch(key) is None:
            problems.append(Problem(file=file, message="this is no setting", hint="write for example web.instances=2"))
            continue
        try:
            data = _table(key, value.strip())
        except (tomllib.TOMLDecodeError, RecursionError):
            problems.append(
                Problem(file=file, message="the value is not TOML", hint="write for example web.log='{path = \"x\"}'")
            )
            continue
        (first,) = data
        if first not in sections:
            table = data[first] if is_table(data[first]) else {"instances": data[first]}  # web=2
            data = {"services": {first: table}}
        elif len(data) == 1 and first == "services" and not is_table(data[first]):
            problems.append(Problem(file=file, message="this is no setting", hint="write web.instances=2"))
            continue
        documents.append(Document(file=file, folder=folder, text="", data=data, is_toml=False))
    if problems:
        raise ConfigError(problems)
    return documents


def formation(settings: Iterable[Document]) -> dict[str, int]:
    """Return the numbers of instances that settings give, by the names of services."""
    found: dict[str, int] = {}
    for document in settings:
        for name, table in document.data.get("services", {}).items():
            count = table.get("instances") if is_table(table) else None
            if isinstance(count, int) and not isinstance(count, bool):
                found[name] = count
    return found


def _value(text: str, path: Sequence[str]) -> Any:
    """Return a value of TOML, or the text where that has no quotes and stands for a text."""
    try:
        value = tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except tomllib.TOMLDecodeError:
        if text.startswith(_LITERAL):
            raise
        return text
    if text.startswith(_LITERAL):
        return value
    if path[-1] in _TEXTS or (len(path) > 1 and path[-2] in _TABLES_OF_TEXTS):
        return text
    is_plain = text == (str(value).lower() if isinstance(value, bool) else str(value))
    return text if path[0] == "vars" and not is_plain else value


def _table(key: str, text: str) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(f"{key} = 0")
    path: list[str] = []
    inner: Any = table
    while is_table(inner):
        ((name, inner),) = inner.items()
        path.append(name)
    return merge(table, _with_leaf(table, _value(text, path)))


def _with_leaf(table: dict[str, Any], value: Any) -> dict[str, Any]:
    ((key, inner),) = table.items()
    return {key: _with_leaf(inner, value) if is_table(inner) else value}
