"""The command line: its commands, options and their meaning."""

from __future__ import annotations

import argparse
import dataclasses
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from aioverseer import Restart, Spec, __version__

__all__ = ["PolicyOptions", "RunOptions", "UpOptions", "parse"]

_When = Literal["on-failure", "always", "never", "on-abnormal"]
_WHENS: tuple[_When, ...] = get_args(_When)

_EPILOG = """\
A service in Python holds its output back when it does not write to a terminal: use print(..., flush=True), or set
PYTHONUNBUFFERED=1.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """Options about restarts. None keeps the default of the library.

    Attributes:
        when: The kinds of ends after which a program is restarted.
        max_restarts: The number of restarts; infinity is no limit.
    """

    when: _When | None = None
    max_restarts: int | float | None = None

    def applied_to(self, spec: Spec) -> Spec:
        """Return the Spec with these options."""
        policy = spec.restart
        if self.when is not None:
            policy = dataclasses.replace(policy, when=self.when)
        if self.max_restarts is not None:
            most = self.max_restarts
            policy = dataclasses.replace(policy, max_restarts=most if isinstance(most, int) else None)
        return spec.updated(restart=policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """Arguments of ``aioverseer up``.

    Attributes:
        file: The Procfile.
        policy: The restart options of all its services.
        log_dir: The folder for a log file of each service; None for no files.
    """

    file: str
    policy: PolicyOptions
    log_dir: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Arguments of ``aioverseer run``.

    Attributes:
        command: The program and its arguments.
        name: The name in messages; None takes the name of the program.
        policy: The restart options of the command.
        log_dir: The folder for its log file; None for no file.
    """

    command: tuple[str, ...]
    name: str | None
    policy: PolicyOptions
    log_dir: str | None


def parse(argv: Sequence[str]) -> UpOptions | RunOptions:
    """Parse a command line.

    Args:
        argv: The arguments after the command's name.

    Raises:
        SystemExit: With code 2 if the command line is wrong, with 0 after help or version. The text was printed.
    """
    parser, runner = _parsers()
    words, command = list(argv), list[str]()
    if words[:1] == ["run"] and "--" in words:
        # Split here: the handling of two dashes in argparse differs between versions of Python.
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    given, rest = parser.parse_known_args(words)
    if given.verb == "run":
        if rest or not command:
            example = shlex.join([*rest, *command]) or "python3 server.py"
            runner.error(f"two dashes go before the command: aioverseer run -- {example}")
        return RunOptions(command=tuple(command), name=given.name, policy=_policy(given), log_dir=given.log_dir)
    if rest:
        parser.error(f"not understood: {shlex.join(rest)}; see aioverseer up --help")
    return UpOptions(file=given.file, policy=_policy(given), log_dir=given.log_dir)


def _policy(given: argparse.Namespace) -> PolicyOptions:
    return PolicyOptions(when=given.restart, max_restarts=given.max_restarts)


def _parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(
        prog="aioverseer",
        description="Run programs, restart those that fail, and leave nothing behind.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"aioverseer {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="up|run")
    usual = Restart()
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--restart",
        choices=_WHENS,
        metavar="WHEN",
        help=f"after which ends a program is run again: {', '.join(_WHENS)} (default: {usual.when})",
    )
    common.add_argument(
        "--max-restarts",
        type=_count,
        metavar="N",
        help=f"give up after N restarts within {usual.within:g} s, or 'unlimited' (default: {usual.max_restarts})",
    )
    common.add_argument(
        "--log-dir",
        metavar="DIR",
        help="also append all output to DIR/NAME.log, kept below 10 MB each, with the 5 before it (default: no files)",
    )
    up = verbs.add_parser(
        "up",
        parents=[common],
        allow_abbrev=False,
        help="run the services of a Procfile",
        description="Run the services of a Procfile until all have ended, or Ctrl-C.",
        epilog=_EPILOG,
    )
    up.add_argument("file", nargs="?", default="Procfile", metavar="FILE", help="default: Procfile")
    runner = verbs.add_parser(
        "run",
        parents=[common],
        allow_abbrev=False,
        usage="aioverseer run [--restart WHEN] [--max-restarts N] [--log-dir DIR] [--name NAME] -- COMMAND [ARG...]",
        help="run one command",
        description="Run one command, with its output and its exit code.",
    )
    runner.add_argument("--name", help="what messages call it (default: the program's own name)")
    return parser, runner


def _count(text: str) -> int | float:
    if text == "unlimited":
        return math.inf
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of restarts: pass 0 or more, or 'unlimited'")
    return int(text)
