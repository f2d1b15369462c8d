"""``main``: from the words of a command line to an exit code. What a command does lives in ``up.py`` and ``run.py``."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from aioverseer import OverseerError
from aioverseer.cli.arguments import RunOptions, parse
from aioverseer.cli.errors import Problem
from aioverseer.cli.run import run
from aioverseer.cli.stream_writer import StreamWriter
from aioverseer.cli.up import up

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    =======  ==========================================================================
    0        every service ended well
    1        ``up``: a service did not; ``run``: the code of the command stands instead
    2        the command line, the Procfile or a value in it is wrong
    126 127  ``run``: the program cannot be executed, or there is none
    128 + n  ``run``: signal n ended the command
    129      the terminal was closed
    130 143  SIGINT (Ctrl-C) or SIGTERM has stopped everything
    141      nobody reads standard output any more (as after SIGPIPE)
    =======  ==========================================================================

    Args:
        argv: The words behind the command's name; by default those of this process.
    """
    options = parse(sys.argv[1:] if argv is None else argv)
    out, err = StreamWriter.of(sys.stdout), StreamWriter.of(sys.stderr)
    try:
        work = run(options, out, err) if isinstance(options, RunOptions) else up(options, out, err)
        code = asyncio.run(work)
    except Problem as problem:
        _complain(str(problem))
        code = problem.code
    except OverseerError as error:
        _complain(str(error))
        code = 2
    except KeyboardInterrupt:
        code = 130
    if out.is_unstoppable or err.is_unstoppable:
        # A thread still waits for whoever does not read; an orderly end of the interpreter would wait for it.
        os._exit(code)
    return code


def _complain(text: str) -> None:
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # it is None when it was closed
        print(f"aioverseer: {text}", file=sys.stderr)
