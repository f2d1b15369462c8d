"""Restart: the policy that says after which ends a program is run again, how soon, and how often."""

from __future__ import annotations

import signal as signals
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.backoff import Backoff
from aioverseer.core.options.meant import hint_for, with_hint
from aioverseer.core.options.numbers import no_seconds, no_whole_number
from aioverseer.core.options.stop import as_signal_number
from aioverseer.core.options.unknown import answers_unknown
from aioverseer.core.state import Exit

__all__ = ["Restart", "RunEnd", "When", "is_success", "never_restarts", "wants_restart"]

When = Literal["on-failure", "always", "never", "on-abnormal"]
"""Ends after which a program is run again; see ``Restart``."""

RunEnd = Exit | None
"""End of a run, or None if the program could not be started."""

_CODES = range(256)
"""Exit codes of a program: one byte."""


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class Restart:
    """Restart policy: after which ends a program is run again, how soon, and how often.

    A success is an exit with one of ``success_codes``, or a death by one of ``success_signals``. Any other end is a
    failure: another code or signal, a status that was lost, and a program that could not be started.

    Attributes:
        when: ``"on-failure"`` restarts after each failure, ``"always"`` after every end, ``"never"`` after none, and
            ``"on-abnormal"`` after each failure without an exit code.
        max_restarts: Number of restarts allowed within the window; 3 restarts are 4 runs. 0 allows none, None any
            number.
        within: Seconds of the sliding window; None counts all restarts since the start.
        backoff: Delays before the restarts. The Backoff is used as a value, without its own counter.
        reset_after: Seconds that a run must be ready for the next delay to be the first one again.
        success_codes: Exit codes that are a success. This is the whole set: it replaces ``{0}``.
        success_signals: Signals that are a success if the program dies by them.
        prevent_codes: Exit codes after which the program is never restarted, whatever ``when`` says.
        force_codes: Exit codes after which the program is always restarted, whatever ``when`` says, as long as the
            budget allows it.
    """

    when: When
    max_restarts: int | None
    within: float | None
    backoff: Backoff
    reset_after: float
    success_codes: frozenset[int]
    success_signals: frozenset[int]
    prevent_codes: frozenset[int]
    force_codes: frozenset[int]

    def __init__(
        self,
        when: When = "on-failure",
        *,
        max_restarts: int | None = 5,
        within: float | None = 60.0,
        backoff: Backoff | None = None,
        reset_after: float = 10.0,
        success_codes: Iterable[int] = frozenset({0}),
        success_signals: Iterable[int] = frozenset(),
        prevent_codes: Iterable[int] = frozenset(),
        force_codes: Iterable[int] = frozenset(),
    ) -> None:
        """Check and store the options; each set may be any iterable.

        Args:
            when: ``"on-failure"``, ``"always"``, ``"never"`` or ``"on-abnormal"``.
            max_restarts: Number of restarts, 0 or more, or None.
            within: Seconds, more than 0, or None.
            backoff: A Backoff; None is ``Backoff(min=0.1, max=30.0, factor=2.0, jitter=True)``.
            reset_after: Seconds, 0 or more.
            success_codes: Exit codes, 0 to 255.
            success_signals: Values of ``signal.Signals``, or numbers from 1 to 64.
            prevent_codes: Exit codes, 0 to 255; none of them in ``force_codes``.
            force_codes: Exit codes, 0 to 255.

        Raises:
            SpecError: Naming the option and the value.
        """
        if when not in get_args(When):
            raise _refuse("when", when, f"is unknown: pass one of {', '.join(map(repr, get_args(When)))}")
        if max_restarts is not None:
            _require(
                "max_restarts", max_restarts, no_whole_number(max_restarts, "restarts", least=0, none="for no limit")
            )
        if within is not None:
            _require("within", within, no_seconds(within, above=True, none="for ever"))
        if backoff is None:
            backoff = Backoff(min=0.1, max=30.0, factor=2.0, jitter=True)
        _check_backoff(backoff)
        _require("reset_after", reset_after, no_seconds(reset_after))
        settle = object.__setattr__  # the only way to set a field of a frozen dataclass
        settle(self, "when", when)
        settle(self, "max_restarts", max_restarts)
        settle(self, "within", None if within is None else float(within))
        settle(self, "backoff", backoff)
        settle(self, "reset_after", float(reset_after))
        settle(self, "success_codes", _as_codes("success_codes", success_codes))
        settle(self, "success_signals", _as_signals("success_signals", success_signals))
        settle(self, "prevent_codes", _as_codes("prevent_codes", prevent_codes))
        settle(self, "force_codes", _as_codes("force_codes", force_codes))
        both = sorted(self.force_codes & self.prevent_codes)
        if both:
            raise _refuse("force_codes", both, "is in prevent_codes too: a code can force a restart or prevent it")


def is_success(policy: Restart, exit: RunEnd) -> bool:
    """Return whether the policy counts the end of a run as a success.

    Args:
        policy: Policy with the codes and signals of a success.
        exit: End of the run; None if the program could not be started.
    """
    if exit is None:
        return False
    if exit.signal is not None:
        return exit.signal in policy.success_signals
    return exit.code in policy.success_codes


def never_restarts(policy: Restart) -> bool:
    """Return whether no end of a run makes another one follow."""
    return policy.when == "never" and not policy.force_codes


def wants_restart(policy: Restart, exit: RunEnd) -> bool:
    """Return whether the policy wants another run after this end, whatever the budget.

    Args:
        policy: Policy that judges.
        exit: End of the run; None if the program could not be started.
    """
    code = None if exit is None else exit.code
    if code is not None:
        if code in policy.force_codes:
            return True
        if code in policy.prevent_codes:
            return False
    match policy.when:
        case "always":
            return True
        case "never":
            return False
        case "on-failure":
            return not is_success(policy, exit)
        case "on-abnormal":
            return code is None and not is_success(policy, exit)


def _refuse(name: str, value: object, why: str) -> SpecError:
    option = f"restart.{name}"
    return SpecError(f"{option}={value!r} {with_hint(why, hint_for(option, value))}", option=option, value=value)


def _require(name: str, value: object, why_not: str | None) -> None:
    if why_not is not None:
        raise _refuse(name, value, why_not)


def _check_backoff(value: object) -> None:
    if not isinstance(value, Backoff):
        raise _refuse("backoff", value, "is no Backoff: pass for example Backoff(min=1, max=60)")


def _as_items(name: str, values: object) -> tuple[object, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        one = f"{{signal.{values.name}}}" if isinstance(values, signals.Signals) else f"{{{values!r}}}"
        example = one if isinstance(values, int) and not isinstance(values, bool) else "for example {0, 3}"
        raise _refuse(name, values, f"is no set of numbers: pass {example}")
    return tuple(cast("Iterable[object]", values))


def _as_codes(name: str, values: object) -> frozenset[int]:
    codes: set[int] = set()
    for value in _as_items(name, values):
        if isinstance(value, signals.Signals):
            raise _refuse(name, value, f"is a signal, no exit code: write success_signals={{signal.{value.name}}}")
        if not isinstance(value, int) or isinstance(value, bool) or value not in _CODES:
            raise _refuse(name, value, f"is no exit code: pass whole numbers from 0 to 255{_as_death(value)}")
        codes.add(int(value))
    return frozenset(codes)


def _as_death(value: object) -> str:
    """Return how to write a negative number, by which ``subprocess`` means a death by a signal."""
    if isinstance(value, int) and -value in set(signals.Signals):
        return f"; for a death by a signal write success_signals={{signal.{signals.Signals(-value).name}}}"
    return ""


def _as_signals(name: str, values: object) -> frozenset[int]:
    return frozenset(as_signal_number(value, f"restart.{name}") for value in _as_items(name, values))
