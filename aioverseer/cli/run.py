"""``aioverseer run``: one command, with its own output, input and exit code, restarted by a policy."""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
import shutil
import stat
import sys
from typing import IO

from aioverseer import GaveUp, Overseer, SpawnError, Spec, Status, framing
from aioverseer.cli.arguments import RunOptions
from aioverseer.cli.errors import CommandError
from aioverseer.cli.formatting import LineFormatter
from aioverseer.cli.logs import log_files_in
from aioverseer.cli.policy import with_policy
from aioverseer.cli.session import OneCommand, supervise
from aioverseer.cli.stream_writer import StreamWriter
from aioverseer.cli.streams import on_standard_streams

__all__ = ["run"]

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


def run(options: RunOptions) -> int:
    """Run one command, and return the exit code.

    Args:
        options: The arguments of the command line.

    Raises:
        CommandError: If the program does not exist or is not executable, or the log folder cannot be made.
        SpecError: If a name or an argument is not valid.
    """
    return on_standard_streams(functools.partial(_run, options))


async def _run(options: RunOptions, out: StreamWriter, err: StreamWriter) -> int:
    program = options.command[0]
    name = options.name if options.name is not None else os.path.basename(program) or program
    # The program writes to our streams itself, so that every byte arrives as it is, and a terminal is one for it too.
    # For log files the output is read; encoding=None passes it on in any encoding. The number of a stream that was
    # closed at our start may belong to another file of this process.
    shares_output = options.log_dir is None and out.is_open and err.is_open
    policy = options.policy
    if policy.when is None and (_is_file(sys.stdin) or _is_file(sys.stdout)):
        # A second run would read the rest of the input, and add its output to that of the first one.
        policy = dataclasses.replace(policy, when="never")
    spec = Spec(
        id=name,
        argv=options.command,
        stdin=None if sys.stdin is None else "inherit",
        output="inherit" if shares_output else "read",
        encoding=None,
        framing=framing.lines() if shares_output else framing.chunks(),
    )
    _check(program)
    outcome = await supervise(
        [with_policy(spec, policy)],
        overseer=Overseer(name="aioverseer", log=log_files_in(options.log_dir)),
        formatter=LineFormatter([name], prefixed=False, exact=True),
        out=out,
        err=err,
        stand_in=OneCommand(hand_on=options.hand_on, shares_output=shares_output),
    )
    return _exit_code_of(outcome.statuses[name]) if outcome.code is None else outcome.code


def _is_file(stream: IO[str] | None) -> bool:
    """Return whether a standard stream is a file on a disk."""
    try:
        return stream is not None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # closed at our start, or replaced by an object without a descriptor
        return False


def _check(program: str) -> None:
    """Refuse a misspelt program at once, as the restart policy would retry it again and again."""
    if shutil.which(program) is not None:
        return
    if "/" not in program:
        raise CommandError(
            f"there is no program {program!r} on PATH: install it, or name it with its full path",
            code=_NOT_FOUND,
        )
    if not os.path.exists(program):
        raise CommandError(f"there is no file {program!r}: mend the path, or install the program", code=_NOT_FOUND)
    if os.path.isdir(program):
        raise CommandError(f"{program!r} is a folder: name the program in it", code=_NOT_EXECUTABLE)
    raise CommandError(
        f"{program!r} may not be executed: make it executable (chmod +x), or name its interpreter before it",
        code=_NOT_EXECUTABLE,
    )


def _exit_code_of(status: Status) -> int:
    """Return the exit code that a shell would report."""
    if status.exit_code is not None:
        return status.exit_code
    if status.signal is not None:
        return 128 + status.signal
    error = status.error.__cause__ if isinstance(status.error, GaveUp) else status.error
    if isinstance(error, SpawnError):
        return _NOT_FOUND if error.errno == errno.ENOENT else _NOT_EXECUTABLE
    return 1
