"""``aioverseer completion``: the script by which a shell completes this command line."""

from __future__ import annotations

from click.shell_completion import get_completion_class

from aioverseer.cli.arguments import CompletionOptions
from aioverseer.cli.errors import CommandError
from aioverseer.cli.parser import PROGRAM, commands

__all__ = ["completion"]


def completion(options: CompletionOptions) -> int:
    """Print the script, and return the exit code."""
    kind = get_completion_class(options.shell)
    if kind is None:
        raise CommandError(f"there is no completion for {options.shell}")
    print(kind(commands, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())
    return 0
