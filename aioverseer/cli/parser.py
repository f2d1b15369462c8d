"""The command line: its commands and options, and the values that they become.

The modules of the commands are not imported here, so help, completion and errors come at once.
"""

from __future__ import annotations

import math
import shlex
import signal
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from aioverseer import __version__
from aioverseer.cli.arguments import (
    MAX_RESTARTS,
    STOP_TIMEOUT,
    WHEN,
    WHENS,
    WITHIN,
    CompletionOptions,
    Options,
    PolicyOptions,
    RunOptions,
    UpOptions,
    When,
)

__all__ = ["PROGRAM", "commands", "parse"]

PROGRAM = "aioverseer"

_EPILOG = """\
A service in Python holds its output back when it does not write to a terminal: use print(..., flush=True), or set
PYTHONUNBUFFERED=1.
"""

_F = TypeVar("_F", bound=Callable[..., Any])


def parse(argv: Sequence[str]) -> Options:
    """Parse a command line.

    Args:
        argv: The arguments after the command's name.

    Raises:
        SystemExit: With code 2 if the command line is wrong, with 0 after help, version or a completion. The text was
            printed.
    """
    try:
        parsed = commands.main(list(argv), prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    if isinstance(parsed, int):
        raise SystemExit(parsed)  # the code of --help and --version
    options: Options = parsed
    return options


class _CommandAfterDashes(click.Command):
    """``run``: all words after the first two dashes are the command, also those that look like options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split the words at the first two dashes, and parse those before them."""
        cut = args.index("--") if "--" in args else len(args)
        behind = args[cut + 1 :]
        rest = super().parse_args(ctx, args[:cut])
        stray: tuple[str, ...] = ctx.params["command"]
        if not ctx.resilient_parsing and (stray or not behind):
            example = shlex.join([*stray, *behind]) or "python3 server.py"
            raise click.UsageError(f"two dashes go before the command: {PROGRAM} run -- {example}", ctx)
        ctx.params["command"] = tuple(behind)
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature of click
        """Return the words of the usage line after the name."""
        return ["[OPTIONS]", "--", "COMMAND", "[ARG]..."]


def _signal(text: str) -> signal.Signals:
    name = text.upper()
    for number in signal.Signals:
        if name in (number.name, number.name.removeprefix("SIG"), str(number.value)):
            return number
    raise click.BadParameter(f"{text!r} is no signal: pass a name, for example SIGINT or INT")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise click.BadParameter(f"{text!r} is no time: pass seconds, 0 or more")
    return seconds


def _count(text: str) -> int | float:
    if text == "unlimited":
        return math.inf
    if not (text.isascii() and text.isdecimal()):
        raise click.BadParameter(f"{text!r} is no number of restarts: pass 0 or more, or 'unlimited'")
    return int(text)


_POLICY = (
    click.option(
        "--restart",
        "when",
        type=click.Choice(WHENS),
        metavar="WHEN",
        help=f"After which ends a program is run again: {', '.join(WHENS)} (default: what the file says, else {WHEN}; "
        "for run with a file as its input or output: never).",
    ),
    click.option(
        "--max-restarts",
        type=_count,
        metavar="N",
        help=f"Give up after N restarts within {WITHIN:g} s, or 'unlimited' (default: {MAX_RESTARTS}).",
    ),
    click.option(
        "--stop-signal",
        type=_signal,
        metavar="SIGNAL",
        help="Ask programs to end by this signal (default: SIGTERM; for run, the signal that aioverseer itself got).",
    ),
    click.option(
        "--stop-timeout",
        type=_seconds,
        metavar="SECONDS",
        help=f"Kill a program that has not ended by then (default: {STOP_TIMEOUT:g}).",
    ),
    click.option(
        "--log-dir",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="Also append all output to DIR/NAME.log, kept below 10 MB each, with the 5 before it (default: no files).",
    ),
)


def _with(*decorators: Callable[[_F], _F]) -> Callable[[_F], _F]:
    """Return one decorator for several, whose options are listed in this order."""

    def decorate(function: _F) -> _F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


@click.group(name=PROGRAM, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def commands() -> None:
    """Run programs, restart those that fail, and leave nothing behind."""


@commands.command("up", epilog=_EPILOG)
@click.argument("file", default="Procfile", type=click.Path())
@_with(*_POLICY)
def _up(
    file: str,
    when: When | None,
    max_restarts: float | None,
    stop_signal: signal.Signals | None,
    stop_timeout: float | None,
    log_dir: str | None,
) -> UpOptions:
    """Run the services of a Procfile until all have ended, or Ctrl-C.

    FILE is "Procfile" in the current folder by default.
    """
    policy = PolicyOptions(when=when, max_restarts=max_restarts, stop_signal=stop_signal, stop_timeout=stop_timeout)
    return UpOptions(file=file, policy=policy, log_dir=log_dir)


@commands.command("run", cls=_CommandAfterDashes, context_settings={"allow_interspersed_args": False})
@_with(*_POLICY)
@click.option("--name", metavar="NAME", help="What messages call it (default: the program's own name).")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def _run(
    command: tuple[str, ...],
    name: str | None,
    when: When | None,
    max_restarts: float | None,
    stop_signal: signal.Signals | None,
    stop_timeout: float | None,
    log_dir: str | None,
) -> RunOptions:
    """Run one command, with its output and its exit code.

    It is restarted when it fails, and signals are handed on to it.
    """
    policy = PolicyOptions(when=when, max_restarts=max_restarts, stop_signal=stop_signal, stop_timeout=stop_timeout)
    return RunOptions(command=command, name=name, policy=policy, log_dir=log_dir)


@commands.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def _completion(shell: str) -> CompletionOptions:
    """Print a script that completes commands, options and files in a shell.

    For bash: eval "$(aioverseer completion bash)" in ~/.bashrc.
    """
    return CompletionOptions(shell=shell)
