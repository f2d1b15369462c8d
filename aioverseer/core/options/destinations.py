"""Destinations of standard output and standard error: read by this library, inherited, nowhere, or an open file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from aioverseer.core.typing import HasDescriptor

__all__ = ["Destination", "destinations", "read_streams", "streams_read", "unfit_destination"]

Destination = Literal["read", "inherit", "null"] | HasDescriptor
"""Destination of one output stream; see ``Spec.stdout``."""

_WORDS = ("read", "inherit", "null")
_NONE: frozenset[str] = frozenset()
_STDOUT, _STDERR, _BOTH = frozenset({"stdout"}), frozenset({"stderr"}), frozenset({"stdout", "stderr"})


class _Outputs(Protocol):
    """The options of a Spec that are about its output."""

    @property
    def output(self) -> Destination: ...
    @property
    def stdout(self) -> Destination | None: ...
    @property
    def stderr(self) -> Destination | None: ...
    @property
    def merge_stderr(self) -> bool: ...
    @property
    def pty(self) -> bool: ...


def destinations(spec: _Outputs) -> tuple[Destination, Destination]:
    """Return the destinations of standard output and of standard error; with ``merge_stderr`` they are the same."""
    stdout = spec.output if spec.stdout is None else spec.stdout
    if spec.merge_stderr or spec.pty:
        return stdout, stdout
    return stdout, spec.output if spec.stderr is None else spec.stderr


def read_streams(spec: _Outputs) -> frozenset[str]:
    """Return the names of the streams that this library reads: "stdout" alone with ``merge_stderr`` and ``pty``."""
    stdout = spec.output if spec.stdout is None else spec.stdout
    if spec.merge_stderr or spec.pty:
        return _STDOUT if stdout == "read" else _NONE
    stderr = spec.output if spec.stderr is None else spec.stderr
    if stdout == "read":
        return _BOTH if stderr == "read" else _STDOUT
    return _STDERR if stderr == "read" else _NONE


def streams_read(values: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the streams that are read by the values of options, given by their names."""
    names = ("stdout",) if values.get("merge_stderr", False) else ("stdout", "stderr")
    default = values.get("output", "read")
    return frozenset(name for name in names if (values.get(name) or default) == "read")


def unfit_destination(value: object) -> str | None:
    """Return why a value is no destination; None for one."""
    if isinstance(value, str) and value in _WORDS:
        return None
    if isinstance(value, str) or not isinstance(value, HasDescriptor):
        return "is unknown: pass 'read', 'inherit', 'null' or an open file"
    if hasattr(value, "getvalue"):
        return "has no descriptor: pass an open file, or read the output"
    writable = getattr(value, "writable", None)
    if getattr(value, "closed", False) is True:
        return "is closed: pass an open file"
    if callable(writable) and not writable():
        return "is not open for writing: open it with mode 'w', 'a' or 'wb'"
    return None
