"""Input and output of a unit."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from aioverseer.config.convert.escapes import escaped_variables
from aioverseer.config.convert.systemd.commands import split_words
from aioverseer.config.convert.systemd.directives import Directives
from aioverseer.config.convert.systemd.specifiers import Specifiers

__all__ = ["read_streams"]

_JOURNAL = ("journal", "syslog", "kmsg", "journal+console", "syslog+console", "kmsg+console")
_SHOWN = "aioverseer up shows the lines; log = keeps them"


def read_streams(keys: Directives, place: str, specifiers: Specifiers) -> dict[str, Any]:
    """Return the options about input and output.

    Args:
        keys: Keys of the section Service.
        place: Path of the service in our file.
        specifiers: Values of the specifiers.
    """
    options = _read_input(keys, place, specifiers)
    logs: list[dict[str, Any]] = []
    words: dict[str, str] = {}
    had_error = keys.value("StandardError") not in (None, "inherit")
    for key, name in (("StandardOutput", "stdout"), ("StandardError", "stderr")):
        value = keys.take(key)
        if value is None:
            continue
        kind, _, path = value.partition(":")
        match kind:
            case "null":
                words[name] = "null"
                keys.carried(key, f'{place}.{name} = "null"')
            case "file" | "append" | "truncate" if path:
                logs.append({"path": _log_path(specifiers.text(path)), "stream": name})
                if kind == "append":
                    keys.carried(key, f"{place}.log")
                else:
                    keys.changed(key, f"{place}.log is written at its end")
            case "inherit":
                keys.carried(key, "as without it")
            case _ if value in _JOURNAL:
                keys.changed(key, _SHOWN)
            case "tty":
                keys.lost(key, "the terminal of a service is made with pty = true")
            case _:
                keys.lost(key, _SHOWN)
    if not had_error or words.get("stderr") == words.get("stdout"):
        # Standard error goes with standard output, where nothing else is said.
        logs = [{key: each for key, each in log.items() if key != "stream"} for log in logs] if not had_error else logs
        if words.get("stdout"):
            words = {"output": words["stdout"]}
    if len(logs) > 1 and logs[0]["path"] == logs[1]["path"]:
        logs = [{"path": logs[0]["path"]}]
    if logs:
        options["log"] = logs[0] if len(logs) == 1 else logs
    return options | words


def _log_path(text: str) -> str:
    # A brace of the path is doubled, and one of a placeholder stays.
    return "{index}".join(part.replace("{", "{{").replace("}", "}}") for part in text.split("{index}"))


def _read_input(keys: Directives, place: str, specifiers: Specifiers) -> dict[str, Any]:
    parts: list[bytes] = []
    for value in keys.take_all("StandardInputText"):
        try:
            parts.append(" ".join(split_words(value)).encode() + b"\n")
        except ValueError as error:
            keys.refuse("StandardInputText", str(error))
        else:
            keys.carried("StandardInputText", f"{place}.stdin")
    for value in keys.take_all("StandardInputData"):
        try:
            parts.append(base64.b64decode("".join(value.split()), validate=True))
        except (ValueError, binascii.Error):
            keys.refuse("StandardInputData", "is no base64")
        else:
            keys.carried("StandardInputData", f"{place}.stdin")
    given = keys.take("StandardInput")
    kind, _, path = (given or "").partition(":")
    if given is not None:
        match kind:
            case "null":
                keys.carried("StandardInput", "the null device, as without stdin")
            case "file" if path:
                keys.carried("StandardInput", f"{place}.stdin")
                return {"stdin": {"file": specifiers.text(path)}}
            case "data":
                keys.carried("StandardInput", f"{place}.stdin")
            case "tty" | "tty-force" | "tty-fail":
                keys.lost("StandardInput", "the terminal of a service is made with pty = true")
            case _:
                keys.lost("StandardInput", "a connection of each program is no input here: listen = holds a socket")
    if not parts:
        return {}
    data = b"".join(parts)
    try:
        return {"stdin": escaped_variables(data.decode())}
    except UnicodeDecodeError:
        return {"stdin": {"base64": base64.b64encode(data).decode()}}
