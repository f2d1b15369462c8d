"""Checks of the options of an Overseer itself."""

from __future__ import annotations

from aioverseer.core.errors import SpecError
from aioverseer.core.options.foreign import answer_to
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.numbers import no_seconds

__all__ = ["answer_of_services", "check_overseer_options"]

_OF_SERVICES = frozenset(SpecOptions.__annotations__)


def check_overseer_options(
    *,
    name: object,
    shutdown_timeout: object,
    handle_signals: object,
    raise_fd_limit: object,
    notify_systemd: object = False,
    clock: object,
    rng: object,
) -> None:
    """Check the options that no other value checks; see ``Overseer``.

    Args:
        name: Name in messages and logs.
        shutdown_timeout: Seconds, or None.
        handle_signals: True or False.
        raise_fd_limit: True or False.
        notify_systemd: True or False.
        clock: A ``Clock``, or None.
        rng: Source of random numbers, or None.

    Raises:
        SpecError: Naming the option and the value.
    """
    if not isinstance(name, str) or not name or not name.isprintable():
        raise _refused("name", name, "is no name: pass a non-empty str")
    if shutdown_timeout is not None and (why := no_seconds(shutdown_timeout, none="for the time of the ladders")):
        raise _refused("shutdown_timeout", shutdown_timeout, why)
    if not isinstance(handle_signals, bool):
        raise _refused("handle_signals", handle_signals, "is neither: pass True for SIGINT and SIGTERM, or False")
    if not isinstance(raise_fd_limit, bool):
        why = "is neither: pass True for the hard limit, or False; rlimits={'nofile': 1024} is for a program"
        raise _refused("raise_fd_limit", raise_fd_limit, why)
    if not isinstance(notify_systemd, bool):
        raise _refused("notify_systemd", notify_systemd, "is neither: pass True to report to systemd, or False")
    if clock is not None and not callable(getattr(clock, "call_at", None)):
        raise _refused("clock", clock, "is no clock: pass an aioverseer.abc.Clock, with now() and call_at()")
    if rng is not None and not callable(getattr(rng, "uniform", None)):
        raise _refused("rng", rng, "gives no random numbers: pass for example random.Random(1)")


def answer_of_services(name: str) -> str | None:
    """Return the answer to an option of a service, or to such an option of another tool; None for an unknown name."""
    if name in _OF_SERVICES:
        return f"it is an option of each service: overseer.add('web', 'python', '-m', 'app', {name}=...)"
    answer = answer_to(name)
    return None if answer is None else f"for a service, {answer}"


def _refused(option: str, value: object, why: str) -> SpecError:
    return SpecError(f"{option}={value!r} {why}", option=option, value=value)
