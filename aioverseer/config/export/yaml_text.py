"""YAML as every reader understands it: a text that another reader could take for a number or a word is in quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

__all__ = ["yaml_documents"]

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*(?:[ :=][A-Za-z0-9_./@+-]+)*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
"""Texts that readers of YAML 1.1 take for something else."""


def yaml_documents(documents: Iterable[Mapping[str, Any]], *, comment: str) -> str:
    """Return the text of a file.

    Args:
        documents: The documents of the file.
        comment: The text of the first line.

    Raises:
        ModuleNotFoundError: If PyYAML is missing; it names the extra.
    """
    try:
        import yaml  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "YAML needs PyYAML: pip install 'aioverseer[convert]'", name=error.name, path=error.path
        ) from error

    class Dumper(yaml.SafeDumper):
        """Writer of texts in quotes, of lists that are indented, and of no aliases."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002
            del indentless
            super().increase_indent(flow=flow, indentless=False)

        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

    def text_node(dumper: Any, text: str) -> yaml.ScalarNode:
        is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
        node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')
        return node

    Dumper.add_representer(str, text_node)
    dump = cast("Any", yaml).dump
    texts = [dump(dict(each), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=4096) for each in documents]
    return f"# {comment}\n" + "---\n".join(texts)
