"""Checks of the options of an Overseer itself."""

from __future__ import annotations

import math

from aioverseer.core.errors import SpecError
from aioverseer.core.options.foreign import answer_to
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.numbers import no_seconds, no_whole_number

__all__ = ["answer_of_services", "check_max_starting", "check_overseer_options", "check_rate"]

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


def check_rate(value: object) -> float:
    """Check the option ``restart_rate``.

    Args:
        value: Restarts a second.

    Raises:
        SpecError: If the value is no rate.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise SpecError(
            f"restart_rate={value!r} is no rate: pass restarts a second, more than 0, or None for no limit",
            option="restart_rate",
            value=value,
        )
    return float(value)


def check_max_starting(value: object) -> int:
    """Check the option ``max_starting``.

    Raises:
        SpecError: If the value is no number of programs.
    """
    if (why := no_whole_number(value, "programs", least=1)) is not None or not isinstance(value, int):
        raise SpecError(f"max_starting={value!r} {why}, or None for no limit", option="max_starting", value=value)
    return value


def answer_of_services(name: str) -> str | None:
    """Return the answer to an option of a service, or to such an option of another tool; None for an unknown name."""
    if name in _OF_SERVICES:
        return f"it is an option of each service: overseer.add('web', 'python', '-m', 'app', {name}=...)"
    answer = answer_to(name)
    return None if answer is None else f"for a service, {answer}"


def _refused(option: str, value: object, why: str) -> SpecError:
    return SpecError(f"{option}={value!r} {why}", option=option, value=value)
