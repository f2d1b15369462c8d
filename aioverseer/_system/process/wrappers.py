"""The changes to a process between its spawn and the exec of its program, as a prefix of the command line.

CPython has the arguments ``user=``, ``group=`` and ``preexec_fn``, but they make it fork. A fork copies the page tables
of the host, which blocks the event loop of a large application for tens of milliseconds. Small programs of the system
make the same changes after a vfork, and then exec the program. Checks that are possible before the spawn are made here,
so that an error names the option and not an exit code.
"""

from __future__ import annotations

import grp
import os
import pwd
import resource
from collections.abc import Mapping
from typing import NamedTuple

from aioverseer._system.process.privileges import ambient_options, cpu_words, io_words, oom_words
from aioverseer._system.process.wrapper_tools import refuse, tool
from aioverseer.core.options.spec import Spec

__all__ = ["passing", "prefix_for"]


def prefix_for(spec: Spec) -> list[str]:
    """Return the words to put before ``spec.argv``; empty where the Spec asks for no change.

    Raises:
        SpawnError: If this host may not or cannot make a change. It names the option, the value and the reason.
    """
    if (
        spec.umask is spec.nice is spec.user is spec.oom_score_adj is None
        and spec.io_class is None
        and not (spec.rlimits or spec.extra_groups or spec.cpus)
        and not (spec.no_new_privileges or spec.ambient_capabilities)
    ):
        return []
    # The user comes last: limits and priority may need the rights that this step gives up.
    scheduling = [*oom_words(spec), *cpu_words(spec), *io_words(spec)]
    return [*_umask(spec), *_nice(spec), *_rlimits(spec), *scheduling, *_setpriv(spec)]


def passing(descriptors: Mapping[int, int]) -> list[str]:
    """Return the words that move inherited descriptors to the numbers that a program expects.

    ``subprocess`` passes a descriptor under its own number only, and the wanted number may be in use in the host.

    Args:
        descriptors: The wanted numbers, of one digit each, and the inherited descriptors.

    Returns:
        The words; empty without descriptors.
    """
    if not descriptors:
        return []
    # By path, as a POSIX shell need not support numbers of two digits. A path opens the pipe once more, so the program
    # keeps the inherited descriptor as well. That does no harm, as no reader waits for the end of this pipe.
    moves = " ".join(f"{place}>/dev/fd/{inherited}" for place, inherited in descriptors.items())
    return ["/bin/sh", "-c", f'exec {moves}; exec "$0" "$@"']


def _umask(spec: Spec) -> list[str]:
    if spec.umask is None:
        return []
    # The shell does not parse the program and its arguments: "$0" and "$@" pass them on as they are.
    return [tool(spec, "sh", "umask", spec.umask), "-c", f'umask {spec.umask:03o}; exec "$0" "$@"']


def _nice(spec: Spec) -> list[str]:
    if spec.nice is None:
        return []
    increment = spec.nice - os.getpriority(os.PRIO_PROCESS, 0)
    if increment == 0:
        return []
    # nice(1) prints no more than a warning when it may not lower the number, and runs the program nevertheless.
    if increment < 0 and os.geteuid() != 0 and not _may_be_raised(spec.nice):
        raise refuse(spec, "nice", spec.nice, "only root may make a program more urgent than the host")
    return [tool(spec, "nice", "nice", spec.nice), "-n", str(increment)]


def _may_be_raised(nice: int) -> bool:
    limit = resource.getrlimit(resource.RLIMIT_NICE)[0]
    return limit == resource.RLIM_INFINITY or nice >= 20 - limit


def _rlimits(spec: Spec) -> list[str]:
    if not spec.rlimits:
        return []
    words = [tool(spec, "prlimit", "rlimits", dict(spec.rlimits))]
    for name, limit in spec.rlimits.items():
        soft, hard = limit if isinstance(limit, tuple) else (limit, limit)
        known = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if known is not None and os.geteuid() != 0:
            highest = resource.getrlimit(known)[1]
            if highest != resource.RLIM_INFINITY and (hard == -1 or hard > highest):
                raise refuse(
                    spec,
                    f"rlimits[{name!r}]",
                    limit,
                    f"the hard limit of the host is {highest}, and only root may raise it",
                )
        words.append(f"--{name}={_shown(soft)}:{_shown(hard)}")
    return words


def _shown(number: int) -> str:
    return "unlimited" if number == -1 else str(number)


class _Ids(NamedTuple):
    uid: int | None
    gid: int | None
    name: str | None


def _setpriv(spec: Spec) -> list[str]:
    """Return the words of setpriv(1), in one call: it sets what a later call would not be allowed to set any more."""
    options = [*_identity(spec), *ambient_options(spec), *(["--no-new-privs"] if spec.no_new_privileges else [])]
    if not options:
        return []
    given = {
        "user": spec.user,
        "extra_groups": spec.extra_groups,
        "ambient_capabilities": spec.ambient_capabilities,
        "no_new_privileges": spec.no_new_privileges,
    }
    option = next(name for name, value in given.items() if value not in (None, (), False))
    return [tool(spec, "setpriv", option, given[option]), *options]


def _identity(spec: Spec) -> list[str]:
    groups = [_gid(spec, "extra_groups", group) for group in spec.extra_groups]
    ids = _ids(spec)
    if ids is None and not groups:
        return []
    option, value = ("user", spec.user) if ids is not None else ("extra_groups", spec.extra_groups)
    same = ids is not None and ids.uid in (None, os.geteuid()) and ids.gid in (None, os.getegid())
    if same and not groups:
        return []
    if os.geteuid() != 0:
        raise refuse(spec, option, value, "only root may run a program as another user")
    words: list[str] = []
    if ids is not None and ids.uid is not None:
        words.append(f"--reuid={ids.uid}")
    if ids is not None and ids.gid is not None:
        words.append(f"--regid={ids.gid}")
    if groups:
        words.append("--groups=" + ",".join(str(gid) for gid in groups))
    elif ids is not None and ids.name is not None:
        words.append("--init-groups")
    else:
        words.append("--clear-groups")
    return words


def _ids(spec: Spec) -> _Ids | None:
    if spec.user is None:
        return None
    text = str(spec.user)
    who, _, group = text.partition(":")
    gid = _gid(spec, "user", group) if group else None
    try:
        entry = pwd.getpwuid(int(who)) if who.isdecimal() else pwd.getpwnam(who)
    except KeyError:
        if not who.isdecimal():
            raise refuse(spec, "user", spec.user, f"there is no user {who!r} on this system") from None
        return _Ids(uid=int(who), gid=gid, name=None)
    return _Ids(uid=entry.pw_uid, gid=entry.pw_gid if gid is None else gid, name=entry.pw_name)


def _gid(spec: Spec, option: str, group: str | int) -> int:
    if isinstance(group, int) or group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise refuse(spec, option, group, f"there is no group {group!r} on this system") from None
