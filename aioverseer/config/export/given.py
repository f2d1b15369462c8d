"""Given: the options of one service, each of which an exporter takes once. Options that are left over are lost."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Never

from aioverseer import Spec
from aioverseer.config.convert.conversion import Notes
from aioverseer.config.shapes import is_list

__all__ = ["Given"]

_NOTHING: Mapping[str, Never] = {}

_OF_READERS = "it is for an application that reads the output"
_EVERYWHERE: dict[str, str] = {
    "buffered": _OF_READERS,
    "streaming": _OF_READERS,
    "framing": _OF_READERS,
    "encoding": _OF_READERS,
    "errors": _OF_READERS,
    "line_limit": _OF_READERS,
    "queue_size": _OF_READERS,
    "drain_timeout": _OF_READERS,
    "window_size": "there is no terminal of this size",
}
"""Advice about options that no target has."""


class Given:
    """Options of one service that differ from their defaults."""

    def __init__(self, spec: Spec, notes: Notes, values: Mapping[str, str] = _NOTHING) -> None:
        """Prepare.

        Args:
            spec: The service.
            notes: The notes about all services.
            values: The values of placeholders; without any they stay as they are.
        """
        self.spec = spec
        self.place = f"services.{spec.id}"
        self.values = values
        self._notes = notes
        self._left: dict[str, Any] = spec.to_dict()
        for name in ("id", "command"):
            del self._left[name]

    def __contains__(self, name: str) -> bool:
        """Return whether an option is given and was not taken."""
        return name in self._left

    def take(self, name: str) -> Any:
        """Return an option in the form of ``Spec.to_dict``, or None; it counts as dealt with."""
        return self._left.pop(name, None)

    def changed(self, name: str, text: str) -> None:
        """Add a note about an option that means something else there.

        Args:
            name: The option.
            text: The difference.
        """
        self._notes.changed(self.place, name, text)

    def lost(self, name: str, text: str) -> None:
        """Add a note about an option that the target cannot do.

        Args:
            name: The option.
            text: The reason, or what to do.
        """
        self._left.pop(name, None)
        self._notes.lost(self.place, name, text)

    def finish(self, reasons: Mapping[str, str]) -> None:
        """Add a note about each option that is left.

        Args:
            reasons: Advice, by the option.
        """
        for name in tuple(self._left):
            self.lost(name, reasons.get(name) or _EVERYWHERE.get(name, "it has nothing of the kind"))

    def words(self, name: str) -> Sequence[str] | None:
        """Return the command of an option that is a function or a command, and add a note about a function."""
        value = self.take(name)
        if is_list(value):
            return value
        if value is not None:
            self.lost(name, "it is a function of Python")
        return None

    def variables(self) -> dict[str, str]:
        """Return the variables of ``env`` and ``extra_env``."""
        found: dict[str, str] = {}
        for name in ("env", "extra_env"):
            found |= self.take(name) or {}
        return found

    def command(self) -> tuple[str, ...]:
        """Return the program and its arguments; those of a pipeline as one command of a shell."""
        argv = self.spec.argv
        match self._left.get("stdin"):
            case {"program": {"command": list()} as upstream}:
                self.take("stdin")
                self.changed("stdin", "the pipeline is one command of a shell, with one end and one stop for both")
                return ("/bin/sh", "-c", f"{_pipeline(upstream)} | {shlex.join(argv)}")
            case _:
                return argv


def _pipeline(program: Mapping[str, Any]) -> str:
    words = shlex.join(program["command"])
    match program.get("stdin"):
        case {"program": {"command": list()} as before}:
            return f"{_pipeline(before)} | {words}"
        case _:
            return words
