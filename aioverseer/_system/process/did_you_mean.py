"""Where a missing program was looked for, and which file was probably meant: the end of the error about it."""

from __future__ import annotations

import os
import sys

from aioverseer._system.host.path_lookup import find
from aioverseer.core.options.spec import Spec

__all__ = ["hint_for_name", "hint_for_path"]

_NEARBY = (".venv/bin", "venv/bin", "node_modules/.bin", ".")
"""Folders below the working folder in which projects keep programs that are not on PATH."""


def hint_for_name(spec: Spec, path: str | None) -> str:
    """Return the hint for a program that is not on PATH, in brackets and with a blank before it.

    Args:
        spec: Spec of the program.
        path: PATH of the program; None for the default of the system.
    """
    shown = os.defpath if path is None else path
    return f" (PATH is {shown or 'empty'}{_suggestion(spec, path)})"


def hint_for_path(spec: Spec) -> str:
    """Return the hint for a path to a program that does not exist, as ``hint_for_name`` does; empty for none."""
    program = spec.argv[0]
    words = program.split()
    if len(words) > 1 and os.path.isfile(os.path.join(spec.cwd or "", words[0])):
        return f" (arguments are separate: pass {', '.join(map(repr, words))})"
    if os.path.isabs(program):
        return ""
    here = _working_folder()
    looked = os.path.normpath(os.path.join(here, spec.cwd or "", program))
    text = f" (it was looked for as {looked!r}"
    if spec.cwd is not None and os.path.isfile(program):
        text += f"; did you mean {os.path.normpath(os.path.join(here, program))!r}? A relative path starts from cwd"
    return text + ")"


def _suggestion(spec: Spec, path: str | None) -> str:
    program = spec.argv[0]
    on_path_of_host = find(program, os.environ.get("PATH"))
    if on_path_of_host is not None and path != os.environ.get("PATH"):
        return f"; the PATH of the host, which env= or extra_env= replaces, has {on_path_of_host!r}"
    ours = os.path.join(os.path.dirname(sys.executable), program)
    if find(ours, None) is not None:
        owner = "the virtual environment's " if sys.prefix != sys.base_prefix else "this Python's "
        return f"; did you mean {owner}{ours!r}?"
    base = os.path.join(_working_folder(), spec.cwd or "")
    for folder in _NEARBY:
        nearby = os.path.normpath(os.path.join(base, folder, program))
        if find(nearby, None) is not None:
            owner = "the virtual environment's " if "venv" in folder else ""
            return f"; did you mean {owner}{nearby!r}?"
    return ""


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed while the host runs in it
        return ""
