"""Log files of a program of supervisord, and its streams where they are no files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aioverseer.config.convert.keys import Keys
from aioverseer.config.convert.supervisord.expressions import Expressions
from aioverseer.config.convert.supervisord.words import NO, YES, read_size

__all__ = ["Logs"]

_OUT = frozenset({"/dev/stdout", "/dev/fd/1", "/proc/1/fd/1", "/proc/self/fd/1"})
_ERR = frozenset({"/dev/stderr", "/dev/fd/2", "/proc/1/fd/2", "/proc/self/fd/2"})
_USUAL_BYTES = 50 << 20
_USUAL_BACKUPS = 10
_NO_CAPTURE = "there is no capture mode: an application reads the lines with service.lines()"
_NO_EVENTS = "lines are no events: an application reads them with overseer.logs()"
_SYSLOG = 'nothing writes to syslog: log = { logger = "NAME" } passes the lines to logging'


@dataclass(slots=True)
class _Stream:
    """One stream of a program: where it goes, and the rules of its file."""

    name: str
    target: str | None
    max_bytes: int
    backups: int

    @property
    def kind(self) -> str:
        """``none``, ``out``, ``err``, ``null`` or ``file``."""
        word = (self.target or "auto").strip()
        if word.lower() in ("auto", "none", "off", "syslog", ""):
            return "none"
        if word in _OUT or word in _ERR:
            return "out" if word in _OUT else "err"
        return "null" if word == "/dev/null" else "file"

    def log(self, expressions: Expressions) -> dict[str, Any]:
        """Return the arguments of a LogFile."""
        log: dict[str, Any] = {"path": expressions.text(self.target or "", doubled=True)}
        if self.max_bytes:
            log |= {"max_bytes": self.max_bytes, "keep": max(1, self.backups)}
        return log


class Logs:
    """All keys of a program that are about its output."""

    def __init__(self, keys: Keys, place: str) -> None:
        """Take the keys and note what becomes of them.

        Args:
            keys: Keys of the program.
            place: Path of the service in our file.
        """
        self._keys = keys
        self._place = place
        merged = keys.boolean("redirect_stderr", yes=YES, no=NO)
        self._merged = merged is True
        if merged is not None:
            keys.carried(
                "redirect_stderr", f"{place}.merge_stderr" if merged else "the streams are apart, as without it"
            )
        self._out = self._read("stdout")
        self._err = self._read("stderr")

    def options(self, expressions: Expressions) -> dict[str, Any]:
        """Return the options about output.

        Args:
            expressions: Values of the expressions in the paths.
        """
        out, err = self._out.kind, self._err.kind
        options = self._merged_options(out) if self._merged else self._options_apart(out, err)
        try:
            logs = self._logs(expressions)
        except ValueError as error:
            self._keys.refuse("stdout_logfile", str(error))
            return options
        if logs:
            options["log"] = logs[0] if len(logs) == 1 else logs
        return options

    def _merged_options(self, out: str) -> dict[str, Any]:
        if out == "null":
            return {"output": "null"}
        return {"merge_stderr": True, **({"stdout": "inherit"} if out in ("out", "err") else {})}

    def _options_apart(self, out: str, err: str) -> dict[str, Any]:
        words = {"out": "inherit", "err": "inherit", "null": "null"}
        if out == err == "out":
            return {"merge_stderr": True, "stdout": "inherit"}
        if out in words and words[out] == words.get(err):
            return {"output": words[out]}
        options = {"stdout": words[out]} if out in words else {}
        return options | ({"stderr": words[err]} if err in words else {})

    def _logs(self, expressions: Expressions) -> list[dict[str, Any]]:
        streams = [each for each in ((self._out,) if self._merged else (self._out, self._err)) if each.kind == "file"]
        logs = [each.log(expressions) for each in streams]
        if len(logs) > 1 and logs[0] == logs[1]:
            return logs[:1]
        if not self._merged:
            for stream, log in zip(streams, logs, strict=True):
                log["stream"] = stream.name
        return logs

    def _read(self, name: str) -> _Stream:
        keys = self._keys
        ignored = self._merged and name == "stderr"
        stream = _Stream(name, keys.take(f"{name}_logfile"), _USUAL_BYTES, _USUAL_BACKUPS)
        if stream.target is not None:
            self._note_target(stream, ignored=ignored)
        for part, number in (
            ("maxbytes", self._size(f"{name}_logfile_maxbytes")),
            ("backups", keys.whole(f"{name}_logfile_backups")),
        ):
            if number is not None:
                self._note_rule(stream, part, number, ignored=ignored)
        size = self._size(f"{name}_capture_maxbytes")
        if size is not None:
            self._note_switch(f"{name}_capture_maxbytes", _NO_CAPTURE, on=size > 0)
        for key, why in ((f"{name}_events_enabled", _NO_EVENTS), (f"{name}_syslog", _SYSLOG)):
            on = keys.boolean(key, yes=YES, no=NO)
            if on is not None:
                self._note_switch(key, why, on=on)
        return stream

    def _size(self, key: str) -> int | None:
        text = self._keys.take(key)
        if text is None:
            return None
        size = read_size(text)
        if size is None:
            self._keys.refuse(key, "is no size: write for example 50MB")
        return size

    def _note_target(self, stream: _Stream, *, ignored: bool) -> None:
        key, kind = f"{stream.name}_logfile", stream.kind
        if ignored:
            self._keys.lost(key, "supervisord ignores it as well, as redirect_stderr is true")
        elif kind == "file":
            self._keys.carried(key, f"{self._place}.log")
        elif (stream.target or "").strip().lower() == "syslog":
            self._keys.lost(key, _SYSLOG)
        elif kind == "none":
            self._keys.carried(key, "no file is written; aioverseer up shows the lines")
        elif kind == "null":
            self._keys.carried(key, f'{self._place}.{"output" if self._merged else stream.name} = "null"')
        elif kind == "err" and (stream.name == "stdout"):
            self._keys.changed(key, f'{self._place}.stdout = "inherit": it goes to standard output')
        elif kind == "out" and stream.name == "stderr" and self._out.kind != "out":
            self._keys.changed(key, f'{self._place}.stderr = "inherit": it goes to standard error')
        else:
            self._keys.carried(key, f'{self._place}.{stream.name} = "inherit"')

    def _note_rule(self, stream: _Stream, part: str, number: int, *, ignored: bool) -> None:
        key = f"{stream.name}_logfile_{part}"
        if stream.kind != "file" or ignored:
            self._keys.carried(key, "nothing, as there is no file")
        elif part == "maxbytes":
            stream.max_bytes = number
            self._keys.carried(key, f"{self._place}.log.max_bytes" if number else "no limit, as without max_bytes")
        elif number == 0 and stream.max_bytes:
            stream.backups = 0
            self._keys.changed(key, f"{self._place}.log.keep = 1, the least")
        else:
            stream.backups = number
            self._keys.carried(key, f"{self._place}.log.keep" if stream.max_bytes else "nothing, as nothing is rotated")

    def _note_switch(self, key: str, why: str, *, on: bool) -> None:
        if on:
            self._keys.lost(key, why)
        else:
            self._keys.carried(key, "off, as without it")
