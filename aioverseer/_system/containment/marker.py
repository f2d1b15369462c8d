"""The marker: an environment variable of each program that identifies its descendants.

Its value has one word for each host above the program, outermost first, so hosts can be nested:
``AIOVERSEER_RUN=<token>-<run>;<token>-<run>;``. The token is a random number of the host. A ``+`` instead of the ``-``
means that leftovers of the run are kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from aioverseer._system.host.environment import Environment, given_environment, inherited

__all__ = ["VARIABLE", "Marker"]

VARIABLE = "AIOVERSEER_RUN"
_VARIABLE = VARIABLE.encode()
_MAX_OUTER = 2048
"""Bytes of outer hosts' markers that are passed on, so that a program that starts itself for ever does not fill the
environment."""


class Marker:
    """The marker of one host process."""

    def __init__(self) -> None:
        self.token = os.urandom(8).hex()
        self._found = re.compile(rf"{self.token}([-+])(\d+);".encode())

    def word(self, run: int, *, kept: bool) -> str:
        """Return the word that marks a run."""
        return f"{self.token}{'+' if kept else '-'}{run};"

    def find(self, environment: bytes) -> tuple[int, bool] | None:
        """Return the run that an environment is marked with, and whether leftovers of that run are kept."""
        match = self._found.search(environment)
        return None if match is None else (int(match[2]), match[1] == b"+")

    def inherited(self, own: Mapping[bytes, bytes], run: int, *, kept: bool) -> Environment:
        """Return the host's environment with the marker of a run."""
        return inherited(own, _VARIABLE, self.word(run, kept=kept).encode(), longest=_MAX_OUTER)

    def added(self, environment: Mapping[str, str], run: int, *, kept: bool) -> Environment:
        """Return a given environment with the marker of a run."""
        outer = os.environ.get(VARIABLE, "")[-_MAX_OUTER:]
        return given_environment({**environment, VARIABLE: outer + self.word(run, kept=kept)})
