"""``aioverseer up``: read a file and run its services."""

from __future__ import annotations

import functools
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from aioverseer import Spec, SpecError
from aioverseer.cli.arguments import UpOptions
from aioverseer.cli.errors import CommandError
from aioverseer.cli.formatting import LineFormatter, shows_colours
from aioverseer.cli.logs import log_files_in
from aioverseer.cli.policy import with_policy
from aioverseer.cli.printing import plural, shown_path
from aioverseer.cli.session import supervise
from aioverseer.cli.source import ineffective, read_config
from aioverseer.cli.stream_writer import StreamWriter
from aioverseer.cli.streams import on_standard_streams
from aioverseer.config import Config

__all__ = ["up"]


def up(options: UpOptions) -> int:
    """Run the services of a file, and return the exit code.

    Args:
        options: The arguments of the command line.

    Raises:
        CommandError: If there is no service, or the log folder cannot be made.
        ConfigError: If the file cannot be read, or is not valid.
    """
    return on_standard_streams(functools.partial(_up, options))


async def _up(options: UpOptions, out: StreamWriter, err: StreamWriter) -> int:
    config = read_config(options.source)
    if not config.specs:
        raise CommandError(
            f"there is no service to run in {shown_path(config.path)}: write one, for example [services.web] with a "
            "command, or name a profile by --profile"
        )
    # encoding=None: output is passed on as bytes, in any encoding.
    specs = [with_policy(spec.updated(encoding=None), options.policy) for spec in config.specs]
    more: dict[str, Any] = {} if options.log_dir is None else {"log": log_files_in(options.log_dir)}
    formatter = LineFormatter(
        _names(specs),
        prefixed=True,
        coloured=shows_colours(os.environ, is_terminal=out.is_terminal),
    )
    overseer = config.make_overseer(handle_signals=False, notify_systemd=True, **more)
    for about in (_lost(config), ineffective(config)):
        if about is not None:
            await err.write(formatter.message(about))
    try:
        outcome = await supervise(specs, overseer=overseer, formatter=formatter, out=out, err=err)
    except SpecError as error:  # such as an option whose package is missing
        raise CommandError(f"{shown_path(config.path)}: {error}") from None
    if outcome.code is not None:
        return outcome.code
    return 0 if all(status.ok for status in outcome.statuses.values()) else 1


def _lost(config: Config) -> str | None:
    """Return a sentence about the keys of another supervisor that do not mean the same here; None without any."""
    counts = Counter(note.what for note in config.notes if note.what != "carried")
    if not counts:
        return None
    keys = " and ".join(f"{plural(n, 'key')} {'is' if n == 1 else 'are'} {what}" for what, n in sorted(counts.items()))
    return f"{keys}: aioverseer check {shlex.quote(shown_path(config.path))}"


def _names(specs: Iterable[Spec]) -> Iterator[str]:
    """Yield the names of all services, those of instances too."""
    for spec in specs:
        if spec.instances is None:
            yield spec.id
        else:
            yield from (f"{spec.id}.{index}" for index in range(spec.instances))
