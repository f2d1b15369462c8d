"""Output of commands that end by themselves: results on standard output, messages on standard error."""

from __future__ import annotations

import os
import shlex
import sys

from aioverseer.cli.errors import FAILED, CommandError

__all__ = ["complain", "draws_lines", "next_check", "plural", "shown_path", "write_file"]


def complain(text: str) -> None:
    """Print a message to standard error, if that is open."""
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # None if it was closed at our start
        print(text, file=sys.stderr)


def plural(n: int, noun: str) -> str:
    """Return ``1 service``, ``2 services``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def shown_path(path: str) -> str:
    """Return a path as people write it: relative, if it is below the working folder."""
    folder = os.path.join(os.getcwd(), "")
    return path.removeprefix(folder) or path


def next_check(path: str) -> str:
    """Return the advice to check a file that was just written."""
    words = [] if os.path.basename(path) == "aioverseer.toml" else [shlex.quote(shown_path(path))]
    return " ".join(["next: aioverseer check", *words])


def draws_lines() -> bool:
    """Return whether standard output can show characters beyond ASCII."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "├─".encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def write_file(path: str, text: str, *, force: bool) -> None:
    """Write a file.

    Args:
        path: The path.
        text: The text.
        force: Whether to replace a file that exists.

    Raises:
        CommandError: If the file exists, or cannot be written.
    """
    try:
        with open(path, "w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise CommandError(f"{path} exists: name another file, or replace it by --force") from None
    except OSError as error:
        raise CommandError(
            f"{os.path.abspath(path)} cannot be written ({error.strerror}): name another file", code=FAILED
        ) from None
