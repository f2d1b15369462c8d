"""Messages of the MCP SDK to text and back. The SDK is an extra; this file imports it."""

from __future__ import annotations

import functools
import importlib
from typing import Any

__all__ = ["answered_id", "decode", "encode", "request_id"]

# By name, so that types can be checked without the extra.
_wrap: Any = importlib.import_module("mcp.shared.message").SessionMessage
_validate: Any
_options: dict[str, bool]
_types: Any = importlib.import_module("mcp.types")
if hasattr(_types, "jsonrpc_message_adapter"):
    _validate = functools.partial(_types.jsonrpc_message_adapter.validate_json, by_name=False)
    _options = {"by_alias": True, "exclude_unset": True}
else:  # version 1
    _validate = _types.JSONRPCMessage.model_validate_json
    _options = {"by_alias": True, "exclude_none": True}


def decode(text: str | bytes) -> Any:
    """Return the message of a line, or the ValueError of a line that is no message."""
    try:
        return _wrap(_validate(text))
    except ValueError as error:
        return error


def encode(message: Any) -> str:
    """Return the line of a message."""
    text: str = message.message.model_dump_json(**_options)
    return text + "\n"


def request_id(message: Any) -> Any:
    """Return the id of a request; None for any other message."""
    content = _content(message)
    return getattr(content, "id", None) if hasattr(content, "method") else None


def answered_id(message: Any) -> Any:
    """Return the id of the request that a message answers; None for any other message."""
    if isinstance(message, Exception):
        return None
    content = _content(message)
    return None if hasattr(content, "method") else getattr(content, "id", None)


def _content(message: Any) -> Any:
    # Version 1 wraps each message once more.
    return getattr(message.message, "root", message.message)
