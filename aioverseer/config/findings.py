"""Findings: the problems of a file and of the files that it includes, found at places of the merged table."""

from __future__ import annotations

from collections.abc import Mapping

from aioverseer import SpecError
from aioverseer.config.hidden_values import names_in, without_values
from aioverseer.config.merging import Stack
from aioverseer.config.problems import ConfigError, Problem
from aioverseer.config.shapes import Path
from aioverseer.forms import DataError

__all__ = ["Findings"]

_MOST = 100
"""Problems that are shown. The index of their positions and similar names are made for no more."""

_MOST_COMPARED = 20_000
"""Names that wrong ones are compared with, in all: about half a second."""


class Findings:
    """The problems of one load, collected until all of it was looked at.

    Attributes:
        environ: Variables whose values no message may show.
    """

    def __init__(self, stack: Stack) -> None:
        """Begin without problems.

        Args:
            stack: The layers of the merged table.
        """
        self._stack = stack
        self.environ: Mapping[str, str] = {}
        self._found: dict[tuple[str, Path, str], Problem] = {}
        self._more = 0
        self._compared = 0

    def __len__(self) -> int:
        """Return the number of problems."""
        return len(self._found) + self._more

    @property
    def is_full(self) -> bool:
        """Whether further problems are only counted."""
        return len(self._found) >= _MOST

    def may_compare(self, count: int) -> bool:
        """Return whether a wrong name may be compared with so many others, and count them."""
        self._compared += count
        return self._compared <= _MOST_COMPARED

    def add(self, path: Path, message: str, hint: str | None = None, *, of_key: bool = False) -> None:
        """Add a problem.

        Args:
            path: Place in the merged table.
            message: Cause.
            hint: Advice.
            of_key: Whether the last key of the path is wrong, and not its value.
        """
        if self.is_full:
            self._more += 1
            return
        origin = self._stack.origin(path)
        names = names_in(origin.value)
        if names:
            message = without_values(message, names, self.environ)
            hint = None if hint is None else without_values(hint, names, self.environ)
        self.add_problem(path, origin.document.problem(origin.path, message, hint, of_key=of_key))

    def add_error(self, path: Path, error: SpecError) -> None:
        """Add the problems of an error about a table.

        Args:
            path: Place of the table in the merged table.
            error: The error.
        """
        if not isinstance(error, DataError):
            self.add(path, str(error))
            return
        for flaw in error.flaws:
            self.add((*path, *flaw.path), flaw.message, flaw.hint, of_key=flaw.of_key)

    def add_problem(self, path: Path, problem: Problem) -> None:
        """Add a problem of another file.

        Args:
            path: Place in the merged table that names the file.
            problem: The problem.
        """
        if self.is_full:
            self._more += 1
        else:  # a default that is wrong is wrong for every service
            self._found.setdefault((problem.file, problem.path or path, problem.message), problem)

    def raise_if_any(self) -> None:
        """Raise one error about all problems.

        Raises:
            ConfigError: If there is a problem.
        """
        problems = list(self._found.values())
        if self._more:
            problems.append(Problem(file=problems[-1].file, message=f"{self._more} more problems are not shown"))
        if problems:
            raise ConfigError(problems)
