"""The JSON Schema of ``aioverseer.toml``, made of the forms that read its tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from aioverseer import Spec
from aioverseer.config.shapes import is_list
from aioverseer.config.unused import OF_FILES
from aioverseer.core.export import exported_from
from aioverseer.forms import Flag, Form, ListOf, MappingOf, Table, Text, group_form, hook_form, overseer_form

__all__ = ["schema"]

_EXPANDED = {
    "description": "A text with variables; the value counts.",
    "type": "string",
    "pattern": r"\$\{|\{vars\.",
}
_DOCS = {
    "$schema": "Address of this schema for editors; it has no effect.",
    "version": "Version of the format: 1.",
    "name": "Name of the project in messages and logs; by default that of the folder.",
    "include": "Further files, which are merged into this one.",
    "env_files": "Files of variables for `${NAME}`; after a `?` one may be missing.",
    "vars": "Values for `{vars.name}` in the texts of this file.",
    "defaults": "Options of all services.",
    "profiles": "Changes of this file, by the name of the profile that makes them.",
    "control": "Options of a control interface. They are checked, and have no effect yet.",
    "overseer": "Options of all services together.",
    "groups": "Groups of services with a common restart strategy, by their names.",
    "services": "Services, by their names.",
    "hooks": "Commands that are started for events.",
}
_OF_FILES = {
    "profiles": "Profiles with which the service is a part of the file; without any it always is.",
    "env_file": "Files of variables that are added to `extra_env`.",
    "enabled": "Whether the service is a part of the file.",
}
_LEAVES = ("integer", "number", "boolean")


@exported_from("aioverseer.config")
def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``aioverseer.toml``, in draft 7, as most editors read it.

    A text with variables is accepted for every value, as only a load knows the value.
    """
    spec = Spec.schema()
    definitions: dict[str, Any] = dict(spec["$defs"])
    options = {name: each for name, each in definitions["spec"]["properties"].items() if name != "id"}
    options |= {name: {"description": _OF_FILES[name], **form.schema()} for name, form in OF_FILES.items()}
    service = {"type": "object", "properties": options, "additionalProperties": False}
    sections = _sections()
    of_profiles = [name for name in sections if name not in _NOT_IN_PROFILES]
    definitions |= {f"section-{name}": sections[name] for name in of_profiles}
    # Editors show the description of the key itself, and not that of a definition.
    sections |= {
        name: {"description": _DOCS[name], "allOf": [{"$ref": f"#/$defs/section-{name}"}]} for name in of_profiles
    }
    profile = {
        "type": "object",
        "properties": {name: sections[name] for name in of_profiles},
        "additionalProperties": False,
    }
    made = _loosened({"definitions": {**definitions, "service": service, "profile": profile}, "properties": sections})
    made["definitions"]["expanded"] = _EXPANDED
    return cast(
        "dict[str, Any]",
        _renamed(
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "title": "aioverseer.toml",
                "type": "object",
                "properties": made["properties"],
                "additionalProperties": False,
                "definitions": made["definitions"],
            }
        ),
    )


_NOT_IN_PROFILES = frozenset({"$schema", "version", "name", "include", "profiles"})


def _sections() -> dict[str, Any]:
    service = {"$ref": "#/$defs/service"}
    values = {"type": ["string", "integer", "number", "boolean", "array", "object"]}
    forms: dict[str, Form] = {
        "$schema": Text("address"),
        "name": Text("name"),
        "include": ListOf(Text("path")),
        "env_files": ListOf(Text("path")),
        "control": Table(
            {"tcp": Text("address", pattern=r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):[0-9]{1,5}"), "metrics": Flag()}
        ),
        "overseer": overseer_form(),
        "groups": MappingOf(group_form()),
        "hooks": ListOf(hook_form()),
    }
    schemas: dict[str, dict[str, Any]] = {name: form.schema() for name, form in forms.items()}
    schemas |= {
        "version": {"const": 1},
        "vars": {"type": "object", "additionalProperties": values},
        "defaults": service,
        "services": {"type": "object", "additionalProperties": service},
        "profiles": {"type": "object", "additionalProperties": {"$ref": "#/$defs/profile"}},
    }
    # In draft 7 other keys beside "$ref" do not count, so a description needs an "allOf" around it.
    return {
        name: {"description": text, **({"allOf": [schemas[name]]} if "$ref" in schemas[name] else schemas[name])}
        for name, text in _DOCS.items()
    }


def _loosened(node: Any) -> Any:
    """Return a schema that also accepts a text with variables wherever it asks for a value of another kind."""
    if is_list(node):
        return [_loosened(each) for each in node]
    if not isinstance(node, dict):
        return node
    given = cast("dict[str, Any]", node)
    if "anyOf" in given:
        options = list(_flat(given["anyOf"]))
        more = [{"$ref": "#/$defs/expanded"}] if any(map(_is_leaf, options)) else []
        return {**given, "anyOf": [*(each if _is_leaf(each) else _loosened(each) for each in options), *more]}
    if _is_leaf(given):
        text = {"description": given["description"]} if "description" in given else {}
        inner = {name: each for name, each in given.items() if name != "description"}
        return {**text, "anyOf": [inner, {"$ref": "#/$defs/expanded"}]}
    return {
        name: {key: _loosened(each) for key, each in value.items()}
        if name in {"properties", "definitions"}
        else _loosened(value)
        if name in {"items", "additionalItems", "additionalProperties", "allOf"}
        else value
        for name, value in given.items()
    }


def _flat(options: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield options, and in place of a choice among several these."""
    for option in options:
        if set(option) == {"anyOf"}:
            yield from _flat(option["anyOf"])
        else:
            yield option


def _is_leaf(node: Mapping[str, Any]) -> bool:
    return "enum" in node or node.get("type") in _LEAVES or (node.get("type") == "string" and "pattern" in node)


def _renamed(node: Any) -> Any:
    """Return a schema with the definitions at the place where draft 7 has them."""
    if isinstance(node, dict):
        found = cast("dict[str, Any]", node)
        return {
            name: value.replace("#/$defs/", "#/definitions/") if name == "$ref" else _renamed(value)
            for name, value in found.items()
        }
    return [_renamed(each) for each in node] if is_list(node) else node
