"""Spec as data: the one form of which digests, files and control interfaces are made, with the names of files.

``FORMS`` has a row for each option. **A new option needs a row**: ``PLAIN`` for JSON values, ``Record`` for an object
of a class, or a form of its own. ``effects.py`` has the table beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.options.after import After
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.backoff import Backoff
from aioverseer.core.options.composition import AllOf, AnyOf, Probe
from aioverseer.core.options.forms import (
    BYTES,
    FUNCTION,
    PLAIN,
    SIGNAL,
    Form,
    ListOf,
    MappingOf,
    Record,
    WordOr,
    is_list,
    is_tuple,
    refused,
    table,
)
from aioverseer.core.options.framing import Chunks, ContentLength, FramingRule, LengthPrefix, Lines
from aioverseer.core.options.framing_makers import chunks, content_length, length_prefix, lines
from aioverseer.core.options.listen_forms import HeldSocketForm
from aioverseer.core.options.log import LogBridge, LogFile
from aioverseer.core.options.main_pid import PidFile
from aioverseer.core.options.probes import (
    Check,
    Command,
    Entered,
    Fd,
    File,
    Http,
    Notify,
    OutputLine,
    OutputPrompt,
    Tcp,
    Unix,
)
from aioverseer.core.options.ready_makers import (
    SUCCESS,
    check,
    command,
    fd,
    file,
    http,
    line,
    notify,
    prompt,
    tcp,
    unix,
)
from aioverseer.core.options.recycle import Recycle
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.roll import Roll
from aioverseer.core.options.schedule import Cron, Every
from aioverseer.core.options.schedule_base import Schedule
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import CloseStdin, RunCommand, Step, StopStep, WriteStdin
from aioverseer.core.options.unknown import hint_for_name
from aioverseer.core.options.watch import Watch
from aioverseer.core.typing import PathLike

__all__ = ["FORMS", "option_to_data", "options_from_dict", "spec_to_dict"]


class _InputForm(Form):
    """``stdin``: text, bytes, a file by its path, a program of a pipeline, or a function."""

    def write(self, value: Any) -> Any:
        if isinstance(value, str | bytes):
            return BYTES.write(value)
        if isinstance(value, PathLike):
            return {"file": value.__fspath__()}
        if hasattr(value, "with_command"):
            return {"program": value.to_dict()}
        return FUNCTION.write(value)

    def read(self, data: Any, place: str) -> Any:
        if isinstance(data, str):
            return data
        match dict(table(data, place)):
            case {"file": str(path), **rest} if not rest:
                return Path(path)
            case {"base64": _}:
                return BYTES.read(data, place)
            case _:
                return FUNCTION.read(data, place)


class _MaskForm(Form):
    """``umask``, in octal digits."""

    def write(self, value: Any) -> Any:
        return f"{value:03o}"

    def read(self, data: Any, place: str) -> Any:
        if not isinstance(data, str):
            return data
        try:
            return int(data, 8)
        except ValueError:
            raise refused(place, 'is no mask: write octal digits, for example "022"') from None


class _PortsForm(Form):
    """``port``: ``"9000-9099"``, both of them included, or one number."""

    def write(self, value: Any) -> Any:
        return f"{value[0]}-{value[-1]}"

    def read(self, data: Any, place: str) -> Any:
        if isinstance(data, int) and not isinstance(data, bool):
            return range(data, data + 1)
        found = re.fullmatch(r"(\d+)-(\d+)", data) if isinstance(data, str) else None
        if found is None:
            raise refused(place, 'is no range of ports: write for example "9000-9099"')
        return range(int(found[1]), int(found[2]) + 1)


class _MainPidForm(Form):
    """``main_pid``: the word ``"notify"``, or a pid file as an object."""

    _file = Record(PidFile, {})

    def write(self, value: Any) -> Any:
        return self._file.write(value) if isinstance(value, PidFile) else value

    def read(self, data: Any, place: str) -> Any:
        return data if data == "notify" else self._file.read(data, place)


class _LimitForm(Form):
    """A limit of ``rlimits``: one number, or two in a list."""

    def write(self, value: Any) -> Any:
        return list(value) if is_tuple(value) else value

    def read(self, data: Any, place: str) -> Any:  # noqa: ARG002  # the signature of all forms
        return tuple(data) if is_list(data) else data


class _FramingsForm(Form):
    """``framing``: one for both streams, or an object of streams."""

    def write(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._write(each) for name, each in cast("Mapping[str, Any]", value).items()}
        return self._write(value)

    def _write(self, value: Any) -> Any:
        for name, (kind, form, first) in _FRAMINGS.items():
            if isinstance(value, kind):
                return {name: getattr(value, first) if first else True, **form.write(value, first)}
        return FUNCTION.write(value)

    def read(self, data: Any, place: str) -> Any:
        if isinstance(data, Mapping) and set(cast("Mapping[str, Any]", data)) <= {"stdout", "stderr"}:
            return MappingOf(_FramingForm()).read(data, place)
        return _FramingForm().read(data, place)


class _FramingForm(Form):
    """The framing of one stream: ``"content_length"``, or ``{"lines": true, "universal": true}``."""

    def read(self, data: Any, place: str) -> Any:
        given = {data: True} if isinstance(data, str) else dict(table(data, place))
        for name, (_kind, form, first) in _FRAMINGS.items():
            if name in given:
                value = given.pop(name)
                if first:
                    given[first] = value
                elif value is not True:
                    raise refused(f"{place}.{name}", "is no argument of this framing: write true, and each by its name")
                return form.read(given, f"{place}.{name}")
        if {"function", "object"}.isdisjoint(given):
            raise refused(place, f"is no framing: there are {', '.join(_FRAMINGS)}, and a function")
        return FUNCTION.read(given, place)


_FRAMINGS: dict[str, tuple[type[FramingRule], Record, str]] = {
    "lines": (Lines, Record(lines, {"end": BYTES}), ""),
    "chunks": (Chunks, Record(chunks, {}), ""),
    "content_length": (ContentLength, Record(content_length, {}), ""),
    "length_prefix": (LengthPrefix, Record(length_prefix, {}), "size"),
}


class _PatternForm(Form):
    """A regular expression, as text; with flags of its own as an object."""

    _FLAGS = re.ASCII | re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE

    def write(self, value: Any) -> Any:
        plain = re.compile(value.pattern)
        if plain.flags & self._FLAGS == value.flags & self._FLAGS:
            return value.pattern
        flags = [flag.name for flag in self._FLAGS if flag & value.flags]
        return {"pattern": value.pattern, "flags": flags}

    def read(self, data: Any, place: str) -> Any:
        if isinstance(data, str):
            return data
        match dict(table(data, place)):
            case {"pattern": str(pattern), "flags": flags, **rest} if not rest and is_list(flags):
                try:
                    return re.compile(pattern, sum(re.RegexFlag[name] for name in flags))
                except (KeyError, re.error, ValueError) as error:
                    raise refused(place, f"is no regular expression: {error}") from None
            case _:
                raise refused(place, 'is no pattern: write a text, or {"pattern": text, "flags": ["IGNORECASE"]}')


class _ProbesForm(Form):
    """A probe by its kind: ``{"tcp": 8000}``, ``{"all": [...]}``."""

    def write(self, value: Any) -> Any:
        match value:
            case AllOf(probes=probes):
                return {"all": [self.write(each) for each in probes]}
            case AnyOf(probes=probes):
                return {"any": [self.write(each) for each in probes]}
            case Entered():
                return {"entered": True}
            case _:
                pass
        for name, (kind, first, form) in _PROBES.items():
            if isinstance(value, kind):
                return {
                    name: form.fields[first].write(getattr(value, first)) if first else True,
                    **form.write(value, first),
                }
        return FUNCTION.write(value)

    def read(self, data: Any, place: str) -> Any:
        given = {data: True} if data == "notify" else dict(table(data, place))
        for name, join in (("all", Probe.__and__), ("any", Probe.__or__)):
            if name in given:
                parts: Any = given[name]
                if len(given) > 1 or not is_list(parts) or not parts:
                    raise refused(place, f"is no list of probes: write {{{name!r}: [...]}} alone")
                probes = ListOf(self).read(parts, f"{place}.{name}")
                joined = probes[0]
                for probe in probes[1:]:
                    joined = join(joined, probe)
                return joined
        for name, (_kind, first, form) in _PROBES.items():
            if name in given:
                value = given.pop(name)
                if first:
                    given[first] = value
                elif value is not True:
                    raise refused(f"{place}.{name}", "takes no argument: write true")
                return form.read(given, f"{place}.{name}")
        known = ", ".join([*_PROBES, "all", "any"])
        raise refused(place, f"is no probe: there are {known}, for example {{'tcp': 8000}}")


def _command(argv: Any) -> Probe:
    return command(*argv)


_PATTERN = _PatternForm()
_STATUSES = ListOf(PLAIN, frozenset, ordered=False)
_PROBES: dict[str, tuple[type[Probe], str, Record]] = {
    "tcp": (Tcp, "port", Record(tcp, {})),
    "unix": (Unix, "path", Record(unix, {})),
    "http": (
        Http,
        "url",
        Record(
            http, {"status": ListOf(PLAIN, frozenset, ordered=False), "body": _PATTERN}, defaults={"status": SUCCESS}
        ),
    ),
    "line": (OutputLine, "pattern", Record(line, {"pattern": _PATTERN})),
    "prompt": (OutputPrompt, "pattern", Record(prompt, {"pattern": _PATTERN})),
    "file": (File, "path", Record(file, {})),
    "command": (Command, "argv", Record(_command, {"argv": ListOf(PLAIN)})),
    "notify": (Notify, "", Record(notify, {})),
    "fd": (Fd, "number", Record(fd, {})),
    "check": (Check, "function", Record(check, {"function": FUNCTION})),
}
"""Kind of probe, the argument that its name stands for, and its form."""


class _StepForm(Form):
    """A step of a ladder: signal and seconds in a list, or an object for a step that is no signal."""

    def write(self, value: StopStep) -> Any:
        match value:
            case Step(signal=number, timeout=timeout):
                return [SIGNAL.write(number), timeout]
            case CloseStdin(timeout=timeout):
                return {"close_stdin": timeout}
            case WriteStdin(data=data, timeout=timeout):
                return {"write": BYTES.write(data), "timeout": timeout}
            case RunCommand(argv=argv, timeout=timeout):
                return {"command": list(argv), "timeout": timeout}
            case _:  # the first step of a program in a pipeline, which its run adds
                return FUNCTION.write(value)

    def read(self, data: Any, place: str) -> Any:
        match data:
            case [number, seconds]:
                return SIGNAL.read(number, place), seconds
            case {"close_stdin": seconds, **rest} if not rest:
                return Stop.close_stdin(seconds)
            case {"write": text, "timeout": seconds, **rest} if not rest:
                return Stop.write(BYTES.read(text, place), seconds)
            case {"command": argv, "timeout": seconds, **rest} if not rest:
                return Stop.command(argv, seconds)
            case _:
                raise refused(
                    place,
                    'is no step: write ["SIGTERM", 5], {"close_stdin": 5}, {"write": "quit", "timeout": 5} or '
                    '{"command": ["stop-it"], "timeout": 5}',
                )


class _LadderForm(Form):
    """A ladder: a signal and seconds, or a list of steps."""

    _usual = Stop()
    _record = Record(Stop, {"signal": SIGNAL, "steps": ListOf(_StepForm())})

    def write(self, value: Stop) -> Any:
        scope = {} if value.scope == "tree" else {"scope": value.scope}
        first, last = value.steps[0], value.steps[1:]
        if not isinstance(first, Step) or last != self._usual.steps[1:]:
            return {"steps": [_StepForm().write(step) for step in value.steps], **scope}
        usual = cast("Step", self._usual.steps[0])
        signal = {} if first.signal == usual.signal else {"signal": SIGNAL.write(first.signal)}
        timeout = {} if first.timeout == usual.timeout else {"timeout": first.timeout}
        return {**signal, **timeout, **scope}

    def read(self, data: Any, place: str) -> Any:
        return self._record.read(data, place)


class _ReloadForm(Form):
    """``reload``: the name of a signal, ``"notify"``, or the words of a command."""

    def write(self, value: Any) -> Any:
        return SIGNAL.write(value) if isinstance(value, int) else value if isinstance(value, str) else list(value)

    def read(self, data: Any, place: str) -> Any:
        return SIGNAL.read(data, place) if isinstance(data, str) and data != "notify" else data


class _HookForm(Form):
    """``prepare`` and ``cleanup``: a function, or the words of a command."""

    def write(self, value: Any) -> Any:
        return list(value) if is_tuple(value) else FUNCTION.write(value)

    def read(self, data: Any, place: str) -> Any:
        return data if is_list(data) else FUNCTION.read(data, place)


class _DependenciesForm(Form):
    """``after``: a name, a list of names, or an object of names with conditions or options."""

    _record = Record(After, {}, short="until", defaults={"name": ""})

    def write(self, value: tuple[After, ...]) -> Any:
        written = {each.name: self._record.write(each, "name") for each in value}
        return {name: "ready" if not given else _short(given, "until") for name, given in written.items()}

    def read(self, data: Any, place: str) -> Any:
        if isinstance(data, str):
            return data
        if is_list(data):
            return data
        return [self._read(name, each, f"{place}.{name}") for name, each in table(data, place).items()]

    def _read(self, name: str, data: Any, place: str) -> Any:
        given = {"until": data} if isinstance(data, str) else table(data, place)
        if "name" in given:
            raise refused(place, "names the service twice: leave name out")
        return self._record.read({"name": name, **given}, place)


def _short(given: Mapping[str, Any], name: str) -> Any:
    """Return the one argument that may stand for the whole object, or the object."""
    return given[name] if set(given) == {name} else dict(given)


class _ScheduleForm(Form):
    """``schedule``: ``{"cron": "30 2 * * *"}`` or ``{"every": 300}``, with further arguments by name."""

    def write(self, value: Any) -> Any:
        for name, (kind, first) in _SCHEDULES.items():
            if isinstance(value, kind):
                return {name: getattr(value, first), **Record(kind, {}).write(value, first)}
        return FUNCTION.write(value)

    def read(self, data: Any, place: str) -> Any:
        given = dict(table(data, place))
        for name, (kind, first) in _SCHEDULES.items():
            if name in given:
                given[first] = given.pop(name)
                return Record(kind, {}).read(given, f"{place}.{name}")
        raise refused(place, 'is no schedule: write {"cron": "30 2 * * *"} or {"every": 300}')


_SCHEDULES: dict[str, tuple[type[Schedule], str]] = {"cron": (Cron, "expression"), "every": (Every, "period")}


class _LogsForm(Form):
    """``log``: a list of files and bridges."""

    _file = Record(LogFile, {}, short="path")
    _bridge = Record(LogBridge, {})

    def write(self, value: tuple[LogFile | LogBridge, ...]) -> Any:
        return [
            {"path": log.path, **self._file.write(log)}
            if isinstance(log, LogFile)
            else {"logger": log.logger, **self._bridge.write(log)}
            for log in value
        ]

    def read(self, data: Any, place: str) -> Any:
        if not is_list(data):
            return self._read(data, place)
        return [self._read(each, f"{place}[{number}]") for number, each in enumerate(data)]

    def _read(self, data: Any, place: str) -> Any:
        is_bridge = isinstance(data, Mapping) and "logger" in data
        return (self._bridge if is_bridge else self._file).read(data, place)


def _watch(paths: Any, include: Any = (), exclude: Any = (), debounce: float = 0.3) -> Watch:
    return Watch(*paths, include=include, exclude=exclude, debounce=debounce)


LADDER = _LadderForm()
PROBE = _ProbesForm()
_DESTINATION = WordOr(FUNCTION)
_BACKOFF = Record(Backoff, {}, without="rng", defaults=dict.fromkeys(("min", "max", "factor", "jitter")))
_CODES = ListOf(PLAIN, frozenset, ordered=False)

FORMS: dict[str, Form] = {
    "argv": ListOf(PLAIN),
    "cwd": PLAIN,
    "env": MappingOf(PLAIN),
    "extra_env": MappingOf(PLAIN),
    "stdin": _InputForm(),
    "pty": PLAIN,
    "window_size": ListOf(PLAIN),
    "output": _DESTINATION,
    "stdout": _DESTINATION,
    "stderr": _DESTINATION,
    "buffered": PLAIN,
    "streaming": PLAIN,
    "merge_stderr": PLAIN,
    "framing": _FramingsForm(),
    "encoding": PLAIN,
    "errors": PLAIN,
    "line_limit": PLAIN,
    "queue_size": PLAIN,
    "drain_timeout": PLAIN,
    "leftovers": PLAIN,
    "main_pid": _MainPidForm(),
    "containment": PLAIN,
    "memory_max": PLAIN,
    "pids_max": PLAIN,
    "cpu_max": PLAIN,
    "user": PLAIN,
    "extra_groups": ListOf(PLAIN),
    "umask": _MaskForm(),
    "nice": PLAIN,
    "rlimits": MappingOf(_LimitForm()),
    "no_new_privileges": PLAIN,
    "oom_score_adj": PLAIN,
    "cpus": ListOf(PLAIN),
    "io_class": PLAIN,
    "ambient_capabilities": ListOf(PLAIN),
    "delay_start": PLAIN,
    "max_runtime": PLAIN,
    "schedule": _ScheduleForm(),
    "stop": LADDER,
    "prepare": _HookForm(),
    "cleanup": _HookForm(),
    "reload": _ReloadForm(),
    "restart": Record(
        Restart,
        {
            "backoff": _BACKOFF,
            "success_codes": _CODES,
            "success_signals": ListOf(SIGNAL, frozenset, ordered=False),
            "prevent_codes": _CODES,
            "force_codes": _CODES,
        },
        short="when",
        defaults={"backoff": Restart().backoff},
    ),
    "recycle": Record(Recycle, {}),
    "watch": Record(_watch, {"paths": ListOf(PLAIN), "include": ListOf(PLAIN), "exclude": ListOf(PLAIN)}),
    "ready": PROBE,
    "ready_timeout": PLAIN,
    "alive": Record(Alive, {"probe": PROBE, "stop": LADDER}),
    "roll": Record(Roll, {}),
    "after": _DependenciesForm(),
    "critical": PLAIN,
    "on_give_up": WordOr(FUNCTION),
    "group": PLAIN,
    "significant": PLAIN,
    "log": _LogsForm(),
    "instances": PLAIN,
    "port": _PortsForm(),
    "listen": MappingOf(HeldSocketForm()),
    "on_demand": PLAIN,
}
"""The form of each option, by its name in ``Spec``; in data ``argv`` is ``command``."""


def option_to_data(name: str, value: Any) -> Any:
    """Return the JSON values of one option."""
    return None if value is None else FORMS[name].write(value)


def spec_to_dict(
    id: str, argv: Iterable[str], given: Mapping[str, Any], defaults: Mapping[str, object]
) -> dict[str, Any]:
    """Return a Spec as JSON values; see ``Spec.to_dict``.

    Args:
        id: The id.
        argv: The program and its arguments.
        given: Options that may differ from their defaults.
        defaults: The defaults of all options.
    """
    data: dict[str, Any] = {"id": id, "command": list(argv)}
    for name, value in given.items():
        if value != defaults[name]:
            data[name] = option_to_data(name, value)
    return data


def options_from_dict(data: Any, program: Callable[[Any], object]) -> tuple[Any, Any, dict[str, Any]]:
    """Return id, command and options of the JSON values of a Spec; see ``Spec.from_dict``.

    Args:
        data: The JSON values.
        program: Reader of the Spec of another program, whose output is the input of this one.
    """
    given = dict(table(data, "a Spec"))
    id = given.pop("id", None)
    owner = f"service {id!r}: "
    if "command" not in given:
        raise SpecError(f"{owner}command is missing: write the program and its arguments in a list", option="command")
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name == "argv" or (name not in FORMS and name != "command"):
            hint = hint_for_name(name, ["id", "command", *(known for known in FORMS if known != "argv")])
            raise SpecError(f"{owner}there is no option {name!r}; {hint}", option=name)
        try:
            options[name] = _read_option(name, value, program)
        except SpecError as error:
            raise SpecError(f"{owner}{error}", option=error.option, value=error.value) from error.__cause__
    return id, options.pop("command"), options


def _read_option(name: str, value: Any, program: Callable[[Any], object]) -> Any:
    if name == "command":
        return FORMS["argv"].read(value, name)
    if value is None:
        return None
    if name == "stdin" and isinstance(value, Mapping) and set(cast("Mapping[str, Any]", value)) == {"program"}:
        return program(cast("Mapping[str, Any]", value)["program"])
    return FORMS[name].read(value, name)
