"""INI files, as supervisord and circus read them."""

from __future__ import annotations

import configparser

from aioverseer.config.problems import ConfigError, Problem

__all__ = ["read_ini"]


def read_ini(text: str, path: str, *, inline_comments: tuple[str, ...], small: bool) -> dict[str, dict[str, str]]:
    """Return the keys and values of each section, in the order of the file. A section that comes twice is one.

    Args:
        text: The text of the file.
        path: The path of the file, for the error.
        inline_comments: Signs that begin a comment after a blank.
        small: Whether keys are read in small letters.

    Raises:
        ConfigError: With each line that is not understood.
    """
    parser = configparser.RawConfigParser(
        strict=False,
        interpolation=None,
        inline_comment_prefixes=inline_comments,
        default_section="\0",  # no section is special
    )
    parser.optionxform = str.lower if small else str  # type: ignore[method-assign,assignment]  # documented so
    try:
        parser.read_string(text.removeprefix("\ufeff"), source=path)
    except configparser.MissingSectionHeaderError as error:
        raise ConfigError(
            [_problem(path, error.lineno, "stands before the first section: write [name] above it")]
        ) from None
    except configparser.ParsingError as error:
        why = "is no section, no comment and no 'key = value'"
        raise ConfigError([_problem(path, line, why) for line, _ in error.errors]) from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _problem(path: str, line: int, why: str) -> Problem:
    # The text of the line is no part of the message: it may hold the value of a variable.
    return Problem(file=path, line=line, message=f"this line {why}")
