"""YAML as dicts, lists and the texts of its scalars, in which ``no`` and ``22:22`` stay what the file says."""

from __future__ import annotations

import re
from typing import Any, NoReturn, TypeGuard, cast

import yaml

from aioverseer.config.problems import ConfigError, Problem

__all__ = ["parse"]

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_DEEPEST = 40
_LARGEST = 2**20
"""Characters of a file. Large projects have a tenth of it."""
_MOST_OPEN = 200
"""Brackets that may be open at once, those in texts included."""
_BRACKET = re.compile(r"[\[\]{}]")
_DEEP_BLOCKS = re.compile(r"(?:[-?][ \t]+){200}|^ {1000}", re.MULTILINE)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader in C is twenty times as fast. It knows no limit of recursion, so the depth is looked at before."""
_MERGE = "<<"


def parse(text: str, *, path: str) -> dict[str, Any]:
    """Return the mapping at the top of a YAML file. Every scalar is a text; an empty one is None.

    Anchors, aliases and ``<<`` are resolved; parts that several aliases name are shared. Tags are ignored.

    Args:
        text: Text of the file.
        path: Path of the file, for messages.

    Raises:
        ConfigError: If the text is no YAML, has several documents, leads to itself, or has no mapping at its top.
    """
    if len(text) > _LARGEST:
        _refuse(path, None, f"this has more than {_LARGEST} characters", "divide it")
    if _most_open(text) > _MOST_OPEN or _DEEP_BLOCKS.search(text):
        _refuse(path, None, "mappings and lists are nested too deeply", f"nest them {_DEEPEST} deep at most")
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "it cannot be read"
        _refuse(path, mark, f"this is not YAML: {said}", "look at the indentation and the quotes")
    except yaml.YAMLError as error:
        _refuse(path, None, f"this is not YAML: {str(error).splitlines()[0]}", "save it as text in UTF-8")
    except RecursionError:
        _refuse(path, None, "mappings and lists are nested too deeply", f"nest them {_DEEPEST} deep at most")
    if not isinstance(node, yaml.MappingNode):
        _refuse(path, None if node is None else node.start_mark, "there is no mapping at the top", "name another file")
    return cast("dict[str, Any]", _Builder(path).value(node, 0))


def _most_open(text: str) -> int:
    """Return the largest number of brackets that are open at once."""
    depth = most = 0
    for found in _BRACKET.finditer(text):
        depth = depth + 1 if found[0] in "[{" else max(0, depth - 1)
        most = max(most, depth)
    return most


class _Builder:
    """Conversion of the nodes of one file. Each node is converted once, however many aliases name it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._made: dict[int, Any] = {}
        self._open: set[int] = set()

    def value(self, node: yaml.Node, depth: int) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return None if not node.style and node.value in _NULLS else node.value
        if id(node) in self._made:
            return self._made[id(node)]
        if id(node) in self._open:
            _refuse(self._path, node.start_mark, "an alias leads to itself", "write the value in place of the alias")
        if depth > _DEEPEST:
            why = "mappings and lists are nested too deeply"
            _refuse(self._path, node.start_mark, why, f"nest them {_DEEPEST} deep at most")
        self._open.add(id(node))
        items = cast("yaml.CollectionNode", node).value
        if isinstance(node, yaml.MappingNode):
            made: Any = self._mapping(items, depth)
        else:
            made = [self.value(item, depth + 1) for item in items]
        self._open.remove(id(node))
        self._made[id(node)] = made
        return made

    def _mapping(self, items: list[tuple[yaml.Node, yaml.Node]], depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in items:
            if not isinstance(key, yaml.ScalarNode):
                _refuse(self._path, key.start_mark, "this key is no text", "write a name before the colon")
            if key.value == _MERGE and not key.style:
                self._merge(merged, value, depth)
            else:
                own[key.value] = self.value(value, depth + 1)
        return {**merged, **own} if merged else own

    def _merge(self, merged: dict[str, Any], node: yaml.Node, depth: int) -> None:
        """Add the keys of the mappings that ``<<`` names. The first mapping with a key has its value."""
        found = self.value(node, depth + 1)
        for each in found if _is_list(found) else [found]:
            if not isinstance(each, dict):
                _refuse(self._path, node.start_mark, "<< takes a mapping, or a list of them", "name an anchor")
            for key, value in cast("dict[str, Any]", each).items():
                merged.setdefault(key, value)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _refuse(path: str, mark: yaml.Mark | None, message: str, hint: str) -> NoReturn:
    line, column = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
    raise ConfigError([Problem(file=path, line=line, column=column, message=message, hint=hint)]) from None
