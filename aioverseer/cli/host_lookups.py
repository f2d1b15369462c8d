"""Lookups on this machine for ``aioverseer check``: programs, folders, users, packages, and controllers of cgroups."""

from __future__ import annotations

import contextlib
import grp
import importlib.util
import os
import pwd
from collections.abc import Callable, Collection, Iterable, Iterator

from aioverseer import Spec
from aioverseer.config import Advice

__all__ = ["controllers_of_host", "is_found", "refusals"]

_LIMITS = {"memory_max": "memory", "pids_max": "pids", "cpu_max": "cpu"}
"""Options that need a controller of cgroup v2, and its name."""


def refusals(
    specs: Iterable[Spec],
    *,
    controllers: Callable[[], Collection[str] | None] | None = None,
    is_installed: Callable[[str], bool] | None = None,
) -> Iterator[Advice]:
    """Yield advice about options with which this machine would refuse to start a service.

    Args:
        specs: The Specs of one overseer.
        controllers: Function that returns the controllers of cgroup v2; None from it if they are not known.
        is_installed: Function that returns whether a package can be imported.
    """
    for spec in specs:
        for rule, text, hint in _refusals_of(spec, controllers or controllers_of_host, is_installed or _is_installed):
            yield Advice(service=spec.id, rule=rule, text=text, hint=hint)


def _refusals_of(
    spec: Spec, controllers: Callable[[], Collection[str] | None], is_installed: Callable[[str], bool]
) -> Iterator[tuple[str, str, str]]:
    if spec.cwd is not None and not os.path.isdir(spec.cwd):
        yield "missing-folder", f"there is no folder {spec.cwd!r} for cwd", "make it, or change cwd"
    yield from _unknown_names(spec)
    if spec.watch is not None and not is_installed("watchdog"):
        yield (
            "missing-watchdog",
            "watch needs the package watchdog, which is not installed",
            "pip install 'aioverseer[watch]', or leave watch out",
        )
    yield from _lacking_controllers(spec, controllers)


def _lacking_controllers(
    spec: Spec, controllers: Callable[[], Collection[str] | None]
) -> Iterator[tuple[str, str, str]]:
    limits = {name: controller for name, controller in _LIMITS.items() if getattr(spec, name) is not None}
    known = controllers() if limits else None
    if known is not None and (lacking := [name for name, controller in limits.items() if controller not in known]):
        wanted = " and ".join(limits[name] for name in lacking)
        yield (
            "missing-controller",
            f"{' and '.join(lacking)} cannot be enforced, as cgroup v2 of this machine does not have {wanted}",
            f'run it where cgroup v2 has it, or leave the limit out: {lacking[0]} = "none"',
        )


def _unknown_names(spec: Spec) -> Iterator[tuple[str, str, str]]:
    user, _, group = str(spec.user or "").partition(":")
    if user and not user.isdecimal() and not _is_known(pwd.getpwnam, user):
        yield "missing-user", f"there is no user {user!r} on this system", "make it, or change user"
    for option, name in (("user", group), *(("extra_groups", str(name)) for name in spec.extra_groups)):
        if name and not name.isdecimal() and not _is_known(grp.getgrnam, name):
            yield "missing-group", f"there is no group {name!r} on this system", f"make it, or change {option}"


def _is_known(look_up: Callable[[str], object], name: str) -> bool:
    try:
        look_up(name)
    except KeyError:
        return False
    return True


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def controllers_of_host(mounts: str = "/proc/self/mounts") -> Collection[str] | None:
    """Return the controllers of cgroup v2 on this machine; None if the kernel does not tell.

    A controller that is there may still not be delegated to this process; only a start can tell.

    Args:
        mounts: Path of the list of mounts.
    """
    with contextlib.suppress(OSError), open(mounts, encoding="utf-8", errors="surrogateescape") as file:
        points = [fields[1] for fields in map(str.split, file) if fields[2] == "cgroup2"]
        if not points:
            return ()
        with open(f"{points[0]}/cgroup.controllers", encoding="utf-8") as names:
            return names.read().split()
    return None


def is_found(program: str, folder: str | None, path: str | None) -> bool:
    """Return whether a program can be executed.

    Args:
        program: The name, or a path.
        folder: The working folder; None is that of this process.
        path: The PATH in which to look; None is that of this process, and an empty one that of the system.
    """
    folders = [""]
    if "/" not in program:
        folders = (os.environ.get("PATH", os.defpath) if path is None else path or os.defpath).split(os.pathsep)
    found = (os.path.join(folder or "", each, program) for each in folders)
    return any(os.access(each, os.X_OK) and not os.path.isdir(each) for each in found)
