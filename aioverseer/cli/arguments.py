"""The command line: its commands, options and their meaning."""

from __future__ import annotations

import argparse
import dataclasses
import math
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from aioverseer import Restart, Spec, Stop, __version__

__all__ = ["PolicyOptions", "RunOptions", "UpOptions", "parse"]

_When = Literal["on-failure", "always", "never", "on-abnormal"]
_WHENS: tuple[_When, ...] = get_args(_When)

_EPILOG = """\
A service in Python holds its output back when it does not write to a terminal: use print(..., flush=True), or set
PYTHONUNBUFFERED=1.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """Options about restarts and stops. None keeps the default of the library.

    Attributes:
        when: The kinds of ends after which a program is restarted.
        max_restarts: The number of restarts; infinity is no limit.
        stop_signal: The signal that asks a program to end.
        stop_timeout: The seconds after which SIGKILL follows.
    """

    when: _When | None = None
    max_restarts: int | float | None = None
    stop_signal: signal.Signals | None = None
    stop_timeout: float | None = None

    @property
    def seconds_to_stop(self) -> float:
        """The seconds that a program has before it is killed."""
        return Stop().steps[0].timeout if self.stop_timeout is None else self.stop_timeout

    def applied_to(self, spec: Spec) -> Spec:
        """Return the Spec with these options."""
        policy = spec.restart
        if self.when is not None:
            policy = dataclasses.replace(policy, when=self.when)
        if self.max_restarts is not None:
            most = self.max_restarts
            policy = dataclasses.replace(policy, max_restarts=most if isinstance(most, int) else None)
        stop = spec.stop
        if self.stop_signal is not None or self.stop_timeout is not None:
            stop = Stop(self.stop_signal or signal.SIGTERM, self.seconds_to_stop)
        return spec.updated(restart=policy, stop=stop)


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

    @property
    def hand_on(self) -> float | None:
        """The seconds that the command has after a signal that is handed on; None if its stop has its own signal."""
        return self.policy.seconds_to_stop if self.policy.stop_signal is None else None


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
    return PolicyOptions(
        when=given.restart,
        max_restarts=given.max_restarts,
        stop_signal=given.stop_signal,
        stop_timeout=given.stop_timeout,
    )


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
        help=f"after which ends a program is run again: {', '.join(_WHENS)} (default: {usual.when}; for run with a "
        "file as its input or output: never)",
    )
    common.add_argument(
        "--max-restarts",
        type=_count,
        metavar="N",
        help=f"give up after N restarts within {usual.within:g} s, or 'unlimited' (default: {usual.max_restarts})",
    )
    common.add_argument(
        "--stop-signal",
        type=_signal,
        metavar="SIGNAL",
        help="ask programs to end by this signal (default: SIGTERM; for run, the signal that aioverseer itself got)",
    )
    common.add_argument(
        "--stop-timeout",
        type=_seconds,
        metavar="SECONDS",
        help=f"kill a program that has not ended by then (default: {Stop().steps[0].timeout:g})",
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
        usage="aioverseer run [--restart WHEN] [--max-restarts N] [--stop-signal SIGNAL] [--stop-timeout SECONDS] "
        "[--log-dir DIR] [--name NAME] -- COMMAND [ARG...]",
        help="run one command",
        description="Run one command, with its output and its exit code.",
    )
    runner.add_argument("--name", help="what messages call it (default: the program's own name)")
    return parser, runner


def _signal(text: str) -> signal.Signals:
    name = text.upper()
    for number in signal.Signals:
        if name in (number.name, number.name.removeprefix("SIG"), str(number.value)):
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is no signal: pass a name, for example SIGINT or INT")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: pass seconds, 0 or more")
    return seconds


def _count(text: str) -> int | float:
    if text == "unlimited":
        return math.inf
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of restarts: pass 0 or more, or 'unlimited'")
    return int(text)
