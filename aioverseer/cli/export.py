"""``aioverseer export``: write the services of a file for another supervisor."""

from __future__ import annotations

import os
from collections.abc import Iterable

from aioverseer.cli.arguments import ExportOptions
from aioverseer.cli.errors import FAILED, CommandError
from aioverseer.cli.printing import complain, write_file
from aioverseer.cli.source import read_config
from aioverseer.config.export import export as exported

__all__ = ["export"]


def export(options: ExportOptions) -> int:
    """Export a file, and return the exit code.

    Args:
        options: The arguments of the command line.

    Raises:
        CommandError: If a file exists or cannot be written.
        ConfigError: If the file cannot be used.
        SpecError: If there is no such kind.
    """
    source = options.source
    again = [word for name in source.profiles for word in ("--profile", name)]
    again += [word for setting in source.settings for word in ("-s", setting)]
    result = exported(read_config(source), options.kind, arguments=again)
    if options.folder is None:
        for name, text in result.files.items():
            if len(result.files) > 1:
                print(f"# {name}")
            print(text if text.endswith("\n") else f"{text}\n", end="")
    else:
        _write(options.folder, result.files.items(), force=options.force)
    for note in result.notes:
        complain(str(note))
    return 0


def _write(folder: str, files: Iterable[tuple[str, str]], *, force: bool) -> None:
    for name, text in files:
        path = os.path.join(folder, name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except OSError as error:
            raise CommandError(
                f"{folder!r} is no folder and cannot be made one ({error.strerror}): name another", code=FAILED
            ) from None
        write_file(path, text, force=force)
        print(path)
