"""``main``: from a command line to an exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from aioverseer import OverseerError
from aioverseer.cli.arguments import RunOptions, parse
from aioverseer.cli.errors import CommandError
from aioverseer.cli.run import run
from aioverseer.cli.stream_writer import StreamWriter
from aioverseer.cli.up import up

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    =======  ===================================================================
    0        every service ended well
    1        ``up``: a service failed; ``run`` has the code of its command instead
    2        the command line, the Procfile or a value in it is wrong
    126 127  ``run``: the program cannot be executed, or does not exist
    128 + n  ``run``: signal n ended the command
    129      the terminal was closed
    130 143  SIGINT (Ctrl-C) or SIGTERM stopped everything; 131 ``run``: SIGQUIT
    141      the reader of standard output has gone (as after SIGPIPE)
    =======  ===================================================================

    Args:
        argv: The arguments after the command's name. Default: those of this process.
    """
    options = parse(sys.argv[1:] if argv is None else argv)
    out, err = StreamWriter.of(sys.stdout), StreamWriter.of(sys.stderr)
    logger = logging.getLogger("aioverseer")
    logger.addFilter(_is_no_event)
    try:
        work = run(options, out, err) if isinstance(options, RunOptions) else up(options, out, err)
        code = asyncio.run(work)
    except CommandError as error:
        _complain(str(error))
        code = error.code
    except OverseerError as error:
        _complain(str(error))
        code = 2
    except KeyboardInterrupt:
        code = 130
    finally:
        logger.removeFilter(_is_no_event)
    if out.has_blocked_write or err.has_blocked_write:
        # A thread is blocked in a write that nobody reads. An orderly end of the interpreter would wait for it.
        os._exit(code)
    return code


def _is_no_event(record: logging.LogRecord) -> bool:
    """Return whether a log record is about anything but an event of a service: the session shows those itself."""
    return not hasattr(record, "service")


def _complain(text: str) -> None:
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # None if it was closed at our start
        print(f"aioverseer: {text}", file=sys.stderr)
