"""``--log-dir``: a log file for each service, in addition to showing its output."""

from __future__ import annotations

import os

from aioverseer import LogFile
from aioverseer.cli.errors import CommandError

__all__ = ["log_files_in"]

_MAX_BYTES = 10_000_000
_KEEP = 5


def log_files_in(folder: str | None) -> LogFile | None:
    """Return the option ``log`` that gives each service a file in the folder; None without a folder.

    Args:
        folder: The folder. It is made if it is missing.

    Raises:
        CommandError: If the folder cannot be made.
    """
    if folder is None:
        return None
    # Make the folder before anything runs, so that a misspelt path is reported at once and not with the first line.
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"--log-dir {folder!r} is no folder and cannot be made one ({error.strerror}): name another"
        ) from None
    plain = folder.replace("{", "{{").replace("}", "}}")
    return LogFile(os.path.join(plain, "{id}.log"), max_bytes=_MAX_BYTES, keep=_KEEP)
