"""``aioverseer schema``: the JSON Schema of ``aioverseer.toml``, for editors."""

from __future__ import annotations

import json

from aioverseer.cli.arguments import SchemaOptions
from aioverseer.config import schema

__all__ = ["print_schema"]


def print_schema(options: SchemaOptions) -> int:
    """Print the schema, and return the exit code."""
    del options
    print(json.dumps(schema(), indent=2))
    return 0
