"""The marker: one variable in the environment of each program, by which its descendants are known.

Its value is one word for each host above, outermost first, so that hosts may stand within each other:
``AIOVERSEER_RUN=<token>-<run>;<token>-<run>;``. The token is the host's, made by chance; a ``+`` in place of the ``-``
says that what the run leaves behind is not to be killed. Only words are made and read here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from aioverseer._system.host.environment import Environment, given_environment, inherited

__all__ = ["VARIABLE", "Marker"]

VARIABLE = "AIOVERSEER_RUN"
_VARIABLE = VARIABLE.encode()
_LONGEST = 2048
"""Bytes of markers of outer hosts that are handed on: what runs itself for ever must not fill the environment."""


class Marker:
    """The marker of one host process."""

    def __init__(self) -> None:
        self.token = os.urandom(8).hex()
        self._found = re.compile(rf"{self.token}([-+])(\d+);".encode())

    def word(self, run: int, *, kept: bool) -> str:
        """Return the word of a run."""
        return f"{self.token}{'+' if kept else '-'}{run};"

    def find(self, environment: bytes) -> tuple[int, bool] | None:
        """Return the run whose marker this environment bears, and whether it is one whose leftovers are kept."""
        match = self._found.search(environment)
        return None if match is None else (int(match[2]), match[1] == b"+")

    def inherited(self, own: Mapping[bytes, bytes], run: int, *, kept: bool) -> Environment:
        """Return the environment of the host with the marker of a run."""
        return inherited(own, _VARIABLE, self.word(run, kept=kept).encode(), longest=_LONGEST)

    def added(self, environment: Mapping[str, str], run: int, *, kept: bool) -> Environment:
        """Return an environment with the marker of a run."""
        outer = os.environ.get(VARIABLE, "")[-_LONGEST:]
        return given_environment({**environment, VARIABLE: outer + self.word(run, kept=kept)})
