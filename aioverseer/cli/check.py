"""``aioverseer check``: read a file, draw the order of its starts, and warn of what will surprise."""

from __future__ import annotations

import os

from aioverseer.cli.arguments import CheckOptions
from aioverseer.cli.printing import complain, draws_lines, plural, shown_path
from aioverseer.cli.source import ineffective, read_config
from aioverseer.config import advise, draw_graph, draw_tree

__all__ = ["check", "is_found"]


def check(options: CheckOptions) -> int:
    """Check a file, and return the exit code: 0 if it can be used.

    Args:
        options: The arguments of the command line.

    Raises:
        ConfigError: If the file cannot be used; with all that is wrong.
    """
    config = read_config(options.source)
    if options.graph:
        print(draw_graph(config.specs))
    else:
        print(f"{config.name}: {plural(len(config.specs), 'service')} in {', '.join(map(shown_path, config.files))}")
        if config.specs:
            print(draw_tree(config.specs, fancy=draws_lines()))
    for note in config.notes:
        if note.what != "carried":
            complain(str(note))
    warnings = list(map(str, advise(config.specs, is_found=is_found)))
    if (about := ineffective(config)) is not None:
        warnings.append(about)
    for each in warnings:
        complain(f"warning: {each}")
    if warnings:
        complain(plural(len(warnings), "warning"))
    return 1 if warnings and options.strict else 0


def is_found(program: str, folder: str | None, path: str | None) -> bool:
    """Return whether a program can be executed.

    Args:
        program: The name, or a path.
        folder: The working folder; None is that of this process.
        path: The PATH in which to look; None is that of this process, and an empty one that of the system.
    """
    folders = [""]
    if "/" not in program:
        folders = (os.environ.get("PATH", os.defpath) if path is None else path or os.defpath).split(os.pathsep)
    found = (os.path.join(folder or "", each, program) for each in folders)
    return any(os.access(each, os.X_OK) and not os.path.isdir(each) for each in found)
