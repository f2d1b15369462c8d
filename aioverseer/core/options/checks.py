"""Checks of the options of a Spec. A check raises a SpecError, or returns the value in its final form.

``_CHECKS`` has a row for each option, ``_TOGETHER`` for options that depend on others. No check asks the operating
system: whether a program, a user or a folder exists is found out at the launch.
"""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast, get_args

from aioverseer.core.errors import SpecError
from aioverseer.core.options.after import as_after
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.composition import Probe, leaves
from aioverseer.core.options.containment import check_asked
from aioverseer.core.options.destinations import streams_read, unfit_destination
from aioverseer.core.options.encodings import kind_of
from aioverseer.core.options.foreign import answer_to
from aioverseer.core.options.framing import (
    STREAMS,
    AnyFraming,
    Lines,
    as_framing,
    framing_by_stream,
    framing_of,
    is_lines,
)
from aioverseer.core.options.give_up import check_on_give_up
from aioverseer.core.options.input import unfit_input, unfit_upstream, upstream_of
from aioverseer.core.options.keywords import Leftovers, Rlimit, SpecOptions
from aioverseer.core.options.log import as_logs
from aioverseer.core.options.meant import hint_for, with_hint
from aioverseer.core.options.numbers import expands, no_seconds, no_whole_number
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import CloseStdin, WriteStdin
from aioverseer.core.options.unknown import hint_for_name
from aioverseer.core.typing import HasDescriptor, PathLike

__all__ = ["OPTIONS", "check_names", "check_options", "refuse_options_of_services"]

_NICE = range(-20, 20)
_UMASK = range(0o1000)
_USUAL_MASKS = frozenset({0, 0o2, 0o7, 0o22, 0o27, 0o37, 0o66, 0o77, 0o117, 0o137, 0o177, 0o222, 0o277, 0o377})
_MEANT_MASKS = frozenset(int(f"{mask:o}") for mask in _USUAL_MASKS)
"""Usual masks, written in octal digits and read as decimal numbers: 22 was meant as 0o22."""
_WINDOW = range(1, 1 << 16)
_PROBE = "pass for example ready.tcp(8000)"
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_CPUS = (0.01, 10_000)
"""Least and most value of ``cpu_max``; the kernel refuses less than a hundredth of a processor."""
_RLIMITS = frozenset(
    "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)
"""Names of resources that prlimit(1) knows."""

_OF_ASCII = re.compile(r"utf-(7|16|32).*|iso2022.*|hz")
"""Names of codecs that can refuse bytes below 128."""

OPTIONS = frozenset(SpecOptions.__annotations__)


def check_names(id: str, options: Mapping[str, Any]) -> None:
    """Check the names of options.

    Args:
        id: Id of the service, for the message.
        options: Options as keywords.

    Raises:
        SpecError: For an unknown name, with what to write in place of the word of another tool, or else with the most
            similar name that exists.
    """
    for name in options:
        if name not in OPTIONS:
            hint = _hint(name)
            raise SpecError(f"service {id!r}: there is no option {name!r}; {hint}", option=name, value=options[name])


def _hint(name: str) -> str:
    if (answer := answer_to(name)) is not None:
        return answer
    return hint_for_name(name, OPTIONS)


def check_options(
    id: str, argv: object, given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[tuple[str, object]]:
    """Check the options of a Spec, and yield each name with its value in its final form.

    Args:
        id: Id of the service.
        argv: Program and its arguments.
        given: Values of the options that are not at their defaults.
        defaults: Default values of all options.

    Raises:
        SpecError: Naming the service, the option and the value.
    """
    if not isinstance(id, str) or not id or not id.isprintable() or id != id.strip():
        raise SpecError(
            f"id={id!r} is no name for a service: pass a non-empty str without blanks at its ends",
            option="id",
            value=id,
        )
    check = _Checker(id)
    yield "argv", check.argv(argv)
    checked = {name: _CHECKS[name](check, value) for name, value in given.items()}
    together = _TOGETHER.keys() & checked.keys()
    if together:
        values = {**defaults, **checked}
        for name in checked:
            if name in together:
                _TOGETHER[name](check, values)
    yield from checked.items()


_OF_SERVICES = frozenset({"restart", "group", "log", "after", "critical"})


def refuse_options_of_services(options: SpecOptions) -> None:
    """Refuse options that make no sense for a lone Process.

    Raises:
        SpecError: Naming an alternative.
    """
    if _OF_SERVICES.isdisjoint(options):
        return
    for name in ("restart", "group"):
        if name in options:
            value = options.get(name)
            raise SpecError(
                f"{name}={value!r} is for a Service, a Process runs once: use Overseer.add", option=name, value=value
            )
    for option in ("log", "after", "critical"):
        if (given := options.get(option)) not in (None, (), False):
            instead = ", or read the lines" if option == "log" else ""
            raise SpecError(
                f"{option}={given!r} is for a Service: use Overseer.add{instead}", option=option, value=given
            )


class _Checker:
    """Checks of the options of one service, whose id is part of each message."""

    def __init__(self, id: str) -> None:
        self._id = id

    def refuse(self, option: str, value: object, why: str) -> SpecError:
        text = with_hint(why, hint_for(option, value))
        return SpecError(f"service {self._id!r}: {option}={value!r} {text}", option=option, value=value)

    def argv(self, argv: object) -> tuple[str, ...]:
        if isinstance(argv, str | bytes):
            raise self.refuse("argv", argv, "is one text: pass the program and each argument on its own")
        # Check the common types first: isinstance() with a protocol is about ten times as slow.
        if not isinstance(argv, tuple | list) and not isinstance(argv, Iterable):
            raise self.refuse("argv", argv, "is no list: pass the program and each argument on its own")
        items = tuple(cast("Iterable[object]", argv))
        if not items or items[0] == "":
            raise self.refuse("argv", list(items), "is empty: name the program to run")
        first = items[0]
        if type(first) is str and "/" not in first and len(first.split()) > 1:
            raise self.refuse("argv", list(items), f"is one text, and arguments are separate: {_separated(first)}")
        if type(first) is str and not first[0].isalnum() and (why := expands(first)) is not None:
            raise self.refuse("argv", list(items), why)
        if type(first) is str and "=" in first and (found := _ASSIGNMENT.fullmatch(first)):
            variable = {found[1]: found[2]}
            raise self.refuse(
                "argv", list(items), f"sets a variable, which only a shell does: pass extra_env={variable!r}"
            )
        if all(type(item) is str and "\0" not in item for item in items):
            return cast("tuple[str, ...]", items)
        return tuple(self._argument(place, item) for place, item in enumerate(items))

    def _argument(self, place: int, item: object) -> str:
        name = f"argv[{place}]"
        text = item.__fspath__() if isinstance(item, PathLike) else item
        if not isinstance(text, str):
            why = f"is of type {type(item).__name__}: every argument is a str or a path{_as_text(item)}"
            raise self.refuse(name, item, why)
        if "\0" in text:
            raise self.refuse(name, item, "holds a NUL, which no argument can")
        return text

    def path(self, option: str, value: object) -> str:
        text = value.__fspath__() if isinstance(value, PathLike) else value
        if not isinstance(text, str) or not text or "\0" in text:
            raise self.refuse(option, value, "is no path: pass a non-empty str or a pathlib.Path")
        if (why := expands(text)) is not None:
            raise self.refuse(option, value, why)
        return text

    def environment(self, option: str, value: object) -> Mapping[str, str]:
        if not isinstance(value, Mapping):
            raise self.refuse(option, type(value).__name__, f"is no mapping: {_as_variables(option, value)}")
        items = cast("Mapping[object, object]", value)
        for name, text in items.items():
            # A value is never part of a message, as it may be a secret, even if it was written into the name.
            if not isinstance(name, str) or not name or "=" in name or "\0" in name:
                shown = f"{name.partition('=')[0]}=..." if isinstance(name, str) and "=" in name else name
                raise self.refuse(option, shown, "is no name of a variable")
            if not isinstance(text, str) or "\0" in text:
                what = "holds a NUL" if isinstance(text, str) else f"is of type {type(text).__name__}"
                raise SpecError(
                    f"service {self._id!r}: {option}[{name!r}] {what}: every value is a str without NUL"
                    f"{_as_value(text)}",
                    option=option,
                )
            if "$" in text and re.search(rf"\$({re.escape(name)}(?!\w)|\{{{re.escape(name)}\}})", text):
                raise SpecError(
                    f"service {self._id!r}: {option}[{name!r}] holds ${name}, which only a shell expands: write its "
                    f"value with os.environ[{name!r}]",
                    option=option,
                )
        return MappingProxyType(dict(cast("Mapping[str, str]", value)))

    def stdin(self, value: Any) -> object:
        # The input of a program may be a secret, so it is never part of a message.
        hint = hint_for("stdin", value)
        if hint is not None and isinstance(value, str):
            raise SpecError(
                f"service {self._id!r}: stdin={value!r} would be fed as text: {hint}; pass bytes to feed it",
                option="stdin",
                value=value,
            )
        if (upstream := upstream_of(value)) is not None:
            if (why := unfit_upstream(upstream)) is not None:
                raise SpecError(f"service {self._id!r}: stdin is the output of a program, and {why}", option="stdin")
            return upstream
        if (why := unfit_input(value)) is not None:
            raise SpecError(f"service {self._id!r}: stdin is of type {type(value).__name__}: {why}", option="stdin")
        if isinstance(value, PathLike):
            self.path("stdin", value)
        elif not (callable(value) or isinstance(value, str | bytes | HasDescriptor | AsyncIterable)):
            raise SpecError(
                f"service {self._id!r}: stdin is of type {type(value).__name__}: "
                'pass None, "pipe", "inherit", text, bytes, a pathlib.Path, an open file or an async iterable'
                + ("" if hint is None else f"; {hint}"),
                option="stdin",
            )
        return cast("object", value)

    def fed(self, values: Mapping[str, Any]) -> None:
        value, encoding = values["stdin"], values["encoding"] or "utf-8"
        if isinstance(value, str):
            try:
                value.encode(encoding)
            except UnicodeError:
                raise SpecError(
                    f"service {self._id!r}: stdin cannot be encoded as {encoding}: pass bytes", option="stdin"
                ) from None
        if values["pty"] and (value == "inherit" or isinstance(value, PathLike | HasDescriptor) or upstream_of(value)):
            raise SpecError(
                f"service {self._id!r}: with pty=True its input is the terminal: pass stdin None, "
                '"pipe", text, bytes or an async iterable',
                option="stdin",
            )

    def ladder(self, values: Mapping[str, Any]) -> None:
        has_input = values["stdin"] == "pipe" or (values["pty"] and values["stdin"] is None)
        for step in values["stop"].steps:
            if isinstance(step, CloseStdin | WriteStdin) and not has_input:
                call = "close_stdin" if isinstance(step, CloseStdin) else "write"
                raise SpecError(
                    f"service {self._id!r}: stop has the step Stop.{call}, and the program has no pipe to its standard "
                    'input: pass stdin="pipe", or leave the step out',
                    option="stop",
                    value=values["stop"],
                )

    def destination(self, option: str, value: object) -> object:
        if option != "output" and value is None:
            return None
        if (why := unfit_destination(value)) is not None:
            raise self.refuse(option, value, why)
        return value

    def unread(self, values: Mapping[str, Any]) -> None:
        read = streams_read(values)
        if values["merge_stderr"] and values["stderr"] is not None:
            raise self.refuse("stderr", values["stderr"], "cannot go with merge_stderr=True: leave one out")
        if read >= {"stdout"} and (values["merge_stderr"] or "stderr" in read):
            return
        option = next(name for name in ("output", "stdout", "stderr") if values[name] not in (None, "read"))
        place, streaming = values[option], values["streaming"]
        for name, needed in (
            ("buffered", read if values["buffered"] else True),
            ("streaming", not streaming or (streaming in read if isinstance(streaming, str) else read)),
            ("pty", not values["pty"]),
        ):
            if not needed:
                given = f"{name}={values[name]!r}"
                raise self.refuse(option, place, f"cannot go with {given}, which reads it: leave one out")
        given = f"{option}={place!r}"
        if values["ready"] is not None:
            for leaf in leaves(values["ready"]):
                stream = getattr(leaf, "stream", None)
                if leaf.reads_lines and not (read if stream is None else stream in read):
                    raise self.refuse("ready", str(leaf), f"needs lines, and {given} gives none")
        if values["log"] and not read:
            raise self.refuse("log", values["log"], f"needs lines, and {given} gives none: leave one out")

    def readiness(self, value: object) -> object:
        if not isinstance(value, Probe):
            wrapped = callable(value) and getattr(value, "__module__", None) != "aioverseer.ready"
            raise self.refuse("ready", value, f"is no probe: {'wrap it in ready.check(...)' if wrapped else _PROBE}")
        return value

    def liveness(self, value: object) -> object:
        return self.kind("alive", value, Alive, "an Alive, for example Alive(ready.tcp(8000), every=10)")

    def significance(self, values: Mapping[str, Any]) -> None:
        significant = values["significant"]
        if not values["group"]:
            raise self.refuse("significant", significant, "counts for a group, and it is in none: pass group=")
        if values["restart"].when == "always":
            raise self.refuse(
                "significant", significant, 'cannot go with Restart("always"): it would never end by itself'
            )

    def window(self, option: str, value: object) -> object:
        match value:
            case (int(columns), int(rows)) if columns in _WINDOW and rows in _WINDOW:
                return columns, rows
            case _:
                raise self.refuse(option, value, "is no size: pass (columns, rows), for example (80, 24)")

    def streaming(self, value: object) -> object:
        if not isinstance(value, bool) and value not in ("stdout", "stderr"):
            raise self.refuse("streaming", value, 'is unknown: pass True, "stdout", "stderr" or False')
        return value

    def streams(self, values: Mapping[str, Any]) -> None:
        for name in ("merge_stderr", "pty"):
            if values["streaming"] == "stderr" and values[name]:
                raise self.refuse(
                    "streaming", "stderr", f'has no lines of its own with {name}=True: pass streaming="stdout"'
                )

    def framing(self, value: object) -> object:
        try:
            return as_framing(value)
        except SpecError as error:
            raise self.refuse("framing", value, str(error)) from error.__cause__

    def framed(self, values: Mapping[str, Any]) -> None:
        framing = cast("AnyFraming", values["framing"])
        of_streams = framing_by_stream(framing)
        is_one = values["merge_stderr"] or values["pty"]
        if framing == Lines():  # the default, written out
            return
        read = streams_read(values)
        for stream in ("",) if of_streams is None or is_one else of_streams:
            if not read or (stream and stream not in read):
                option = stream if values.get(stream) is not None else "output" if not read else "stdout"
                given = f"{option}={values[option]!r}"
                raise self.refuse("framing", framing, f"needs output, and {given} gives none")
        if is_one and of_streams is not None and "stderr" in of_streams:
            name = "pty" if values["pty"] else "merge_stderr"
            raise self.refuse("framing", framing, f"has a framing of stderr, which {name}=True puts into stdout")
        streams = STREAMS[:1] if is_one else STREAMS
        for stream in streams:
            lines = framing_of(framing, stream)
            if isinstance(lines, Lines) and (lines.universal or lines.end is not None):
                self._splittable(framing, lines, values["encoding"])
        if values["ready"] is not None:
            of_lines = [stream for stream in streams if is_lines(framing, stream)]
            self._in_lines(values["ready"], streams, of_lines)

    def _in_lines(self, probe: Probe, streams: Sequence[str], of_lines: Sequence[str]) -> None:
        """Refuse a probe for a line of a stream that is not divided into lines.

        Args:
            probe: Probe to check.
            streams: Streams of the program.
            of_lines: Streams that are divided into lines.
        """
        for leaf in leaves(probe):
            if not leaf.reads_lines:
                continue
            wanted = getattr(leaf, "stream", None)
            others = [stream for stream in streams if wanted in (None, stream) and stream not in of_lines]
            if others:
                hint = f"pass stream={of_lines[0]!r} to the probe" if of_lines else "take another probe"
                why = f"needs lines, and the framing of {others[0]} gives none: {hint}"
                raise SpecError(f"service {self._id!r}: ready={str(leaf)!r} {why}", option="ready", value=leaf)

    def _splittable(self, framing: object, lines: Lines, encoding: str | None) -> None:
        """Refuse ends of lines that cannot be found in the bytes of an encoding."""
        if encoding is not None and kind_of(encoding) == "other":
            raise self.refuse("framing", framing, f"cannot go with encoding={encoding!r}: pass encoding=None for bytes")
        if isinstance(lines.end, str):
            try:
                lines.end.encode(encoding or "utf-8")
            except UnicodeError:
                raise self.refuse(
                    "framing", framing, f"has an end that encoding={encoding!r} has not: pass bytes"
                ) from None

    def one_of(self, option: str, value: object, known: tuple[str, ...]) -> object:
        if value not in known:
            raise self.refuse(option, value, f"is unknown: pass {' or '.join(map(repr, known))}")
        return value

    def flag(self, option: str, value: object) -> object:
        return self.kind(option, value, bool, "True or False")

    def kind(self, option: str, value: object, kind: type, wanted: str) -> object:
        if not isinstance(value, kind):
            raise self.refuse(option, value, f"is of type {type(value).__name__}: pass {wanted}")
        return value

    def whole(self, option: str, value: object, *, least: int, unit: str) -> object:
        if (why := no_whole_number(value, unit, least=least)) is not None:
            raise self.refuse(option, value, why)
        return value

    def processors(self, cpus: object) -> object:
        why = f"pass {_CPUS[0]} to {_CPUS[1]}, for example 1.5"
        if not isinstance(cpus, int | float) or isinstance(cpus, bool) or cpus != cpus:  # nan  # noqa: PLR0124
            raise self.refuse("cpu_max", cpus, f"is no number of processors: {why}")
        if not _CPUS[0] <= cpus <= _CPUS[1]:
            raise self.refuse("cpu_max", cpus, f"is too {'low' if cpus < _CPUS[0] else 'high'}, in processors: {why}")
        return cpus

    def seconds(self, option: str, value: object, *, none: str = "") -> float:
        if (why := no_seconds(value, none=none)) is not None:
            raise self.refuse(option, value, why)
        return float(cast("float", value))

    def encoding(self, encoding: object) -> object:
        if encoding is not None:
            try:
                # Some codecs do not make text of bytes, such as "hex"; others raise for a wrong byte whatever
                # ``errors`` is, such as "idna". Only a byte to decode shows it.
                b"\xff".decode(cast("str", encoding), "replace")
                "".encode(cast("str", encoding))
            except (LookupError, TypeError, ValueError):
                raise self.refuse("encoding", encoding, "is unknown: pass a text encoding's name, or None") from None
        return encoding

    def errors(self, errors: object) -> object:
        try:
            # A handler that raises would end the reading in the middle of the output.
            b"\xff".decode("ascii", cast("str", errors))
        except Exception:  # noqa: BLE001  # an error handler of the user's own may raise anything
            raise self.refuse(
                "errors",
                errors,
                "raises for broken bytes, or is unknown: pass 'replace', 'ignore', 'backslashreplace' or "
                "'surrogateescape', or encoding=None for bytes",
            ) from None
        return errors

    def replacing(self, values: Mapping[str, Any]) -> None:
        errors, encoding = values["errors"], values["encoding"]
        if errors != "surrogateescape" or encoding is None:
            return
        if _OF_ASCII.fullmatch(codecs.lookup(encoding).name):
            raise self.refuse(
                "errors",
                errors,
                f"raises for broken bytes of encoding={encoding!r}: pass 'replace', 'ignore' or "
                "'backslashreplace', or encoding=None for bytes",
            )

    def identity(self, user: object) -> object:
        good = (isinstance(user, int) and not isinstance(user, bool) and user >= 0) or (
            isinstance(user, str) and all(user.split(":")) and user.count(":") <= 1 and "\0" not in user
        )
        if not good:
            raise self.refuse("user", user, 'is no user: pass a name, a number, or "name:group"')
        return user

    def groups(self, value: object) -> tuple[str | int, ...]:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise self.refuse("extra_groups", value, "is no list: pass names or numbers of groups")
        items = tuple(cast("Iterable[object]", value))
        for item in items:
            good = item >= 0 and not isinstance(item, bool) if isinstance(item, int) else _is_group_name(item)
            if not good:
                raise self.refuse("extra_groups", item, "is no group: pass its name or its number")
        return cast("tuple[str | int, ...]", items)

    def within(self, option: str, value: object, numbers: range) -> object:
        shown = oct if option == "umask" else str
        range_ = f"pass {shown(numbers[0])} to {shown(numbers[-1])}"
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refuse(option, value, f"is no whole number: {range_}")
        if value not in numbers:
            raise self.refuse(option, value, f"is too {'low' if value < numbers[0] else 'high'}: {range_}")
        return value

    def mask(self, value: object) -> object:
        if type(value) is int and value not in _USUAL_MASKS and value in _MEANT_MASKS:
            raise self.refuse("umask", value, f"is a decimal number, the mask {value:#o}: write umask=0o{value:03}")
        return self.within("umask", value, _UMASK)

    def contained(self, value: Any) -> object:
        check_asked(value, f"service {self._id!r}")
        return value

    def order(self, value: Any) -> object:
        return as_after(value, owner=self._id)

    def giving_up(self, value: Any) -> object:

        check_on_give_up(value, f"service {self._id!r}")
        return value

    def logs(self, value: Any) -> object:
        return as_logs(value, owner=f"service {self._id!r}")

    def rlimits(self, value: object) -> Mapping[str, Rlimit]:
        if not isinstance(value, Mapping):
            raise self.refuse("rlimits", value, 'is no mapping: pass for example {"nofile": 1024}')
        limits = dict(cast("Mapping[object, object]", value))
        for name, limit in limits.items():
            if name not in _RLIMITS:
                raise self.refuse("rlimits", name, f"is no resource: there are {', '.join(sorted(_RLIMITS))}")
            pair = _as_pair(limit)
            if not _is_limits(pair):
                raise self.refuse(
                    f"rlimits[{name!r}]",
                    limit,
                    "is no limit: pass a number, (soft, hard) with soft not above hard, or -1 for none"
                    + _as_limit(limit),
                )
        return MappingProxyType(cast("dict[str, Rlimit]", limits))


def _separated(text: str) -> str:
    """Return how to write a command that was given as one text."""
    if set(text) & set("|&;<>$`*"):
        return f"pass 'sh', '-c', {text!r} for a shell"
    try:
        words = shlex.split(text)
    except ValueError:  # a quotation that is not closed
        words = text.split()
    return f"pass {', '.join(map(repr, words))}"


def _as_text(item: object) -> str:
    """Return how to write an argument that is neither text nor a path; empty without an idea."""
    match item:
        case bool():
            return ""
        case int() | float():
            return f"; write {str(item)!r}"
        case bytes():
            return f"; write {item.decode(errors='surrogateescape')!r}"
        case list() | tuple():
            return f"; unpack the list: *{item!r}"
        case _:
            return "; leave it out" if item is None else ""


def _as_variables(option: str, value: object) -> str:
    """Return how to write variables that were given in another form. Values are never shown: they may be secret."""
    items = cast("list[object]", value) if isinstance(value, list | tuple) else [value]
    found = [_ASSIGNMENT.fullmatch(item) for item in items if isinstance(item, str)]
    names = [match[1] for match in found if match]
    if not names or len(names) < len(items):
        return "pass a dict of names to texts"
    return f"pass a dict of names to texts, {option}={{{', '.join(f'{name!r}: ...' for name in names)}}}"


def _as_value(value: object) -> str:
    """Return how to write the value of a variable that is no text; empty without an idea."""
    match value:
        case None:
            return "; leave the variable out, or write '' for an empty one"
        case bool():
            return "; write the word that the program expects, such as '1'"
        case int() | float():
            return "; write the number as a text, by str(...)"
        case bytes():
            return "; write os.fsdecode(...)"
        case _:
            return "; write os.fspath(...)" if isinstance(value, PathLike) else ""


def _as_pair(limit: object) -> tuple[object, ...]:
    return cast("tuple[object, ...]", limit) if isinstance(limit, tuple) else (limit, limit)


def _as_limit(limit: object) -> str:
    """Return how to write a limit that was given as a list or a text; empty without an idea."""
    match limit:
        case [int(soft), int(hard)]:
            return f"; write ({soft}, {hard})"
        case str() if limit.strip().isdecimal():
            return f"; write {limit.strip()}"
        case str() | None:
            return "; write -1 for no limit"
        case _:
            return ""


def _is_limits(pair: tuple[object, ...]) -> bool:
    match pair:
        case (int(soft), int(hard)) if not isinstance(soft, bool) and not isinstance(hard, bool):
            return hard == -1 <= soft or 0 <= soft <= hard
        case _:
            return False


def _is_group_name(item: object) -> bool:
    # setpriv takes the names as a list separated by commas.
    return isinstance(item, str) and bool(item) and not {",", "\0"} & set(item)


_CHECKS: dict[str, Callable[[_Checker, Any], object]] = {
    "cwd": lambda check, value: check.path("cwd", value),
    "env": lambda check, value: check.environment("env", value),
    "extra_env": lambda check, value: check.environment("extra_env", value),
    "stdin": _Checker.stdin,
    "pty": lambda check, value: check.flag("pty", value),
    "window_size": lambda check, value: check.window("window_size", value),
    "output": lambda check, value: check.destination("output", value),
    "stdout": lambda check, value: check.destination("stdout", value),
    "stderr": lambda check, value: check.destination("stderr", value),
    "buffered": lambda check, value: check.flag("buffered", value),
    "streaming": _Checker.streaming,
    "merge_stderr": lambda check, value: check.flag("merge_stderr", value),
    "framing": _Checker.framing,
    "encoding": _Checker.encoding,
    "errors": _Checker.errors,
    "line_limit": lambda check, value: check.whole("line_limit", value, least=16, unit="bytes"),
    "queue_size": lambda check, value: check.whole("queue_size", value, least=1, unit="lines"),
    "drain_timeout": lambda check, value: check.seconds("drain_timeout", value),
    "leftovers": lambda check, value: check.one_of("leftovers", value, get_args(Leftovers)),
    "containment": _Checker.contained,
    "memory_max": lambda check, value: check.whole("memory_max", value, least=4096, unit="bytes"),
    "pids_max": lambda check, value: check.whole("pids_max", value, least=1, unit="processes"),
    "cpu_max": _Checker.processors,
    "user": _Checker.identity,
    "extra_groups": _Checker.groups,
    "umask": _Checker.mask,
    "nice": lambda check, value: check.within("nice", value, _NICE),
    "rlimits": _Checker.rlimits,
    "delay_start": lambda check, value: check.seconds("delay_start", value),
    "stop": lambda check, value: check.kind("stop", value, Stop, "a Stop, for example Stop(signal=SIGINT, timeout=5)"),
    "restart": lambda check, value: check.kind("restart", value, Restart, 'a Restart, for example Restart("always")'),
    "ready": _Checker.readiness,
    "ready_timeout": lambda check, value: (
        None if value is None else check.seconds("ready_timeout", value, none="for no limit")
    ),
    "alive": _Checker.liveness,
    "after": _Checker.order,
    "critical": lambda check, value: check.flag("critical", value),
    "on_give_up": _Checker.giving_up,
    "group": lambda check, value: check.kind("group", value, str, "a str"),
    "significant": lambda check, value: check.flag("significant", value),
    "log": _Checker.logs,
}
"""Check of each option; it returns the value in its final form."""
_TOGETHER: dict[str, Callable[[_Checker, Mapping[str, Any]], None]] = {
    "stdin": _Checker.fed,
    "errors": _Checker.replacing,
    "output": _Checker.unread,
    "stdout": _Checker.unread,
    "stderr": _Checker.unread,
    "streaming": _Checker.streams,
    "framing": _Checker.framed,
    "significant": _Checker.significance,
    "stop": _Checker.ladder,
}
"""Checks of an option together with others, made once each option alone is valid."""
