"""Watch: the option for programs that are restarted when files change, and which files count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.numbers import expands, no_seconds
from aioverseer.core.options.unknown import answers_unknown
from aioverseer.core.typing import PathLike

__all__ = ["ALWAYS_OUT", "Watch", "counts"]

ALWAYS_OUT = (
    *(".git", ".hg", ".svn", ".jj", "__pycache__", ".venv", "venv", "node_modules", ".tox", ".nox"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".idea", ".vscode"),
    *("*.pyc", "*.pyo", "*.swp", "*.swx", "*~", ".#*", "#*#", "4913", "*.tmp", ".DS_Store"),
)
"""Names of files and folders that never count: of version control, caches and editors."""


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class Watch:
    """Files whose change restarts a service, at once and outside of the restart budget.

    Attributes:
        paths: Files and folders, with all below them. A relative path begins at the working directory of the program.
        include: Patterns of the names that count, such as ``"*.py"``; all names without any. A pattern with a slash is
            compared with the path below the watched folder.
        exclude: Patterns of names that do not count, in addition to those of version control, caches and editors. The
            name of a folder leaves out all below it.
        debounce: Seconds without a further change before the restart.
    """

    paths: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    debounce: float

    def __init__(
        self,
        *paths: str | PathLike,
        include: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        debounce: float = 0.3,
    ) -> None:
        """Check and store the options.

        Raises:
            SpecError: Naming the option and the value.
        """
        if not paths:
            raise _refused("paths", paths, 'are none: pass files or folders, as in Watch("src")')
        found: list[str] = []
        for path in paths:
            text = path.__fspath__() if isinstance(path, PathLike) else path
            if not isinstance(text, str) or not text or "\0" in text:
                raise _refused("paths", path, "is no path: pass a non-empty str or a pathlib.Path")
            if (why := expands(text)) is not None:
                raise _refused("paths", path, why)
            found.append(text)
        if (why := no_seconds(debounce)) is not None:
            raise _refused("debounce", debounce, why)
        settle = object.__setattr__  # the only way to set a field of a frozen dataclass
        settle(self, "paths", tuple(found))
        settle(self, "include", _patterns("include", include))
        settle(self, "exclude", _patterns("exclude", exclude))
        settle(self, "debounce", float(debounce))


def counts(watch: Watch, below: Sequence[str]) -> bool:
    """Return whether a change counts.

    Args:
        watch: The option.
        below: Parts of the path below the watched folder; for a watched file its name alone.
    """
    path = "/".join(below)
    if any(_matches(pattern, part) for pattern in ALWAYS_OUT for part in below):
        return False
    if any(_matches(pattern, path if "/" in pattern else part) for pattern in watch.exclude for part in below):
        return False
    return not watch.include or any(
        _matches(pattern, path if "/" in pattern else below[-1]) for pattern in watch.include
    )


def _matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).match(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _patterns(name: str, given: str | Iterable[str]) -> tuple[str, ...]:
    patterns: list[object] = [given]
    if not isinstance(given, str) and hasattr(given, "__iter__"):
        patterns = list(given)
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern:
            raise _refused(name, given, 'is no pattern: pass for example "*.py", or a list of patterns')
    return cast("tuple[str, ...]", tuple(patterns))


def _refused(name: str, value: object, why: str) -> SpecError:
    return SpecError(f"Watch: {name}={value!r} {why}", option="watch", value=value)
