"""The Procfile: a name and a command on each line.

Programs are started without a shell. Syntax that only a shell understands is refused, and the error says what to write
instead.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping

from aioverseer import Spec, SpecError
from aioverseer.core.export import exported_from

__all__ = ["read_procfile"]

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_OPERATOR = re.compile(r"[|&;<>`]+|\$\(")
_COMMENT = re.compile(r"(?<!\S)#")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_REFERENCE = re.compile(r"\$\$|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>))")
_BUILTINS = frozenset({".", "cd", "exec", "export", "source"})
"""First words of commands that were written for a shell."""


@exported_from("aioverseer.config")
def read_procfile(text: str, *, path: str, environ: Mapping[str, str]) -> list[Spec]:
    """Read a Procfile.

    Each line is ``name: command``. Empty lines and lines that begin with ``#`` are skipped. The command is split into
    words as a shell splits them, with quotes and backslashes. It is started without a shell: no globbing, no ``~``, no
    pipes.

    Then variables are replaced in every word, quoted or not: ``${NAME}`` becomes the value of the variable, and
    ``${NAME:-default}`` the default if the variable is unset or empty. A value with blanks stays one argument. ``$$``
    is one dollar sign. A ``$`` without a brace after it stays as it is.

    Args:
        text: The text of the file.
        path: The path of the file, for messages. The services run in its folder.
        environ: The variables and their values.

    Returns:
        One Spec for each line, in the order of the file. All options but ``cwd`` have their defaults.

    Raises:
        SpecError: If a line is not valid; with path, line number, name, cause and remedy.
    """
    specs: dict[str, Spec] = {}
    lines: dict[str, int] = {}
    # Not splitlines(): it also splits at characters such as form feed, which may be part of a quoted word.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            spec = _read_line(stripped, cwd=os.path.dirname(path) or None, environ=environ)
            if spec.id in specs:
                raise SpecError(
                    f"{spec.id}: line {lines[spec.id]} has this name already: give every service its own",
                    option="id",
                    value=spec.id,
                )
        except SpecError as error:
            raise SpecError(f"{path}:{number}: {error}", option=error.option, value=error.value) from error
        specs[spec.id] = spec
        lines[spec.id] = number
    if not specs:
        raise SpecError(f"{path}: there is no service in it: write a line such as 'web: python3 server.py'")
    return list(specs.values())


def _read_line(line: str, *, cwd: str | None, environ: Mapping[str, str]) -> Spec:
    name, colon, command = (part.strip() for part in line.partition(":"))
    if not colon:
        raise SpecError(f"{line!r} has no colon: write 'name: command'", option="id", value=line)
    if not _NAME.fullmatch(name):
        raise SpecError(
            f"{name!r} is no name for a service: use letters, digits, '_', '-' and '.', and a colon after it",
            option="id",
            value=name,
        )
    try:
        argv = tuple(_expand(word, environ) for word in _split(command))
        return Spec(id=name, argv=argv, cwd=cwd)
    except SpecError as error:
        raise SpecError(f"{name}: {error}", option=error.option, value=error.value) from error


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
    bare = "".join(_bare(command))
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


def _bare(command: str) -> Iterator[str]:
    """Yield the command with each quoted character, and each quote, replaced by a letter.

    Operators that are left in the result would be operators for a shell.
    """
    quote = ""
    escaped = False
    for character in command:
        if escaped:
            escaped = False
            yield "x"
        elif character == "\\" and quote != "'":
            escaped = True
            yield "x"
        elif quote:
            quote = "" if character == quote else quote
            yield "x"
        elif character in "'\"":
            quote = character
            yield "x"
        else:
            yield character


def _expand(word: str, environ: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name, default = found["name"], found["default"]
        if name is None:
            raise _error(
                word,
                "holds a '${' that is not understood: write ${NAME} or ${NAME:-default}, "
                "and $$ for a plain dollar sign",
            )
        given = environ.get(name)
        if default is not None:
            return given or default
        if given is None:
            raise _error(word, f"needs the variable {name}, which is not set: set it, or write ${{{name}:-default}}")
        return given

    return _REFERENCE.sub(value, word)


def _error(value: str, why: str) -> SpecError:
    return SpecError(f"{value!r} {why}", option="argv", value=value)
