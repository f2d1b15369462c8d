"""``aioverseer init``: write a first file from what is in a folder."""

from __future__ import annotations

import os

from aioverseer.cli.arguments import InitOptions
from aioverseer.cli.printing import complain, next_check, shown_path, write_file
from aioverseer.config import make_starter

__all__ = ["init"]


def init(options: InitOptions) -> int:
    """Write the file, and return the exit code.

    Args:
        options: The arguments of the command line.

    Raises:
        CommandError: If the file exists, or cannot be written.
    """
    path = os.path.abspath(options.file)
    starter = make_starter(os.path.dirname(path))
    for error in starter.unread:
        complain(str(error))
    write_file(path, starter.text, force=options.force)
    shown = shown_path(path)
    if starter.sources:
        print(f"{shown}: made from {' and '.join(starter.sources)}")
    elif starter.unread:
        print(f"{shown}: an example, as the files that could tell of services cannot be used")
    else:
        print(f"{shown}: an example, as nothing here tells of a service")
    for note in starter.notes:
        if note.what != "carried":
            complain(str(note))
    print(next_check(path))
    return 0
