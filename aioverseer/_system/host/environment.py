"""The environment of this host, and what of it a child gets. Nothing in here changes it."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["Environment", "given_environment", "inherited"]


class Environment:
    """The environment of a child.

    Attributes:
        variables: As a mapping, for whoever wants one: a dict and nothing derived of it, as uvloop takes no other.
        entries: The same as the system wants it: each variable as ``name=value``.
    """

    __slots__ = ("entries", "variables")

    def __init__(self, variables: dict[bytes, bytes] | dict[str, str], entries: list[bytes]) -> None:
        """Take both, which say the same."""
        self.variables = variables
        self.entries = entries


def given_environment(variables: dict[str, str]) -> Environment:
    """Return the environment that somebody has given."""
    return Environment(variables, [os.fsencode(f"{name}={value}") for name, value in variables.items()])


class _Seen:
    """What the environment of this host was when somebody looked last, and its entries."""

    def __init__(self) -> None:
        self.copy: dict[bytes, bytes] = {}
        self.entries: list[bytes] = []


_seen = _Seen()


def inherited(own: Mapping[bytes, bytes], name: bytes, more: bytes, *, longest: int) -> Environment:
    """Return the environment of this host with more behind the value of a variable, made where there is none.

    To encode forty variables takes as long as a twentieth of a spawn, and to see that they are the same a microsecond.

    Args:
        own: The environment of this host.
        name: The variable.
        more: What is put behind its value.
        longest: Bytes of its value that are kept, the last ones.
    """
    if own != _seen.copy:
        _seen.copy = copy = dict(own)
        _seen.entries = [b"%b=%b" % item for item in copy.items()]
    entries, value = _seen.entries, more
    if name in own:
        value = own[name][-longest:] + more
        prefix = name + b"="
        entries = [entry for entry in entries if not entry.startswith(prefix)]
    return Environment({**own, name: value}, [*entries, b"%b=%b" % (name, value)])
