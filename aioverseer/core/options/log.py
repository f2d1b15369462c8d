"""LogFile and LogBridge: the options for keeping the lines of services in files or in ``logging``."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.meant import hint_for, with_hint
from aioverseer.core.options.numbers import expands, no_seconds, no_whole_number
from aioverseer.core.options.unknown import answers_unknown
from aioverseer.core.typing import PathLike

__all__ = ["MOST_KEPT", "Log", "LogBridge", "LogFile", "as_logs"]

MOST_KEPT = 999
"""Highest number of a rotated file. A name with more digits may be a date, and such a file is never removed."""

_OF_RUN = ("index", "run", "port")
_IN_PATH = ("id", "stream", "group", *_OF_RUN)
_IN_LOGGER = ("id", "group")


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class LogFile:
    """A file to which the lines of a service, or of all services, are appended.

    A thread writes the file, never the event loop. The file is rotated when it would grow beyond ``max_bytes``, or when
    a line belongs to a later period of ``every`` seconds than the last one. A rotation renames ``path.1`` to ``path.2``
    and so on, and the file to ``path.1``; then a new file is begun. If another program has renamed or removed the file,
    it is opened again before the next line.

    Attributes:
        path: Path of the file. ``{id}``, ``{group}`` and ``{stream}`` are replaced by those of the line; for instances
            also ``{index}``, ``{run}`` and ``{port}``.
        max_bytes: Size in bytes that the file must not exceed: it is rotated before a line that would. A line that is
            longer by itself is cut between the pieces in which it was read, never inside one. None is no limit.
        keep: Number of rotated files to keep, from 1 to 999; the oldest is removed.
        every: Seconds of a period; the first line of each period rotates the file. Periods begin at 1970-01-01 in UTC,
            so 86400 is a day. None is never.
        compress: Whether rotated files become ``path.1.gz`` and so on.
        format: ``"text"`` writes the lines as they are. ``"json"`` writes an object for each line, with ``time``,
            ``id``, ``stream``, ``run`` and ``text``.
        timestamps: Whether each line of text begins with the time at which it was read.
        overflow: Reaction while more than 2 MiB wait to be written. ``"block"`` slows the program. ``"drop_newest"``
            drops new lines, and a mark in the file says how many are missing.
        stream: Stream to keep, ``"stdout"`` or ``"stderr"``; None is both.
    """

    path: str
    max_bytes: int | None
    keep: int
    every: float | None
    compress: bool
    format: Literal["text", "json"]
    timestamps: bool
    overflow: Literal["block", "drop_newest"]
    stream: Literal["stdout", "stderr"] | None

    def __init__(
        self,
        path: str | PathLike,
        *,
        max_bytes: int | None = None,
        keep: int = 5,
        every: float | None = None,
        compress: bool = False,
        format: Literal["text", "json"] = "text",
        timestamps: bool = False,
        overflow: Literal["block", "drop_newest"] = "block",
        stream: Literal["stdout", "stderr"] | None = None,
    ) -> None:
        """Check and store the options, without opening the file.

        Raises:
            SpecError: Naming the option and the value.
        """
        text = path if isinstance(path, str) or not isinstance(path, PathLike) else path.__fspath__()
        if not isinstance(text, str) or not text or "\0" in text or text.endswith("/"):
            raise _refusal("path", path, "is no path of a file: pass a non-empty str or a pathlib.Path")
        if (why := expands(text)) is not None:
            raise _refusal("path", path, why)
        _check_placeholders("path", text, _IN_PATH)
        if max_bytes is not None:
            why = no_whole_number(max_bytes, "bytes", least=1, none="for no limit")
            if why is not None:
                raise _refusal("max_bytes", max_bytes, why)
        if not _is_whole(keep, least=1) or keep > MOST_KEPT:
            raise _refusal("keep", keep, f"is no number of files: pass 1 to {MOST_KEPT}")
        if every is not None and (why := no_seconds(every, least=1, none="for no limit")) is not None:
            raise _refusal("every", every, why + _period(every))
        for option, value in (("compress", compress), ("timestamps", timestamps)):
            if not isinstance(value, bool):
                raise _refusal(option, value, "is neither: pass True or False")
        if compress and max_bytes is None and every is None:
            raise _refusal("compress", compress, "has nothing to compress: pass max_bytes or every too")
        _check_choice("format", format, ("text", "json"))
        _check_choice("overflow", overflow, ("block", "drop_newest"))
        if stream is not None:
            _check_choice("stream", stream, ("stdout", "stderr"))
        settle = object.__setattr__  # the only way to set a field of a frozen dataclass
        settle(self, "path", text)
        settle(self, "max_bytes", max_bytes)
        settle(self, "keep", keep)
        settle(self, "every", None if every is None else float(every))
        settle(self, "compress", compress)
        settle(self, "format", format)
        settle(self, "timestamps", timestamps)
        settle(self, "overflow", overflow)
        settle(self, "stream", stream)

    def __repr__(self) -> str:
        """Return the path and the options that differ from their defaults."""
        plain = LogFile(self.path)
        options = [
            f", {name}={getattr(self, name)!r}"
            for name in self.__slots__
            if getattr(self, name) != getattr(plain, name)
        ]
        return f"LogFile({self.path!r}{''.join(options)})"

    @property
    def rotates(self) -> bool:
        """Whether the file is ever rotated."""
        return self.max_bytes is not None or self.every is not None

    @property
    def has_ids(self) -> bool:
        """Whether the path contains the id of the service."""
        return "id" in _placeholders(self.path)

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams that the file keeps."""
        return ("stdout", "stderr") if self.stream is None else (self.stream,)

    def path_of(self, *, id: str, stream: str, group: str) -> str:
        """Return the path for the lines of one stream of one service."""
        # A word of a run stays until there is a run; see ``of_run``.
        kept = {word: f"{{{word}}}" for word in _OF_RUN}
        return self.path.format(id=_as_name(id), stream=stream, group=_as_name(group), **kept)

    @property
    def words_of_run(self) -> frozenset[str]:
        """Words in the path that ``of_run`` replaces."""
        return frozenset(_placeholders(self.path)).intersection(_OF_RUN)

    def of_run(self, values: Mapping[str, object]) -> LogFile:
        """Return the log of one run.

        Args:
            values: Values of ``index``, ``run`` and ``port``.
        """
        if not self.words_of_run:
            return self
        path = "".join(
            _doubled(literal) + ("" if name is None else str(values[name]) if name in _OF_RUN else f"{{{name}}}")
            for literal, name, _, _ in string.Formatter().parse(self.path)
        )
        return dataclasses.replace(self, path=path)

    def rules(self) -> tuple[object, ...]:
        """Return the options on which all writers of one file must agree."""
        return (self.max_bytes, self.keep, self.every, self.compress, self.format, self.timestamps, self.overflow)


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True)
class LogBridge:
    """Bridge of the lines of a service to ``logging``, in a thread of the overseer.

    Attributes:
        logger: Name of the logger; ``{id}`` and ``{group}`` are replaced by those of the service.
        stdout: Level of the lines of standard output; 20 is ``logging.INFO``.
        stderr: Level of the lines of standard error; 30 is ``logging.WARNING``.
    """

    logger: str = "aioverseer.output.{id}"
    stdout: int = 20
    stderr: int = 30

    def __post_init__(self) -> None:
        """Check every option.

        Raises:
            SpecError: Naming the option and the value.
        """
        if not isinstance(self.logger, str) or not self.logger:
            name = getattr(self.logger, "name", None)
            why = f"is no name of a logger: pass {repr(name) if isinstance(name, str) else 'a non-empty str'}"
            raise _refusal("logger", self.logger, why, kind="LogBridge")
        _check_placeholders("logger", self.logger, _IN_LOGGER, kind="LogBridge")
        for option, level in (("stdout", self.stdout), ("stderr", self.stderr)):
            if not _is_whole(level, least=0):
                raise _refusal(option, level, "is no level: pass a number, for example logging.INFO", kind="LogBridge")

    def logger_of(self, *, id: str, group: str) -> str:
        """Return the name of the logger for one service."""
        return self.logger.format(id=id, group=group)


Log = LogFile | LogBridge
"""Destination of kept lines."""


def as_logs(value: object, *, owner: str) -> tuple[Log, ...] | None:
    """Check the option ``log``: a LogFile, a LogBridge, several of them, or None.

    Args:
        value: Value of the option.
        owner: Owner of the option, for the message.

    Raises:
        SpecError: For any other value, or one that names a file twice.
    """
    if value is None:
        return None
    items = _as_tuple(value)
    for item in items:
        if not isinstance(item, Log):
            raise SpecError(
                f"{owner}: log={value!r} is no log: "
                + with_hint("pass a LogFile, a LogBridge, or several of them in a list", hint_for("log", item)),
                option="log",
                value=value,
            )
    logs = cast("tuple[Log, ...]", items)
    seen: set[tuple[str, str]] = set()
    for log in logs:
        for place in _places(log):
            if place in seen:
                raise SpecError(
                    f"{owner}: log={value!r} would write each line to {place[0]!r} twice: name it once",
                    option="log",
                    value=value,
                )
            seen.add(place)
    return logs


def _as_tuple(value: object) -> tuple[object, ...]:
    # A text and an open file are iterable, and stand for themselves in the message.
    if isinstance(value, str | bytes) or hasattr(value, "fileno") or not isinstance(value, Iterable):
        return (value,)
    return tuple(cast("Iterable[object]", value))


def _places(log: Log) -> list[tuple[str, str]]:
    if isinstance(log, LogBridge):
        return [(log.logger, "")]
    return [(log.path, stream) for stream in log.streams]


_PERIODS = {"secondly": 1, "minutely": 60, "hourly": 3600, "daily": 86_400, "midnight": 86_400, "weekly": 604_800}


def _period(value: object) -> str:
    seconds = _PERIODS.get(value.lower()) if isinstance(value, str) else None
    return "" if seconds is None else f"; write {seconds}"


def _as_name(text: str) -> str:
    """Return an id or a group as one part of a path. Different ids give different names."""
    name = text.replace("%", "%25").replace("/", "%2F")
    # A name of dots alone would be this folder or its parent, and an empty group would be no folder at all.
    return (name if name.strip(".") else name.replace(".", "%2E")) or "-"


def _doubled(literal: str) -> str:
    return literal.replace("{", "{{").replace("}", "}}")


def _placeholders(text: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]


def _check_placeholders(option: str, text: str, known: tuple[str, ...], *, kind: str = "LogFile") -> None:
    listed = ", ".join(f"{{{name}}}" for name in known)
    why = f"is not understood: it may hold {listed}; for a brace write it twice"
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        raise _refusal(option, text, why, kind=kind) from None
    for _, name, layout, conversion in parts:
        if name is not None and (name not in known or layout or conversion):
            raise _refusal(option, text, why, kind=kind)


def _check_choice(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise _refusal(option, value, f"is unknown: there are {', '.join(known)}")


def _is_whole(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _refusal(option: str, value: object, why: str, *, kind: str = "LogFile") -> SpecError:
    return SpecError(f"{kind}: {option}={value!r} {why}", option=option, value=value)
