"""The form of probes as data: by kind, as in ``{"tcp": 8000}``, and ``{"all": [...]}`` of several."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from aioverseer.core.options.composition import AllOf, AnyOf, Probe
from aioverseer.core.options.flaws import refused
from aioverseer.core.options.form import Form, is_list, table
from aioverseer.core.options.forms import COMMAND, FUNCTION, Kinds, ListOf, OrNone, Record, Reference
from aioverseer.core.options.leaf_forms import FLAG, PATH, TEXT, Seconds, Text, Whole, Word, text_like
from aioverseer.core.options.placeholders import words_in
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

__all__ = ["PROBES", "make_probe_form"]

_FLAGS = re.ASCII | re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE
_FLAG_NAMES = ("ASCII", "IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE")


class _PatternForm(Form):
    """A regular expression, as text; with flags of its own as an object."""

    def write(self, value: Any) -> Any:
        plain = re.compile(value.pattern)
        if plain.flags & _FLAGS == value.flags & _FLAGS:
            return value.pattern
        return {"pattern": value.pattern, "flags": [name for name in _FLAG_NAMES if re.RegexFlag[name] & value.flags]}

    def read(self, data: Any) -> Any:
        if isinstance(data, str):
            return self._compiled(data, [])
        match dict(table(data)):
            case {"pattern": str(pattern), "flags": flags, **rest} if not rest and is_list(flags):
                return self._compiled(pattern, ListOf(Word(_FLAG_NAMES), list).read(flags))
            case _:
                raise refused('is no pattern: write a text, or { pattern = "...", flags = ["IGNORECASE"] }')

    @staticmethod
    def _compiled(pattern: str, flags: list[str]) -> re.Pattern[str]:
        TEXT.read(pattern)
        try:
            return re.compile(pattern, sum(re.RegexFlag[name] for name in flags))
        except (re.error, ValueError, OverflowError, RecursionError) as error:
            raise refused(f"is no regular expression: {error}") from None

    def schema(self) -> dict[str, Any]:
        """Return the schema of both."""
        made = {
            "type": "object",
            "properties": {"pattern": TEXT.schema(), "flags": {"type": "array", "items": {"enum": list(_FLAG_NAMES)}}},
            "required": ["pattern", "flags"],
            "additionalProperties": False,
        }
        return {"anyOf": [TEXT.schema(), made]}


class _PortForm(Form):
    """A port, or a text with placeholders."""

    _number = Whole(1, 65535)

    def write(self, value: Any) -> Any:
        return value

    def read(self, data: Any) -> Any:
        return data if isinstance(data, str) and words_in(data) else self._number.read(data)

    def schema(self) -> dict[str, Any]:
        words = r"[^\u0000]*\{(?:index|id|run|port|fd\.[^{}\u0000]+)\}[^\u0000]*"
        return {"anyOf": [self._number.schema(), text_like(words)]}


class _JoinedForm(Form):
    """Several probes, of which all or one must succeed."""

    def __init__(self, probe: Form, join: Callable[[Probe, Probe], Probe]) -> None:
        self._probes = ListOf(probe, list, least=1)
        self._join = join

    def write(self, value: Any) -> Any:
        return self._probes.write(value.probes)

    def read(self, data: Any) -> Any:
        return functools.reduce(self._join, self._probes.read(data))

    def schema(self) -> dict[str, Any]:
        return self._probes.schema()


class _ProbeForm(Kinds):
    """A probe by its kind."""

    def write(self, value: Any) -> Any:
        return {"entered": True} if isinstance(value, Entered) else super().write(value)


def _command(argv: Any) -> Probe:
    return command(*argv)


_PATTERN = _PatternForm()
_OWNER = Word(["program", "any"])
_STREAM = OrNone(Word(["stdout", "stderr"]))
_STATUSES = ListOf(Whole(100, 599), frozenset, ordered=False, alone=True)
_URL = Text("URL", pattern=r"https?://[^/\s][^\u0000]*", example='"http://127.0.0.1:8000/health"')

PROBES: dict[str, tuple[type, Form]] = {
    "tcp": (Tcp, Record(tcp, {"port": _PortForm(), "host": TEXT, "owner": _OWNER}, called={"port": "tcp"})),
    "unix": (Unix, Record(unix, {"path": PATH, "owner": _OWNER}, called={"path": "unix"})),
    "http": (
        Http,
        Record(
            http,
            {"url": _URL, "status": OrNone(_STATUSES), "body": OrNone(_PATTERN, word=False), "owner": _OWNER},
            called={"url": "http"},
            defaults={"status": SUCCESS},
        ),
    ),
    "line": (OutputLine, Record(line, {"pattern": _PATTERN, "stream": _STREAM}, called={"pattern": "line"})),
    "prompt": (OutputPrompt, Record(prompt, {"pattern": _PATTERN, "stream": _STREAM}, called={"pattern": "prompt"})),
    "file": (File, Record(file, {"path": PATH, "fresh": FLAG}, called={"path": "file"})),
    "command": (Command, Record(_command, {"argv": COMMAND}, called={"argv": "command"}, docs=command)),
    "notify": (Notify, Record(notify, {})),
    "fd": (Fd, Record(fd, {"number": Whole(3, 9)}, called={"number": "fd"})),
    "check": (
        Check,
        Record(check, {"function": FUNCTION, "timeout": OrNone(Seconds(above=True))}, called={"function": "check"}),
    ),
}
"""Class and form of each kind of simple probe."""


def make_probe_form(forms: dict[str, Form]) -> Form:
    """Return the form of all probes.

    Args:
        forms: Forms by name, in which this one is ``probe``.
    """
    probe = Reference("probe", forms)
    joined: dict[str, tuple[type, Form]] = {
        "all": (AllOf, _JoinedForm(probe, Probe.__and__)),
        "any": (AnyOf, _JoinedForm(probe, Probe.__or__)),
    }
    return _ProbeForm({**joined, **PROBES}, what="probe", example="{ tcp = 8000 }", words=["notify"], other=FUNCTION)
