"""The command line: its commands and options, and the values that they become.

The modules of the commands are not imported here, so help, completion and errors come at once.
"""

from __future__ import annotations

import functools
import math
import os
import re
import shlex
import signal
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from aioverseer import __version__
from aioverseer.cli.arguments import (
    FORMATS,
    MAX_RESTARTS,
    STOP_TIMEOUT,
    TARGETS,
    WHEN,
    WHENS,
    WITHIN,
    CheckOptions,
    CompletionOptions,
    ConvertOptions,
    ExportOptions,
    FileOptions,
    InitOptions,
    Options,
    PolicyOptions,
    RunOptions,
    SchemaOptions,
    UpOptions,
)

__all__ = ["PROGRAM", "commands", "parse"]

PROGRAM = "aioverseer"

_EPILOG = """\
A service in Python holds its output back when it does not write to a terminal: use print(..., flush=True), or set
PYTHONUNBUFFERED=1.
"""

_R = TypeVar("_R")


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


# Values.


def _signal(text: str) -> signal.Signals:
    name = text.upper()
    for number in signal.Signals:
        if name in (number.name, number.name.removeprefix("SIG"), str(number.value)):
            return number
    raise click.BadParameter(f"{text!r} is no signal: pass a name, for example SIGINT or INT")


def _seconds(text: str) -> float:
    from aioverseer.forms import DataError, Seconds  # noqa: PLC0415  # the help does not wait for the import

    try:
        return float(Seconds().read(text))
    except DataError:
        raise click.BadParameter(f"{text!r} is no time: pass seconds, 0 or more, or for example 5m") from None


def _count(text: str) -> int | float:
    if text == "unlimited":
        return math.inf
    if not (text.isascii() and text.isdecimal()):
        raise click.BadParameter(f"{text!r} is no number of restarts: pass 0 or more, or 'unlimited'")
    return int(text)


# Options that several commands share. Each decorator passes them on as one value.


def _takes_policy(function: Callable[..., _R]) -> Callable[..., _R]:
    """Let a command take ``policy`` and ``log_dir``."""

    @click.option(
        "--restart",
        "when",
        type=click.Choice(WHENS),
        metavar="WHEN",
        help=f"After which ends a program is run again: {', '.join(WHENS)} (default: what the file says, else {WHEN}; "
        "for run with a file as its input or output: never).",
    )
    @click.option(
        "--max-restarts",
        type=_count,
        metavar="N",
        help=f"Give up after N restarts within {WITHIN:g} s, or 'unlimited' (default: {MAX_RESTARTS}).",
    )
    @click.option(
        "--stop-signal",
        type=_signal,
        metavar="SIGNAL",
        help="Ask programs to end by this signal (default: SIGTERM; for run, the signal that aioverseer itself got).",
    )
    @click.option(
        "--stop-timeout",
        type=_seconds,
        metavar="SECONDS",
        help=f"Kill a program that has not ended by then (default: {STOP_TIMEOUT:g}).",
    )
    @click.option(
        "--log-dir",
        type=click.Path(),
        metavar="DIR",
        help="Also append all output to DIR/NAME.log, kept below 10 MB each, with the 5 before it (default: what the "
        "file says, else no files).",
    )
    @functools.wraps(function)
    def command(*, when: Any, max_restarts: Any, stop_signal: Any, stop_timeout: Any, **given: Any) -> _R:
        policy = PolicyOptions(when=when, max_restarts=max_restarts, stop_signal=stop_signal, stop_timeout=stop_timeout)
        return function(policy=policy, **given)

    return command


def _takes_file(function: Callable[..., _R]) -> Callable[..., _R]:
    """Let a command take ``source``, the file of ``-f``."""

    @click.option(
        "-f",
        "--file",
        type=click.Path(),
        metavar="FILE",
        help="The file (default: aioverseer.toml, pyproject.toml or Procfile, looked for from here upwards).",
    )
    @click.option(
        "--profile",
        "profiles",
        multiple=True,
        metavar="NAME",
        help="Add the services and changes of a profile; may be given several times.",
    )
    @click.option(
        "-s",
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override an option of the file, for example web.instances=2; may be given several times.",
    )
    @functools.wraps(function)
    def command(
        *,
        file: str | None,
        profiles: tuple[str, ...],
        settings: tuple[str, ...],
        words: Sequence[str] = (),
        **given: Any,
    ) -> _R:
        counts = [word for word in words if _COUNTED.fullmatch(word)]
        files = [word for word in words if word not in counts]
        for word in files:
            if _COUNT_LIKE.fullmatch(word) and not os.path.lexists(word):
                raise click.UsageError(f"{word}: there is no such file, and a count is a number, such as web=2")
        if file is not None:
            files.append(file)
        if len(files) > 1:
            raise click.UsageError(f"one file at a time, not {shlex.join(files)}")
        scaled = (f"{name}.instances={count}" for name, _, count in (word.partition("=") for word in counts))
        source = FileOptions(file=files[0] if files else None, profiles=profiles, settings=(*settings, *scaled))
        return function(source=source, **given)

    return command


_COUNTED = re.compile(r"[A-Za-z0-9_.-]+=[0-9]+")
_COUNT_LIKE = re.compile(r"[A-Za-z0-9_.-]+=[^/]*")
_WORDS = click.argument("words", nargs=-1, type=click.Path(), metavar="[FILE] [NAME=COUNT]...")

_FORCE = click.option("--force", is_flag=True, help="Replace files that exist.")

# Commands, in the order of the help.


class _Commands(click.Group):
    """The commands. The help lists them in the order of this file."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature of click
        """Return the names of all commands."""
        return list(self.commands)


@click.group(
    PROGRAM,
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def commands() -> None:
    """Run programs, restart those that fail, and leave nothing behind."""


@commands.command("up", short_help="Run the services of a file.", epilog=_EPILOG)
@_WORDS
@_takes_file
@_takes_policy
def _up(source: FileOptions, policy: PolicyOptions, log_dir: str | None) -> UpOptions:
    """Run the services of a file until all have ended, or Ctrl-C.

    FILE is an aioverseer.toml, a pyproject.toml, a Procfile, or the file of another supervisor: of supervisord, circus,
    process-compose, compose, pm2 or systemd. NAME=COUNT is the number of instances of a service, for example web=2.
    """
    return UpOptions(source=source, policy=policy, log_dir=log_dir)


@commands.command(
    "run",
    short_help="Run one command in place of itself.",
    cls=_CommandAfterDashes,
    context_settings={"allow_interspersed_args": False},
)
@_takes_policy
@click.option("--name", metavar="NAME", help="What messages call it (default: the program's own name).")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def _run(command: tuple[str, ...], name: str | None, policy: PolicyOptions, log_dir: str | None) -> RunOptions:
    """Run one command, with its output and its exit code.

    It is restarted when it fails, and signals are handed on to it.
    """
    return RunOptions(command=command, name=name, policy=policy, log_dir=log_dir)


@commands.command("check", short_help="Check a file, and show the order of its services.")
@_WORDS
@_takes_file
@click.option("--graph", is_flag=True, help="Print the order as a graph for Mermaid, instead of a tree.")
@click.option("--strict", is_flag=True, help="Exit with 1 when there is a warning.")
def _check(*, source: FileOptions, graph: bool, strict: bool) -> CheckOptions:
    """Check a file, draw the order in which its services start, and warn of what will surprise.

    Nothing is started. The exit code is 0 if the file can be used, and 2 if it cannot.
    """
    return CheckOptions(source=source, graph=graph, strict=strict)


@commands.command("schema", short_help="Print the JSON Schema of aioverseer.toml.")
def _schema() -> SchemaOptions:
    """Print the JSON Schema of aioverseer.toml, by which editors complete and check it."""
    return SchemaOptions()


@commands.command("convert", short_help="Write an aioverseer.toml from the file of another supervisor.")
@click.argument("source", metavar="FROM", type=click.Path())
@click.argument("target", metavar="[TO]", required=False, type=click.Path())
@click.option(
    "--from",
    "kind",
    type=click.Choice(FORMATS),
    metavar="KIND",
    help=f"The format of FROM: {', '.join(FORMATS)} (default: by its name and its text).",
)
@_FORCE
@click.option("-v", "--verbose", is_flag=True, help="Name each key that means the same here, too.")
def _convert(*, source: str, target: str | None, kind: str | None, force: bool, verbose: bool) -> ConvertOptions:
    """Write an aioverseer.toml from FROM, the file of another supervisor, to TO or to standard output.

    The report goes to standard error: which keys mean something else here, and which are lost.
    """
    return ConvertOptions(source=source, target=target, kind=kind, force=force, verbose=verbose)


@commands.command("export", short_help="Write the files of systemd, compose or Kubernetes.")
@click.argument("kind", metavar="KIND", type=click.Choice(TARGETS))
@_WORDS
@_takes_file
@click.option("-o", "--output", "folder", type=click.Path(file_okay=False), metavar="DIR", help="Write files to DIR.")
@_FORCE
def _export(*, kind: str, source: FileOptions, folder: str | None, force: bool) -> ExportOptions:
    """Write the services of a file as files of KIND: systemd, systemd-up, compose or kubernetes.

    systemd-up is one unit that runs "aioverseer up". NAME=COUNT is the number of instances of a service.

    The report goes to standard error: what the target does in another way, and what it cannot do.
    """
    return ExportOptions(kind=kind, source=source, folder=folder, force=force)


@commands.command("init", short_help="Write a first aioverseer.toml.")
@click.argument("file", default="aioverseer.toml", type=click.Path(dir_okay=False))
@_FORCE
def _init(*, file: str, force: bool) -> InitOptions:
    """Write a first file for a folder, aioverseer.toml by default.

    Its services are those of a Procfile or a compose file, the scripts of package.json and pyproject.toml, and those of
    a Django project. Nothing is started.
    """
    return InitOptions(file=file, force=force)


@commands.command("completion", short_help="Print a script for the completion in a shell.")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def _completion(shell: str) -> CompletionOptions:
    """Print a script that completes commands, options and files in a shell.

    For bash: eval "$(aioverseer completion bash)" in ~/.bashrc.
    """
    return CompletionOptions(shell=shell)
