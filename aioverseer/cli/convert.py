"""``aioverseer convert``: write an ``aioverseer.toml`` from the file of another supervisor."""

from __future__ import annotations

import sys

from aioverseer.cli.arguments import ConvertOptions
from aioverseer.cli.errors import FAILED, CommandError
from aioverseer.cli.printing import complain, next_check, shown_path, write_file
from aioverseer.config import ConfigError, convert_file, load, to_toml

__all__ = ["convert"]


def convert(options: ConvertOptions) -> int:
    """Convert a file, and return the exit code: 0 if the result can be used.

    Args:
        options: The arguments of the command line.

    Raises:
        CommandError: If the target is no name of TOML, exists, or cannot be written.
        ConfigError: If the file cannot be read.
        SpecError: If it is not valid in its format.
    """
    if options.target is not None and not options.target.endswith(".toml"):
        raise CommandError(f"{options.target}: the result is TOML: write a name that ends in .toml")
    conversion = convert_file(options.source, kind=options.kind)
    text = to_toml(conversion.data)
    if options.target is None:
        sys.stdout.write(text)
    else:
        write_file(options.target, text, force=options.force)
    for note in conversion.notes:
        if options.verbose or note.what != "carried":
            complain(str(note))
    complain(conversion.summary())
    try:
        load(options.target or options.source)
    except ConfigError as error:
        # Another supervisor may take a value that is refused here, or have a variable that is not set here.
        complain(f"aioverseer: the result has to be mended before it can be used:\n{error}")
        return FAILED
    if options.target is not None:
        print(f"{shown_path(options.target)}: written")
        print(next_check(options.target))
    return 0
