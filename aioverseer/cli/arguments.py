"""The arguments of each command as values. The parser makes them, and the commands read them."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "FORMATS",
    "MAX_RESTARTS",
    "STOP_TIMEOUT",
    "TARGETS",
    "WHEN",
    "WHENS",
    "WITHIN",
    "CheckOptions",
    "CompletionOptions",
    "ConvertOptions",
    "ExportOptions",
    "FileOptions",
    "InitOptions",
    "Options",
    "PolicyOptions",
    "RunOptions",
    "SchemaOptions",
    "UpOptions",
    "When",
]

When = Literal["on-failure", "always", "never", "on-abnormal"]

# Copies of the library's defaults, which a test compares: its classes take longer to import than the help to print.
WHENS: tuple[When, ...] = ("on-failure", "always", "never", "on-abnormal")
WHEN: When = "on-failure"
MAX_RESTARTS = 5
WITHIN = 60.0
STOP_TIMEOUT = 10.0
FORMATS = ("supervisord", "circus", "systemd", "process-compose", "compose", "pm2")
TARGETS = ("systemd", "systemd-up", "compose", "kubernetes")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """Options about restarts and stops. None keeps what the file says, or the default of the library.

    Attributes:
        when: The kinds of ends after which a program is restarted.
        max_restarts: The number of restarts; infinity is no limit.
        stop_signal: The signal that asks a program to end.
        stop_timeout: The seconds after which SIGKILL follows.
    """

    when: When | None = None
    max_restarts: int | float | None = None
    stop_signal: signal.Signals | None = None
    stop_timeout: float | None = None

    @property
    def seconds_to_stop(self) -> float:
        """The seconds that a program has before it is killed."""
        return STOP_TIMEOUT if self.stop_timeout is None else self.stop_timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """The file of the services, and what the command line adds to it.

    Attributes:
        file: The path; None looks for the file of the project, from the current folder upwards.
        profiles: The names of profiles, in their order.
        settings: Texts such as ``web.instances=2``, which override the file.
    """

    file: str | None = None
    profiles: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """Arguments of ``aioverseer up``.

    Attributes:
        source: The file.
        policy: The restart options of all its services.
        log_dir: The folder for a log file of each service; None for what the file says.
    """

    source: FileOptions
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """Arguments of ``aioverseer check``.

    Attributes:
        source: The file.
        graph: Whether to print a graph for Mermaid instead of a tree.
        strict: Whether a warning is a failure.
    """

    source: FileOptions
    graph: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaOptions:
    """Arguments of ``aioverseer schema``, which has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """Arguments of ``aioverseer convert``.

    Attributes:
        source: The file of another supervisor.
        target: The file to write; None prints it.
        kind: The format of the source; None looks at its name and its text.
        force: Whether to replace a file that exists.
        verbose: Whether to print a note about each key that means the same here, too.
    """

    source: str
    target: str | None = None
    kind: str | None = None
    force: bool = False
    verbose: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Arguments of ``aioverseer export``.

    Attributes:
        kind: The target, such as ``systemd``.
        source: The file.
        folder: The folder for the files; None prints them.
        force: Whether to replace files that exist.
    """

    kind: str
    source: FileOptions
    folder: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InitOptions:
    """Arguments of ``aioverseer init``.

    Attributes:
        file: The file to write; its folder is looked at.
        force: Whether to replace the file if it exists.
    """

    file: str
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionOptions:
    """Arguments of ``aioverseer completion``.

    Attributes:
        shell: The shell for which to print the script.
    """

    shell: str


Options = (
    UpOptions
    | RunOptions
    | CheckOptions
    | SchemaOptions
    | ConvertOptions
    | ExportOptions
    | InitOptions
    | CompletionOptions
)
