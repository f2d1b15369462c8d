"""The words before a command that give it listening sockets as descriptors 3, 4 and so on; see sd_listen_fds(3).

They come last, after all other prefixes: ``LISTEN_PID`` is the process id of the program, and a shim forks.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

from aioverseer._system.host.interpreter import missing_interpreter
from aioverseer._system.host.path_lookup import locate
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.held_socket import FIRST_DESCRIPTOR
from aioverseer.core.options.spec import Spec

__all__ = ["Placement", "placement_of", "variables_of"]

_PROGRAM = os.path.join(os.path.dirname(__file__), "place_sockets.py")
_TRIAL_TIMEOUT = 10.0
"""Seconds for the trial of the shell. A millisecond is usual; a busy machine needs more."""
_PID = "export LISTEN_PID=$$; "


class Placement(NamedTuple):
    """The way in which a program gets its sockets.

    Attributes:
        words: Words to put directly before the command.
        stdin: Descriptor for the standard input of these words, which move it; None leaves the input as it is.
        pass_fds: Descriptors that these words must inherit.
    """

    words: list[str]
    stdin: int | None
    pass_fds: tuple[int, ...]


def variables_of(sockets: Mapping[str, int]) -> dict[str, str]:
    """Return the variables that announce sockets, without ``LISTEN_PID``, which only the program's process knows."""
    return {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(sockets)}


def placement_of(spec: Spec, sockets: Mapping[str, int], *, announced: bool) -> Placement:
    """Choose the cheapest way to place sockets.

    ``subprocess`` passes a descriptor under its own number, except for the three standard streams. dash, hence
    ``/bin/sh`` on Debian, refuses numbers of two digits in a redirection. So a single socket comes as standard input,
    if the true one is the null device, which any shell can open. Several sockets need a shell that takes such numbers,
    which takes a millisecond longer, or Python, which takes ten. The input cannot come back by ``/dev/fd``: a pipe
    of root opens for no other user, and a socket for nobody.

    Args:
        spec: The program.
        sockets: Descriptors of the host by name.
        announced: Whether the variable ``LISTEN_PID`` is set.

    Raises:
        SpawnError: If this host has neither such a shell nor a Python interpreter.
    """
    pid = _PID if announced else ""
    descriptors = tuple(sockets.values())
    if len(descriptors) == 1 and spec.stdin is None and not spec.pty:
        words = ["/bin/sh", "-c", f'exec 3<&0 0</dev/null; {pid}exec "$0" "$@"']
        return Placement(words, descriptors[0], ())
    places = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + len(descriptors))
    overlaps = any(descriptor in places for descriptor in descriptors)
    if not overlaps and (shell := _shell()) is not None:
        moves = " ".join(f"{place}<&{given} {given}<&-" for place, given in zip(places, descriptors, strict=True))
        return Placement([*shell, "-c", f'exec {moves}; {pid}exec "$0" "$@"'], None, descriptors)
    if (why := missing_interpreter()) is not None or not os.path.isfile(_PROGRAM):
        raise SpawnError(
            f"service {spec.id!r} cannot be started with listen={list(sockets)}: that needs bash or a Python "
            f"interpreter ({why or f'{_PROGRAM!r} is not there'}); install bash",
            errno=errno.ENOTSUP,
            filename=spec.argv[0],
        )
    given = ",".join(map(str, descriptors))
    words = [sys.executable, "-I", "-S", "-E", _PROGRAM, given, "pid" if announced else "-"]
    return Placement(words, None, descriptors)


def _shell() -> list[str] | None:
    """Return a shell that takes descriptors of two digits; None without one."""
    # Privileged mode, so that it runs no file of BASH_ENV and takes no function from the environment.
    if (bash := locate("bash", os.environ.get("PATH"))) is not None:
        return [bash, "-p"]
    return ["/bin/sh"] if _takes_two_digits() else None


@functools.cache
def _takes_two_digits() -> bool:
    """Return whether ``/bin/sh`` takes such descriptors, as that of busybox does. The first call runs a trial."""
    with open(os.devnull, "rb") as null:
        given = fcntl.fcntl(null.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", f"exec 3<&{given} && echo taken"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(given,),
            timeout=_TRIAL_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        os.close(given)
    return done.stdout == b"taken\n"
