"""Files of variables, such as ``.env``: python-dotenv reads them, and nothing in them is replaced."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

from aioverseer import OverseerError
from aioverseer.config.problems import ConfigError, Problem

__all__ = ["read_variables"]

_FORM = "write NAME=value, and a # before remarks"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def read_variables(text: str, *, file: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a text in the form of ``.env``; of equal names the last one.

    A name without ``=`` stands for the variable of the environment, and for nothing if that is not set.

    Args:
        text: Text of the file.
        file: Path of the file, for messages. They show no values.
        environ: Variables of the environment.

    Raises:
        ConfigError: For lines that are no variable.
        OverseerError: If python-dotenv is not installed.
    """
    try:
        from dotenv.parser import parse_stream  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        raise OverseerError(
            f"{file} needs python-dotenv, which is not installed: pip install 'aioverseer[cli]'"
        ) from None
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for each in parse_stream(io.StringIO(text)):
        if each.error or (each.key is not None and not _is_valid(each.key, each.value)):
            blank = each.original.string[: len(each.original.string) - len(each.original.string.lstrip())]
            line = each.original.line + blank.count("\n")
            message = "this is no variable" if each.error else "this is no name or value of a variable"
            problems.append(Problem(file=file, line=line, column=1, message=message, hint=_FORM))
        elif each.key is not None and each.value is not None:
            found[each.key] = each.value
        elif each.key is not None and each.key in environ:
            found[each.key] = environ[each.key]
    if problems:
        raise ConfigError(problems)
    return found


def _is_valid(name: str, value: str | None) -> bool:
    return _NAME.fullmatch(name) is not None and "\0" not in (value or "")
