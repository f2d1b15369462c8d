"""The Procfile: a name and a command on each line.

Programs are started without a shell. Syntax that only a shell understands is refused, and the error says what to write
instead.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from aioverseer import Spec, SpecError
from aioverseer.config.hidden_values import names_in_command, without_values
from aioverseer.config.problems import ConfigError, Problem
from aioverseer.core.export import exported_from

__all__ = [
    "BETWEEN",
    "FIRST_PORT",
    "LAST_PORT",
    "ProcfileLine",
    "first_port",
    "lines_of",
    "names_of",
    "read_procfile",
    "unquoted",
    "words_of",
]

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_OPERATOR = re.compile(r"[|&;<>`]+|\$\(")
_COMMENT = re.compile(r"(?<!\S)#")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_REFERENCE = re.compile(r"\$\$|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>))")
_PARAMETER = re.compile(r"\$(?:\$|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<other>[0-9@*#?!-]))")
"""Parameters of a shell: ``$$``, a variable without braces, and other parameters."""
_PLACEHOLDER = re.compile(r"\{(index|id|run|port|fd\.[^{}:]+)\}")
FIRST_PORT = 5000
BETWEEN = 100
"""Ports from one service to the next one, as foreman and honcho have it."""
LAST_PORT = 65535
_BUILTINS = frozenset({".", "cd", "exec", "export", "source"})
"""First words of commands that were written for a shell."""


@exported_from("aioverseer.config")
def read_procfile(
    text: str, *, path: str, environ: Mapping[str, str], formation: Mapping[str, int] | None = None
) -> list[Spec]:
    """Read a Procfile.

    Each line is ``name: command``. Empty lines and lines that begin with ``#`` are skipped. The command is split into
    words as a shell splits them, with quotes and backslashes. It is started without a shell: no globbing, no ``~``, no
    pipes.

    Then variables are replaced in every word. ``${NAME}`` becomes the value of the variable, quoted or not, and
    ``${NAME:-default}`` the default if the variable is unset or empty. ``$NAME`` is the same as ``${NAME}``, but not in
    single quotes. A value with blanks stays one argument. ``$$`` is one dollar sign.

    Each service has a port of its own in its variable ``PORT``: 5000 for the first one, 5100 for the second one and so
    on. The variable ``PORT`` of the environment is the first of them.

    Args:
        text: The text of the file.
        path: The path of the file, for messages. The services run in its folder.
        environ: The variables and their values.
        formation: Numbers of instances, by the names of their services. Their ports follow each other.

    Returns:
        One Spec for each line, in the order of the file. All options but ``cwd``, ``extra_env``, ``instances`` and
        ``port`` have their defaults.

    Raises:
        ConfigError: If lines are not valid; with path and line numbers, names, causes and remedies.
    """
    first = first_port(path, environ)
    specs: list[Spec] = []
    lines, problems = lines_of(text, path=path)
    for at, (number, name, command) in enumerate(lines):
        ports = _ServicePorts(first + BETWEEN * at, (formation or {}).get(name))
        try:
            specs.append(_read_command(name, command, cwd=os.path.dirname(path) or None, environ=environ, ports=ports))
        except SpecError as error:
            message = without_values(str(error), names_in_command(command), environ)
            problems.append(Problem(file=path, line=number, message=message))
    if not lines and not problems:
        message = "there is no service in it: write a line such as 'web: python3 server.py'"
        problems.append(Problem(file=path, message=message))
    if problems:
        raise ConfigError(problems)
    return specs


class ProcfileLine(NamedTuple):
    """A line with a service.

    Attributes:
        number: Number of the line, from 1.
        name: Name of the service.
        command: Its command, as the file has it.
    """

    number: int
    name: str
    command: str


def lines_of(text: str, *, path: str) -> tuple[list[ProcfileLine], list[Problem]]:
    """Return the lines with services, and the problems of all others.

    Args:
        text: The text of the file.
        path: The path of the file, for messages.
    """
    lines: dict[str, ProcfileLine] = {}
    problems: list[Problem] = []
    # Not splitlines(): it also splits at characters such as form feed, which may be part of a quoted word.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            name, command = _name_and_command(stripped)
            if name in lines:
                raise _error(
                    name,
                    f"line {lines[name].number} has this name already: give every service its own",
                    shows_value=False,
                )
            lines[name] = ProcfileLine(number, name, command)
        except SpecError as error:
            problems.append(Problem(file=path, line=number, message=str(error)))
    return list(lines.values()), problems


def words_of(command: str) -> list[list[re.Match[str] | str]]:
    """Return the words of a command, each as its texts and the references to variables between them.

    A reference has the groups ``name`` and ``default``.

    Args:
        command: The command, as the file has it.

    Raises:
        SpecError: If it needs a shell.
    """
    words: list[list[re.Match[str] | str]] = []
    for word in _split(_with_braces(command)):
        parts: list[re.Match[str] | str] = []
        at = 0
        for found in _REFERENCE.finditer(word):
            parts.append(word[at : found.start()])
            parts.append("$" if found[0] == "$$" else _understood(word, found))
            at = found.end()
        words.append([*parts, word[at:]])
    return words


def _understood(word: str, found: re.Match[str]) -> re.Match[str]:
    if found["name"] is None:
        raise _error(
            word,
            "holds a '${' that is not understood: write ${NAME} or ${NAME:-default}, and $$ for a plain dollar sign",
        )
    return found


def names_of(text: str) -> dict[str, set[str]]:
    """Return the names of the variables in the command of each service.

    Args:
        text: The text of a valid Procfile.
    """
    return {name: names_in_command(command) for _, name, command in lines_of(text, path="")[0]}


class _ServicePorts(NamedTuple):
    """The ports of one service.

    Attributes:
        first: Its port, or that of its first instance.
        instances: Number of its instances; None for a lone service.
    """

    first: int
    instances: int | None

    @property
    def all(self) -> range:
        """All of them."""
        return range(self.first, self.first + max(1, self.instances or 1))

    @property
    def exist(self) -> bool:
        """Whether there are such ports."""
        return self.all[-1] <= LAST_PORT


def first_port(path: str, environ: Mapping[str, str]) -> int:
    """Return the port of the first service.

    Args:
        path: The path of the file, for messages.
        environ: The variables and their values.

    Raises:
        ConfigError: If the variable ``PORT`` is no port.
    """
    given = environ.get("PORT") or str(FIRST_PORT)
    if not (given.isascii() and given.isdecimal() and 0 < int(given[:6]) <= LAST_PORT):
        message = f"the variable PORT is no port: set it to a number from 1 to {LAST_PORT}"
        raise ConfigError([Problem(file=path, message=message)])
    return int(given)


def _name_and_command(line: str) -> tuple[str, str]:
    name, colon, command = (part.strip() for part in line.partition(":"))
    if not colon:
        raise SpecError(f"{line!r} has no colon: write 'name: command'", option="id", value=line)
    if not _NAME.fullmatch(name):
        raise SpecError(
            f"{name!r} is no name for a service: use letters, digits, '_', '-' and '.', and a colon after it",
            option="id",
            value=name,
        )
    return name, command


def _read_command(
    name: str, command: str, *, cwd: str | None, environ: Mapping[str, str], ports: _ServicePorts
) -> Spec:
    try:
        words = _split(_with_braces(command))
        if ports.instances is None:
            own = {"PORT": str(ports.first)} if ports.exist else {}
            argv = tuple(_expand(word, environ, own.get("PORT")) for word in words)
            return Spec(id=name, argv=argv, cwd=cwd, extra_env=own)
        # The port of an instance is known at its start. A NUL, which no argument has, keeps its place.
        filled = [_literal(_expand(word, environ, "\0" if ports.exist else None)) for word in words]
        return Spec(
            id=name,
            argv=tuple(word.replace("\0", "{port}") for word in filled),
            cwd=None if cwd is None else _literal(cwd),
            extra_env={"PORT": "{port}"} if ports.exist else {},
            instances=ports.instances,
            port=ports.all if ports.exist else None,
        )
    except SpecError as error:
        raise SpecError(f"{name}: {error}", option=error.option, value=error.value) from error


def _literal(text: str) -> str:
    """Return text for an option of instances, in which a few words in braces have a meaning."""
    return _PLACEHOLDER.sub(r"{{\1}}", text)


def _with_braces(command: str) -> str:
    """Return the command with ``${NAME}`` for each ``$NAME`` that a shell would replace, that is not in single quotes.

    Other parameters of a shell, such as ``$1``, are refused.
    """
    written: list[str] = []
    quote = ""
    at = 0
    while at < len(command):
        character, end = command[at], at + 1
        if character == "\\" and quote != "'":
            end = at + 2
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        found = _PARAMETER.match(command, at) if character == "$" and quote != "'" else None
        if found is None:
            written.append(command[at:end])
        elif found["other"]:
            what = "write sh -c '...' around it, or $$ for a plain dollar sign"
            raise _error(command, f"holds {found[0]!r}, and there is no shell here: {what}")
        else:
            written.append(f"${{{found['name']}}}" if found["name"] else "$$")
            end = found.end()
        at = end
    return "".join(written)


def _split(command: str) -> list[str]:
    """Split into words as a shell does, and refuse syntax that needs a shell."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise _error(
            command, f"cannot be split into words ({error}): close every quote, and write it on one line"
        ) from None
    if not words:
        raise _error(command, "is no command: name a program after the colon")
    bare = unquoted(command)
    found = _OPERATOR.search(bare)
    if found:
        raise _error(
            command,
            f"holds {found[0]!r}, and there is no shell here: write sh -c '...' around it, "
            "or put it in quotes when it is meant as it stands",
        )
    if _COMMENT.search(bare):
        raise _error(command, "holds a '#': move the comment to a line of its own, or put the '#' in quotes")
    if _ASSIGNMENT.match(bare):
        raise _error(
            command,
            "begins with a variable, and there is no shell here: write sh -c '...' around it, or env before it",
        )
    if words[0] in _BUILTINS:
        raise _error(
            command,
            f"begins with {words[0]!r}, a word of the shell, and there is no shell here: leave it out, "
            "or write sh -c '...' around it",
        )
    return words


def unquoted(command: str) -> str:
    """Return the command with each quoted character, and each quote, replaced by a letter.

    Operators that are left in the result would be operators for a shell.
    """
    signs: list[str] = []
    quote = ""
    escaped = False
    for character in command:
        if escaped:
            escaped = False
            signs.append("x")
        elif character == "\\" and quote != "'":
            escaped = True
            signs.append("x")
        elif quote:
            quote = "" if character == quote else quote
            signs.append("x")
        elif character in "'\"":
            quote = character
            signs.append("x")
        else:
            signs.append(character)
    return "".join(signs)


def _expand(word: str, environ: Mapping[str, str], port: str | None) -> str:
    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name, default = _understood(word, found)["name"], found["default"]
        given = port if name == "PORT" else environ.get(name)
        if default is not None:
            return given or default
        if given is None and name == "PORT":
            raise _error(word, f"needs a port, and there is none above {LAST_PORT}: set PORT to a lower first port")
        if given is None:
            raise _error(word, f"needs the variable {name}, which is not set: set it, or write ${{{name}:-default}}")
        return given

    return _REFERENCE.sub(value, word)


def _error(value: str, why: str, *, shows_value: bool = True) -> SpecError:
    return SpecError(f"{value!r} {why}" if shows_value else f"{value}: {why}", option="argv", value=value)
