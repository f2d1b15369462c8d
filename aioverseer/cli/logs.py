"""``--log-dir``: which files the output of the services is kept in, beside being shown. Nothing is written in here."""

from __future__ import annotations

import os

from aioverseer import LogFile
from aioverseer.cli.errors import Problem

__all__ = ["log_in"]

_MAX_BYTES = 10_000_000
_KEEP = 5


def log_in(folder: str | None) -> LogFile | None:
    """Return the log of all services, a file for each; None when none is wanted.

    Args:
        folder: Where; it is made when it is not there.

    Raises:
        Problem: When there can be no files in it.
    """
    if folder is None:
        return None
    # Now, and not with the first line: a slip of the pen is to be told before anything runs.
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise Problem(
            f"--log-dir {folder!r} is no folder and cannot be made one ({error.strerror}): name another"
        ) from None
    plain = folder.replace("{", "{{").replace("}", "}}")
    return LogFile(os.path.join(plain, "{id}.log"), max_bytes=_MAX_BYTES, keep=_KEEP)
