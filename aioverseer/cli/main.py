"""``main``: from a command line to an exit code."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import aioverseer
from aioverseer.cli.errors import FAILED, USAGE, CommandError
from aioverseer.cli.printing import complain, plural, shown_path

__all__ = ["PERFORMERS", "imported", "main"]

PERFORMERS = {
    "UpOptions": "up:up",
    "RunOptions": "run:run",
    "CheckOptions": "check:check",
    "SchemaOptions": "schema:print_schema",
    "ConvertOptions": "convert:convert",
    "ExportOptions": "export:export",
    "InitOptions": "init:init",
    "CompletionOptions": "completion:completion",
}
"""The function that performs each command, by the class of its arguments. It is imported when it is called."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    =======  ===================================================================
    0        done; ``up``: every service ended well
    1        failed; ``up``: a service failed; ``run`` has the code of its command instead
    2        the command line, the file or a value in it is wrong
    126 127  ``run``: the program cannot be executed, or does not exist
    128 + n  ``run``: signal n ended the command
    129      the terminal was closed
    130 143  SIGINT (Ctrl-C) or SIGTERM stopped everything; 131 ``run``: SIGQUIT
    141      the reader of standard output has gone (as after SIGPIPE)
    =======  ===================================================================

    Args:
        argv: The arguments after the command's name. Default: those of this process.
    """
    try:
        options = imported("parser:parse")(sys.argv[1:] if argv is None else argv)
        code: int = imported(PERFORMERS[type(options).__name__])(options)
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]  # None if it was closed at our start
            sys.stdout.flush()
    except CommandError as error:
        complain(f"aioverseer: {error}")
        return error.code
    except aioverseer.OverseerError as error:
        complain(_text_of(error))
        return USAGE
    except ModuleNotFoundError as error:
        if "aioverseer[" not in str(error):
            raise
        complain(f"aioverseer: {error}")  # a format of files that needs an extra
        return USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _discard_output()
        return 141
    except OSError as error:  # such as a full disk under standard output
        complain(f"aioverseer: {error}")
        _discard_output()
        return FAILED
    return code


def _discard_output() -> None:
    """Send the rest of both streams to the null device: the interpreter flushes them at its end, and must not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # pyright: ignore[reportUnnecessaryComparison]  # None if it was closed at our start
            os.dup2(null, stream.fileno())


def imported(name: str) -> Any:
    """Import a function of this package.

    Raises:
        CommandError: If a package that it needs is not installed.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(f"aioverseer.cli.{module}"), function)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("click", "dotenv"):
            raise
        raise CommandError(f"the command line needs the package {error.name}: pip install 'aioverseer[cli]'") from None


def _text_of(error: aioverseer.OverseerError) -> str:
    """Return the text of an error; the problems of a file begin with its path, as those of a compiler do."""
    problems = getattr(error, "problems", ())
    if not problems:
        return f"aioverseer: {error}"
    lines = [str(dataclasses.replace(each, file=shown_path(each.file))) for each in problems]
    return "\n".join([*lines, *([plural(len(lines), "problem")] if len(lines) > 1 else [])])
