"""One program section of supervisord as one service, or as several where their numbers have another form than ours."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aioverseer.config.convert.keys import Keys
from aioverseer.config.convert.order import PRIORITY
from aioverseer.config.convert.supervisord.environment import with_itself
from aioverseer.config.convert.supervisord.expressions import Expressions, is_padded, names_number, names_variable
from aioverseer.config.convert.supervisord.logs import Logs
from aioverseer.config.convert.supervisord.policy import read_restart, read_stop
from aioverseer.config.convert.supervisord.words import NO, YES

__all__ = ["LAST", "Program", "lose_variables", "read_program"]

LAST = 999
"""Priority of a program that has none."""

_WITH_NUMBER = ("command", "environment", "directory", "stdout_logfile", "stderr_logfile")
"""Keys whose value may differ from process to process."""

_TEXTS = (*_WITH_NUMBER, "process_name", "socket")
"""Keys whose value is a text here as well, so that it may come from a variable."""


@dataclass(slots=True, kw_only=True)
class Program:
    """A program section, read.

    Attributes:
        priority: Priority of its group and of itself.
        services: Options by the name of the service.
    """

    priority: tuple[int, int]
    services: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


def read_program(
    keys: Keys,
    name: str,
    *,
    group: str,
    group_priority: int | None,
    words: Mapping[str, str],
    variables: Mapping[str, str],
) -> Program:
    """Return the services of a program section.

    Args:
        keys: Keys of the section.
        name: Name of the program.
        group: Name of its group; empty without one.
        group_priority: Priority of that group; None without one.
        words: Values of the expressions that are the same in the whole file.
        variables: Variables that the file sets for all programs.
    """
    words = {**words, "program_name": name, "group_name": group or name}
    lose_variables(keys)
    priority = _priority(keys)
    numbers = _numbers(keys)
    pattern = keys.take("process_name")
    used = [value for key in _WITH_NUMBER if (value := keys.value(key)) is not None and names_number(value)]
    apart = len(numbers) > 1 and bool(used) and (numbers.start != 0 or any(map(is_padded, used)))
    _note_numbers(keys, name, numbers, pattern, apart=apart)
    place = f"services.{name}{'*' if apart else ''}"
    command, directory, environment = (keys.take(key) for key in ("command", "directory", "environment"))
    logs = Logs(keys, place)
    common = _common(keys, place) | ({"group": group or name} if group or apart else {})
    program = Program(priority=(priority if group_priority is None else group_priority, priority))
    for number in numbers if apart else numbers[:1]:
        numbered = number if apart or len(numbers) == 1 else None
        expressions = Expressions(words, number=numbered, variables=variables)
        own = _variables(keys, environment, expressions)
        expressions = expressions.with_variables(own.get("extra_env", {}))
        options = _command(keys, command, expressions)
        options |= _cwd(keys, directory, expressions)
        options |= own
        options |= common
        options |= logs.options(expressions)
        if len(numbers) > 1 and not apart:
            options["instances"] = len(numbers)
        program.services[_name(keys, pattern, name, expressions) if apart else name] = options
    _note_texts(keys, place, command, directory, environment)
    for key in keys.rest():
        keys.take(key)
        keys.lost(key, "supervisord has no such key here, and ignores it")
    return program


def lose_variables(keys: Keys) -> None:
    """Take the keys whose value is no text, and comes from a variable."""
    for key in keys.rest():
        if key not in _TEXTS and names_variable(keys.value(key) or ""):
            keys.take(key)
            keys.lost(key, "only a text can come from a variable: write the value, or set it with -s NAME=VALUE")


def _priority(keys: Keys) -> int:
    priority = keys.whole("priority", least=-(2**31))
    if priority is None:
        return LAST
    if priority == LAST:
        keys.carried("priority", "999 is that of a program without one")
    else:
        keys.changed("priority", PRIORITY)
    return priority


def _numbers(keys: Keys) -> range:
    start, count = keys.value("numprocs_start"), keys.value("numprocs")
    first = keys.whole("numprocs_start") or 0
    numbers = range(first, first + (keys.whole("numprocs", least=1) or 1))
    if start is not None:
        if first == 0:
            keys.carried("numprocs_start", "{index} begins with 0")
        else:
            keys.changed("numprocs_start", f"{{index}} begins with 0; process_num, from {first} on, is written out")
    if count is not None and len(numbers) == 1:
        keys.carried("numprocs", "one process, as without it")
    return numbers


def _note_numbers(keys: Keys, name: str, numbers: range, pattern: str | None, *, apart: bool) -> None:
    if len(numbers) > 1:
        if apart:
            text = f"{len(numbers)} services, as {{index}} begins with 0 and has no leading zeros"
            keys.changed("numprocs", text)
        else:
            keys.carried("numprocs", f"services.{name}.instances")
    if pattern is not None:
        if apart:
            keys.carried("process_name", "the names of the services")
        elif len(numbers) > 1:
            keys.changed("process_name", f"the processes are called {name}.0 to {name}.{len(numbers) - 1}")
        else:
            keys.carried("process_name", f"the service is called {name}")


def _name(keys: Keys, pattern: str | None, name: str, expressions: Expressions) -> str:
    try:
        return expressions.plain(pattern or "%(program_name)s_%(process_num)d")
    except ValueError as error:
        keys.refuse("process_name", str(error))
        return name


def _common(keys: Keys, place: str) -> dict[str, Any]:
    """Return the options that are the same for all processes of a program."""
    options: dict[str, Any] = {}
    starts = keys.boolean("autostart", yes=YES, no=NO)
    if starts is False:
        options["enabled"] = False
        keys.changed("autostart", "enabled = false leaves the service out: write true to have it")
    elif starts is True:
        keys.carried("autostart", "all services of a file are started")
    user = keys.take("user")
    if user is not None:
        options["user"] = int(user) if user.isdecimal() else user
        keys.carried("user", f"{place}.user")
    umask = keys.take("umask")
    if umask is not None and re.fullmatch("0?[0-7]{1,3}", umask):
        options["umask"] = umask
        keys.carried("umask", f"{place}.umask")
    elif umask is not None:
        keys.refuse("umask", "is no mask: write octal digits, for example 022")
    if restart := read_restart(keys, place):
        options["restart"] = restart
    if stop := read_stop(keys, place):
        options["stop"] = stop
    if keys.take("serverurl") is not None:
        keys.lost("serverurl", "there is no XML-RPC here, so no program gets SUPERVISOR_SERVER_URL")
    return options


def _command(keys: Keys, command: str | None, expressions: Expressions) -> dict[str, Any]:
    if not command or not command.strip():
        keys.refuse("command", "is missing: name the program")
        return {}
    try:
        return {"command": shlex.split(expressions.text(command))}
    except ValueError as error:
        keys.refuse(
            "command", f"is no command: it {error}" if str(error).startswith("holds") else f"is cut off: {error}"
        )
        return {}


def _cwd(keys: Keys, directory: str | None, expressions: Expressions) -> dict[str, Any]:
    if directory is None:
        return {}
    try:
        return {"cwd": expressions.text(directory)}
    except ValueError as error:
        keys.refuse("directory", str(error))
        return {}


def _variables(keys: Keys, environment: str | None, expressions: Expressions) -> dict[str, Any]:
    if environment is None:
        return {}
    try:
        return {"extra_env": with_itself(environment, expressions)[0]}
    except ValueError as error:
        keys.refuse("environment", str(error))
        return {}


def _note_texts(keys: Keys, place: str, command: str | None, directory: str | None, environment: str | None) -> None:
    if command is not None:
        if names_variable(command):
            keys.changed("command", f"{place}.command: a variable with blanks in it stays one argument")
        else:
            keys.carried("command", f"{place}.command")
    if directory is not None:
        keys.carried("directory", f"{place}.cwd")
    if environment is not None:
        if "$" in environment:
            keys.changed("environment", f"{place}.extra_env: a variable that holds its own name, as $PATH, is expanded")
        else:
            keys.carried("environment", f"{place}.extra_env")
