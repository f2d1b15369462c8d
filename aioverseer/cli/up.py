"""``aioverseer up``: read a Procfile and run its services."""

from __future__ import annotations

import functools
import os

from aioverseer.cli.arguments import UpOptions
from aioverseer.cli.errors import CommandError
from aioverseer.cli.formatting import LineFormatter, shows_colours
from aioverseer.cli.logs import log_files_in
from aioverseer.cli.policy import with_policy
from aioverseer.cli.session import supervise
from aioverseer.cli.stream_writer import StreamWriter
from aioverseer.cli.streams import on_standard_streams
from aioverseer.config import read_procfile

__all__ = ["up"]


def up(options: UpOptions) -> int:
    """Run the services of a Procfile, and return the exit code.

    Args:
        options: The arguments of the command line.

    Raises:
        CommandError: If the file cannot be read, or the log folder cannot be made.
        SpecError: If the file is not valid.
    """
    return on_standard_streams(functools.partial(_up, options))


async def _up(options: UpOptions, out: StreamWriter, err: StreamWriter) -> int:
    specs = read_procfile(_text_of(options.file), path=options.file, environ=os.environ)
    # encoding=None: output is passed on as bytes, in any encoding.
    specs = [with_policy(spec.updated(encoding=None), options.policy) for spec in specs]
    formatter = LineFormatter(
        (spec.id for spec in specs),
        prefixed=True,
        coloured=shows_colours(os.environ, is_terminal=out.is_terminal),
    )
    outcome = await supervise(specs, formatter=formatter, out=out, err=err, log=log_files_in(options.log_dir))
    if outcome.code is not None:
        return outcome.code
    return 0 if all(status.ok for status in outcome.statuses.values()) else 1


def _text_of(file: str) -> str:
    path = os.path.abspath(file)
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        raise CommandError(
            f"there is no {path}: write one, a line 'name: command' for each service, or name another file: "
            "aioverseer up FILE"
        ) from None
    except IsADirectoryError:
        raise CommandError(
            f"{path} is a folder: name the file in it: aioverseer up {os.path.join(file, 'Procfile')}"
        ) from None
    except UnicodeDecodeError as error:
        raise CommandError(
            f"{path} is no UTF-8 text (byte {error.start + 1}): save it as UTF-8, or name the Procfile"
        ) from None
    except OSError as error:
        raise CommandError(f"{path} cannot be read ({error.strerror}): look at its permissions (ls -l)") from None
