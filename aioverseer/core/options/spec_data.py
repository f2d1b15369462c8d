"""Spec as data: the one form of which digests, files and control interfaces are made, with the names of files.

``FORMS`` has a row for each option: its form reads it, writes it, and tells its JSON Schema. **A new option needs a
row**, and one in the table of ``effects.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast, get_args

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.after import After, Until
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.backoff import Backoff
from aioverseer.core.options.containment import AskedContainment
from aioverseer.core.options.data_words import hint_for_option
from aioverseer.core.options.docs import described
from aioverseer.core.options.flaws import DataError, Flaw, refused
from aioverseer.core.options.form import Form, is_list, is_tuple, table
from aioverseer.core.options.forms import (
    COMMAND,
    FUNCTION,
    Choice,
    CommandLine,
    Either,
    Kinds,
    ListOf,
    Made,
    MappingOf,
    OrNone,
    Record,
    Reference,
    WordOr,
    flaw_of,
    with_example,
)
from aioverseer.core.options.framing import Chunks, ContentLength, LengthPrefix, Lines
from aioverseer.core.options.framing_makers import chunks, content_length, length_prefix, lines
from aioverseer.core.options.keywords import Leftovers
from aioverseer.core.options.leaf_forms import (
    BYTES,
    FLAG,
    PATH,
    SECONDS,
    SIGNAL,
    TEXT,
    Number,
    Seconds,
    Size,
    Text,
    Whole,
    Word,
    text_like,
)
from aioverseer.core.options.leaf_forms import Path as PathForm
from aioverseer.core.options.listen_forms import LISTEN, MODE
from aioverseer.core.options.log import MOST_KEPT, LogBridge, LogFile
from aioverseer.core.options.main_pid import PidFile
from aioverseer.core.options.privileges import CAPABILITIES
from aioverseer.core.options.probe_forms import PROBES, make_probe_form
from aioverseer.core.options.recycle import Recycle
from aioverseer.core.options.restart import Restart, When
from aioverseer.core.options.roll import OnRollFailure, Roll
from aioverseer.core.options.schedule import Cron, Every
from aioverseer.core.options.stop_forms import LADDER as LADDER_FORM
from aioverseer.core.options.system_checks import RLIMITS
from aioverseer.core.options.watch import Watch
from aioverseer.core.typing import PathLike

__all__ = [
    "CONTAINMENT",
    "DEFINITIONS",
    "FORMS",
    "GIVE_UP",
    "LOGS",
    "RESTART",
    "definitions",
    "option_to_data",
    "read_options",
    "read_spec",
    "service_form",
    "spec_to_dict",
]

DEFINITIONS: dict[str, Form] = {"function": FUNCTION, "command": COMMAND, "ladder": LADDER_FORM}
"""Forms that a schema has once, by their names below ``$defs``."""
DEFINITIONS["probe"] = make_probe_form(DEFINITIONS)

PROBE = Reference("probe", DEFINITIONS)
LADDER = Reference("ladder", DEFINITIONS)
WORDS = Reference("command", DEFINITIONS)


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

    def read(self, data: Any) -> Any:
        if isinstance(data, str):
            return data
        given = table(data)
        if set(given) == {"file"}:
            try:
                return Path(PATH.read(given["file"]))
            except DataError as error:
                raise DataError.of(error.below("file")) from None
        if set(given) == {"base64"}:
            return BYTES.read(data)
        if "function" in given or "object" in given:
            return FUNCTION.read(data)
        raise refused('is no input: write a text, "pipe", "inherit", or { file = "path" }')

    def schema(self) -> dict[str, Any]:
        made = [
            {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}
            for name, schema in (("file", PATH.schema()), ("program", {"$ref": "#/$defs/spec"}))
        ]
        return {"anyOf": [BYTES.schema(), *made, FUNCTION.schema()]}


class _PortsForm(Form):
    """``port``: ``"9000-9099"``, both of them included, or one number."""

    _number = Whole(1, 65535)

    def write(self, value: Any) -> Any:
        return f"{value[0]}-{value[-1]}"

    def read(self, data: Any) -> Any:
        found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", data) if isinstance(data, str) else None
        if found is not None:
            return range(int(found[1]), int(found[2]) + 1)
        try:
            number = self._number.read(data)
        except DataError:
            raise refused('is no range of ports: write for example "9000-9099", or one port, 1 to 65535') from None
        return range(number, number + 1)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [text_like("[0-9]{1,5}-[0-9]{1,5}"), self._number.schema()]}


class _LimitForm(Form):
    """A limit of ``rlimits``: one number, or two in a list."""

    _one = Size(-1)
    _two = ListOf(_one, tuple, least=2, most=2)

    def write(self, value: Any) -> Any:
        return list(value) if is_tuple(value) else value

    def read(self, data: Any) -> Any:
        return self._two.read(data) if is_list(data) else self._one.read(data)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self._one.schema(), self._two.schema()]}


class _RunsForm(Form):
    """A number of runs, or a percentage."""

    _number = Whole(0)
    _percent = Text("percentage", pattern=r"\s*(?:100|[0-9]{1,2})\s*%\s*", example='"25%"')

    def write(self, value: Any) -> Any:
        return value

    def read(self, data: Any) -> Any:
        is_percent = isinstance(data, str) and "%" in data
        return (self._percent if is_percent else self._number).read(data)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self._number.schema(), self._percent.schema()]}


class _DependenciesForm(Form):
    """``after``: a name, a list of names, or an object of names with conditions or options."""

    _name = Text("name of a service")
    _names = ListOf(_name, list)
    _record = Record(
        After,
        {
            "until": Word(get_args(Until)),
            "hard": FLAG,
            "on_restart": Word(["ignore", "restart"]),
            "on_end": Word(["ignore", "stop"]),
        },
        short="until",
    )

    def write(self, value: tuple[After, ...]) -> Any:
        written = {each.name: self._record.write(each) for each in value}
        return {name: "ready" if not given else _short(given, "until") for name, given in written.items()}

    def read(self, data: Any) -> Any:
        if isinstance(data, str):
            return self._name.read(data)
        if is_list(data):
            return self._names.read(data)
        made: list[Any] = []
        flaws: list[Flaw] = []
        for name, each in table(data).items():
            try:
                self._name.read(name)
                made.append(self._dependency(name).read(each))
            except DataError as error:
                flaws += error.below(name)
        if flaws:
            raise DataError.of(flaws)
        return made

    def _dependency(self, name: str) -> Form:
        def make(**options: Any) -> After:
            return After(name, **options)

        return self._record.with_maker(make)

    def schema(self) -> dict[str, Any]:
        each = {"type": "object", "additionalProperties": self._record.schema(), "propertyNames": self._name.schema()}
        return {"anyOf": [self._name.schema(), self._names.schema(), each]}


def _short(given: Mapping[str, Any], name: str) -> Any:
    """Return the one argument that may stand for the whole object, or the object."""
    return given[name] if set(given) == {name} else dict(given)


class _LogsForm(Form):
    """``log``: a file by its path, a file or a bridge as an object, or a list of them."""

    def __init__(self, item: Form) -> None:
        self._item = item
        self._items = ListOf(item, list)

    def write(self, value: Any) -> Any:
        return self._items.write(value)

    def read(self, data: Any) -> Any:
        return (self._items if is_list(data) else self._item).read(data)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self._item.schema(), self._items.schema()]}


def _watch(paths: Any, include: Any = (), exclude: Any = (), debounce: float = 0.3) -> Watch:
    return Watch(*paths, include=include, exclude=exclude, debounce=debounce)


def _is_text(data: Any) -> bool:
    return isinstance(data, str)


def _is_other(data: Any) -> bool:
    return not isinstance(data, str)


def _is_table(data: Any) -> bool:
    return isinstance(data, Mapping)


def _is_command(data: Any) -> bool:
    return isinstance(data, str | list)


def _write_reload(value: Any) -> Any:
    return SIGNAL.write(value) if isinstance(value, int) else value if isinstance(value, str) else list(value)


def _write_hook(value: Any) -> Any:
    return list(value) if is_tuple(value) else FUNCTION.write(value)


_STREAM = Word(["stdout", "stderr"])
_LIMIT = Whole(1, unit="bytes")
_FRAMING = Kinds(
    {
        "lines": (Lines, Record(lines, {"end": OrNone(BYTES, word=False), "universal": FLAG})),
        "chunks": (Chunks, Record(chunks, {})),
        "content_length": (ContentLength, Record(content_length, {"limit": Size(1)})),
        "length_prefix": (
            LengthPrefix,
            Record(
                length_prefix,
                {"size": Whole(1, 8), "byteorder": Word(["big", "little"]), "limit": Size(1)},
                called={"size": "length_prefix"},
            ),
        ),
    },
    what="framing",
    example='"chunks"',
    words=["lines", "chunks", "content_length"],
    other=FUNCTION,
)
_FRAMINGS = MappingOf(_FRAMING, _STREAM)


def _is_of_streams(data: Any) -> bool:
    return isinstance(data, Mapping) and set(cast("Mapping[str, Any]", data)) <= {"stdout", "stderr"}


def _write_framing(value: Any) -> Any:
    return _FRAMINGS.write(value) if isinstance(value, Mapping) else _FRAMING.write(value)


_DESTINATION = WordOr(Word(["read", "inherit", "null"]), FUNCTION)
_VARIABLES = MappingOf(
    Text(empty=True, number=True), Text("name of a variable", pattern=r"[^=\u0000]+", example="PATH")
)
_CODES = ListOf(Whole(0, 255), frozenset, ordered=False, alone=True)
_BACKOFF = Record(
    Backoff,
    {
        "min": SECONDS,
        "max": SECONDS,
        "factor": Number(above=True),
        "jitter": Choice([True, False, "full", "decorrelated"]),
    },
    defaults=dict.fromkeys(("min", "max", "factor", "jitter")),
)
_HOOK = OrNone(Either((_is_command, WORDS), (_is_table, FUNCTION), wanted="a command", write=_write_hook))
_ID = Text("name of a service", pattern=r"\S(?:[^\u0000-\u001f]*\S)?", example="web")
_GROUP_NAME = Text("name of a group", pattern=r"[^,\u0000]+", example="users")
_LOG = Kinds(
    {
        "logger": (LogBridge, Record(LogBridge, {"logger": TEXT, "stdout": Whole(0), "stderr": Whole(0)})),
        "path": (
            LogFile,
            Record(
                LogFile,
                {
                    "path": PathForm(folder=False),
                    "max_bytes": OrNone(Size(1)),
                    "keep": Whole(1, MOST_KEPT),
                    "every": OrNone(Seconds(1)),
                    "compress": FLAG,
                    "format": Word(["text", "json"]),
                    "timestamps": FLAG,
                    "overflow": Word(["block", "drop_newest"]),
                    "stream": OrNone(_STREAM),
                },
            ),
        ),
    },
    what="log",
    example='"web.log" or { path = "web.log" }',
    address=Made(PathForm(folder=False), LogFile),
)
_SCHEDULES: dict[str, tuple[type, Form]] = {
    "cron": (
        Cron,
        Record(
            Cron,
            {
                "expression": TEXT,
                "timezone": OrNone(TEXT, word=False),
                "overlap": Word(["skip", "queue", "replace"]),
                "missed": Word(["skip", "once"]),
                "within": SECONDS,
                "jitter": SECONDS,
                "stamp": OrNone(PATH, word=False),
            },
            called={"expression": "cron"},
        ),
    ),
    "every": (
        Every,
        Record(
            Every,
            {
                "period": Seconds(0.001),
                "first": Word(["after_period", "at_start"]),
                "overlap": Word(["skip", "queue", "replace"]),
                "jitter": SECONDS,
            },
            called={"period": "every"},
        ),
    ),
}

LOGS = _LogsForm(_LOG)
GIVE_UP = WordOr(Word(["leave", "stop", "end"]), FUNCTION)
CONTAINMENT = Word(get_args(AskedContainment))
RESTART = Record(
    Restart,
    {
        "when": Word(get_args(When)),
        "max_restarts": OrNone(Whole(0, unit="restarts")),
        "within": OrNone(Seconds(above=True)),
        "backoff": OrNone(_BACKOFF),
        "reset_after": SECONDS,
        "success_codes": _CODES,
        "success_signals": ListOf(SIGNAL, frozenset, ordered=False, alone=True),
        "prevent_codes": _CODES,
        "force_codes": _CODES,
    },
    short="when",
    defaults={"backoff": Restart().backoff},
)

FORMS: dict[str, Form] = {
    "argv": WORDS,
    "cwd": OrNone(PATH, word=False),
    "env": OrNone(_VARIABLES, word=False),
    "extra_env": _VARIABLES,
    "stdin": OrNone(_InputForm(), word=False),
    "pty": FLAG,
    "window_size": ListOf(Whole(1, 65535), least=2, most=2),
    "output": _DESTINATION,
    "stdout": OrNone(_DESTINATION),
    "stderr": OrNone(_DESTINATION),
    "buffered": FLAG,
    "streaming": Choice([True, False, "stdout", "stderr"]),
    "merge_stderr": FLAG,
    "framing": Either(
        (_is_of_streams, _FRAMINGS), (lambda _data: True, _FRAMING), wanted="a framing", write=_write_framing
    ),
    "encoding": OrNone(TEXT),
    "errors": TEXT,
    "line_limit": Size(16),
    "queue_size": Whole(1, unit="lines"),
    "drain_timeout": SECONDS,
    "leftovers": Word(get_args(Leftovers)),
    "main_pid": OrNone(WordOr(Word(["notify"]), Record(PidFile, {"path": PathForm(folder=False)}))),
    "containment": OrNone(CONTAINMENT),
    "memory_max": OrNone(Size(4096)),
    "pids_max": OrNone(Whole(1, unit="processes")),
    "cpu_max": OrNone(Number(0.01, 10_000, unit="processors")),
    "user": OrNone(
        Either(
            (_is_text, Text("user", pattern=r"[^:\u0000]+(?::[^:\u0000]+)?", example='"name" or "name:group"')),
            (_is_other, Whole(0)),
            wanted="a name or a number",
        ),
        word=False,
    ),
    "extra_groups": ListOf(
        Either((_is_text, _GROUP_NAME), (_is_other, Whole(0)), wanted="a name or a number"), alone=True
    ),
    "umask": OrNone(MODE),
    "nice": OrNone(Whole(-20, 19)),
    "rlimits": MappingOf(_LimitForm(), Word(sorted(RLIMITS))),
    "no_new_privileges": FLAG,
    "oom_score_adj": OrNone(Whole(-1000, 1000)),
    "cpus": ListOf(Whole(0, 8191)),
    "io_class": OrNone(
        Text("class", pattern="idle|(?:best-effort|realtime)(?::[0-7])?", example='"idle" or "best-effort:7"')
    ),
    "ambient_capabilities": ListOf(Word([*CAPABILITIES, *(f"CAP_{name.upper()}" for name in CAPABILITIES)])),
    "delay_start": SECONDS,
    "max_runtime": OrNone(Seconds(above=True)),
    "schedule": OrNone(Kinds(_SCHEDULES, what="schedule", example='{ cron = "30 2 * * *" }', other=FUNCTION)),
    "stop": LADDER,
    "prepare": _HOOK,
    "cleanup": _HOOK,
    "reload": OrNone(
        Either(
            (lambda data: data == "notify", Word(["notify"])),
            (is_list, CommandLine(text=False)),
            (lambda _data: True, SIGNAL),
            wanted="a signal",
            write=_write_reload,
        )
    ),
    "restart": RESTART,
    "recycle": OrNone(
        Record(
            Recycle,
            {
                "memory": OrNone(Size(1)),
                "hold": SECONDS,
                "age": OrNone(Seconds(above=True)),
                "spread": Number(0, 1, below=True),
            },
        )
    ),
    "watch": OrNone(
        Record(
            _watch,
            {
                "paths": ListOf(PATH, alone=True, least=1),
                "include": ListOf(TEXT, alone=True),
                "exclude": ListOf(TEXT, alone=True),
                "debounce": SECONDS,
            },
            short="paths",
            docs=Watch,
        )
    ),
    "ready": OrNone(PROBE),
    "ready_timeout": OrNone(SECONDS),
    "alive": OrNone(
        Record(
            Alive,
            {
                "probe": PROBE,
                "every": Seconds(0.001),
                "timeout": Seconds(0.001),
                "failures": Whole(1, unit="checks"),
                "successes": Whole(1, unit="checks"),
                "grace": SECONDS,
                "action": Word(["restart", "mark"]),
                "stop": OrNone(LADDER),
            },
            inner={"probe": [*PROBES, "all", "any"]},
        )
    ),
    "roll": OrNone(
        Record(
            Roll,
            {
                "surge": _RunsForm(),
                "unavailable": _RunsForm(),
                "min_ready": OrNone(SECONDS),
                "deadline": OrNone(Seconds(above=True)),
                "on_failure": Word(get_args(OnRollFailure)),
            },
        )
    ),
    "after": _DependenciesForm(),
    "critical": FLAG,
    "on_give_up": GIVE_UP,
    "group": Text(empty=True),
    "significant": FLAG,
    "log": OrNone(LOGS, word=False),
    "instances": OrNone(Whole(0, unit="services")),
    "port": OrNone(_PortsForm()),
    "listen": LISTEN,
    "on_demand": FLAG,
}
"""The form of each option, by its name in ``Spec``; in data ``argv`` is ``command``."""

_BY_KEY = {"command": WORDS} | {name: form for name, form in FORMS.items() if name != "argv"}
"""The form of each option, by its name in data."""


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


Make = Callable[[Any, Any, dict[str, Any]], Any]
"""Constructor of a Spec from id, command and options."""
Refusals = Callable[[Any, Any, dict[str, Any]], list[SpecError]]
"""Function that returns everything that a Spec refuses in an id, a command and options."""


def read_options(
    given: Mapping[str, Any], read_program: Callable[[Any], Any] | None = None
) -> tuple[dict[str, Any], list[Flaw]]:
    """Return the values of options, with the command as ``command``, and everything that is wrong in them.

    Args:
        given: The JSON values by their keys.
        read_program: Reader of the Spec of another program, whose output is the input of this one.
    """
    options: dict[str, Any] = {}
    flaws: list[Flaw] = []
    for name, value in given.items():
        form = _BY_KEY.get(name)
        if form is None:
            hint = hint_for_option(name, _BY_KEY)
            flaws.append(Flaw(path=(name,), message=f"there is no option {name!r}", hint=hint, of_key=True))
            continue
        try:
            if name == "stdin" and isinstance(value, Mapping) and set(cast("Mapping[str, Any]", value)) == {"program"}:
                options[name] = _read_program(cast("Mapping[str, Any]", value)["program"], read_program)
            else:
                options[name] = form.read(value)
        except DataError as error:
            flaws += with_example(name, error).below(name)
    return options, flaws


def _read_program(data: Any, read_program: Callable[[Any], Any] | None) -> Any:
    if read_program is None:
        raise refused("is no input here")
    try:
        return read_program(data)
    except DataError as error:
        raise DataError.of(error.below("program")) from None


def read_spec(data: Any, make: Make, refusals: Refusals, owner: str | None = None) -> Any:
    """Return the Spec of JSON values; see ``Spec.from_dict``.

    Args:
        data: The JSON values.
        make: Constructor of a Spec.
        refusals: Function that returns everything that a Spec refuses.
        owner: Beginning of messages; None to name the service.

    Raises:
        DataError: With everything that is wrong.
    """
    given = _table_of_spec(data)
    id = given.get("id")
    owner = f"service {id!r}: " if owner is None else owner
    options, flaws = read_options(
        {name: value for name, value in given.items() if name != "id"},
        lambda inner: read_spec(inner, make, refusals, ""),
    )
    if "command" not in given and not any(flaw.of_key and "command" in (flaw.hint or "") for flaw in flaws):
        flaws.append(Flaw(message="command is missing: write the program and its arguments"))
    argv = options.pop("command", None)
    if not flaws:
        try:
            return make(id, argv, options)
        except SpecError:
            pass  # the first thing that is wrong; below are all of them
    wrong = {str(flaw.path[0]) for flaw in flaws if flaw.path}
    for error in refusals(id, ["x"] if argv is None else argv, options):
        # An option that was left out for its own flaw may be the one that another option needs.
        if error.option not in wrong and not any(f"{name}=" in str(error) for name in wrong):
            flaws.append(_flaw_of_option(error))
    order = {name: number for number, name in enumerate(given)}
    flaws.sort(key=lambda flaw: order.get(str(flaw.path[0]), 0) if flaw.path else -1)
    raise DataError.of(flaws, owner=owner)


def _table_of_spec(data: Any) -> Mapping[str, Any]:
    try:
        return table(data)
    except DataError as error:
        raise DataError.of(error.flaws, owner="a Spec ") from None


def _flaw_of_option(error: SpecError) -> Flaw:
    flaw = flaw_of(error, {"argv": "command"}, [*FORMS, "id"])
    if flaw.path or error.option is None:
        return flaw
    name = error.option.partition("[")[0].partition(".")[0]
    return flaw.below("command" if name == "argv" else name) if name in FORMS or name == "id" else flaw


class _Options(Form):
    """The options of a service in a file, all of them optional; read as a dict of their values."""

    def read(self, data: Any) -> Any:
        options, flaws = read_options(table(data), lambda inner: {"program": inner})
        if flaws:
            raise DataError.of(flaws)
        return options

    def schema(self) -> dict[str, Any]:
        properties = {name: form.schema() for name, form in _BY_KEY.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}


_SERVICE = _Options()


@exported_from("aioverseer.forms")
def service_form() -> Form:
    """Return the form of the options of a service, in which each one may be missing: for a part of a description.

    It reads a dict of values. Options that exclude each other are no error here; ``Spec.from_dict`` finds them.
    """
    return _SERVICE


def definitions(owner: object) -> dict[str, Any]:
    """Return the schemas below ``$defs``: of the forms that stand once, of each option with its description, of a Spec.

    Args:
        owner: The class ``Spec``.
    """
    schemas = {name: form.schema() for name, form in _BY_KEY.items()}
    options = described(schemas, owner, {name: "argv" if name == "command" else name for name in schemas})
    spec = {
        "type": "object",
        "properties": {"id": _ID.schema(), **{name: {"$ref": f"#/$defs/option-{name}"} for name in options}},
        "required": ["id", "command"],
        "additionalProperties": False,
    }
    return {
        **{name: form.schema() for name, form in DEFINITIONS.items()},
        **{f"option-{name}": schema for name, schema in options.items()},
        "spec": spec,
    }
