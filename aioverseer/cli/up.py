"""``aioverseer up``: read a Procfile and run its services. Supervising and showing live in ``session.py``."""

from __future__ import annotations

import os

from aioverseer.cli.arguments import UpOptions
from aioverseer.cli.errors import Problem
from aioverseer.cli.formatting import Screen, shows_colours
from aioverseer.cli.logs import log_in
from aioverseer.cli.session import supervise
from aioverseer.cli.stream_writer import StreamWriter
from aioverseer.config import read_procfile

__all__ = ["up"]


async def up(options: UpOptions, out: StreamWriter, err: StreamWriter) -> int:
    """Run the services of a Procfile, and return the exit code.

    Args:
        options: What was asked for.
        out: Where the output of the services goes.
        err: Where the news go.

    Raises:
        Problem: When the file cannot be read, or there can be no log files.
        SpecError: For what is wrong in it.
    """
    specs = read_procfile(_text_of(options.file), path=options.file, environ=os.environ)
    # Bytes: what the services write is passed on as it is, whatever its encoding.
    specs = [options.policy.applied(spec.updated(encoding=None)) for spec in specs]
    screen = Screen(
        (spec.id for spec in specs),
        prefixed=True,
        coloured=shows_colours(os.environ, is_terminal=out.is_terminal),
    )
    outcome = await supervise(specs, screen=screen, out=out, err=err, log=log_in(options.log_dir))
    if outcome.code is not None:
        return outcome.code
    return 0 if all(status.ok for status in outcome.statuses.values()) else 1


def _text_of(file: str) -> str:
    path = os.path.abspath(file)
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        raise Problem(
            f"there is no {path}: write one, a line 'name: command' for each service, or name another file: "
            "aioverseer up FILE"
        ) from None
    except IsADirectoryError:
        raise Problem(
            f"{path} is a folder: name the file in it: aioverseer up {os.path.join(file, 'Procfile')}"
        ) from None
    except UnicodeDecodeError as error:
        raise Problem(
            f"{path} is no UTF-8 text (byte {error.start + 1}): save it as UTF-8, or name the Procfile"
        ) from None
    except OSError as error:
        raise Problem(f"{path} cannot be read ({error.strerror}): look at its permissions (ls -l)") from None
