"""Roll: the option for rolling restarts of a set of instances."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.composition import Probe
from aioverseer.core.options.numbers import no_seconds
from aioverseer.core.options.unknown import answers_unknown

__all__ = ["OnRollFailure", "Roll"]

OnRollFailure = Literal["rollback", "pause", "continue"]
"""Consequence of a roll that fails; see ``Roll.on_failure``."""

_PERCENT = re.compile(r"\s*(100|[0-9]{1,2})\s*%\s*")


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class Roll:
    """Rules of a rolling restart: each instance gets a new run, and enough of them serve at every moment.

    An instance is available once it has been ready for ``min_ready`` seconds without an end. Of n wanted instances, at
    least n - ``unavailable`` are available, and at most n + ``surge`` runs live.

    Attributes:
        surge: Number of runs beyond the wanted ones, or a percentage such as ``"25%"`` of them, rounded up. With 0 an
            old run ends before its successor begins.
        unavailable: Number of instances that may be unavailable meanwhile, or a percentage, rounded down. It may not
            be 0 together with ``surge``. Where both percentages come to 0, one instance may be unavailable.
        min_ready: Seconds for which a new run must have been ready. None is 0 for a program with ``ready``, and 1
            without. Choose more than the time that ``alive`` takes to notice a program that hangs.
        deadline: Seconds within which one more instance must become available. Otherwise the roll has failed. None is
            no limit.
        on_failure: ``"rollback"`` stops the new runs, and brings the old Spec back where it was replaced already.
            ``"pause"`` leaves the set as it is, until ``resume_roll`` or ``cancel_roll``. ``"continue"`` leaves the
            instance that has failed, and goes on with the others.
    """

    surge: int | str
    unavailable: int | str
    min_ready: float | None
    deadline: float | None
    on_failure: OnRollFailure

    def __init__(
        self,
        *,
        surge: int | str = 1,
        unavailable: int | str = 0,
        min_ready: float | None = None,
        deadline: float | None = 120.0,
        on_failure: OnRollFailure = "rollback",
    ) -> None:
        """Check and store the options.

        Raises:
            SpecError: Naming the option and the value.
        """
        for name, number in (("surge", surge), ("unavailable", unavailable)):
            if not _is_number_of_runs(number):
                raise _refused(
                    name, number, 'is no number of instances: pass 0 or more, or a percentage such as "25%", up to 100%'
                )
        if _is_zero(surge) and _is_zero(unavailable):
            raise _refused("surge", surge, "leaves no way to begin, as unavailable is 0 too: give one of them 1")
        if min_ready is not None and (why := no_seconds(min_ready, none="for 0 s with ready, and 1 s without")):
            raise _refused("min_ready", min_ready, why)
        if deadline is not None and (why := no_seconds(deadline, above=True, none="for no limit")):
            raise _refused("deadline", deadline, why)
        if on_failure not in ("rollback", "pause", "continue"):
            raise _refused("on_failure", on_failure, 'is unknown: pass "rollback", "pause" or "continue"')
        settle = object.__setattr__  # the only way to set a field of a frozen dataclass
        settle(self, "surge", surge)
        settle(self, "unavailable", unavailable)
        settle(self, "min_ready", None if min_ready is None else float(min_ready))
        settle(self, "deadline", None if deadline is None else float(deadline))
        settle(self, "on_failure", on_failure)

    def bounds(self, wanted: int) -> tuple[int, int]:
        """Return how many runs may live in addition, and how many instances may be unavailable.

        Args:
            wanted: Number of instances.
        """
        surge = self.surge if isinstance(self.surge, int) else -(-wanted * _percent_of(self.surge) // 100)
        least = self.unavailable
        unavailable = least if isinstance(least, int) else wanted * _percent_of(least) // 100
        return (surge, unavailable) if surge or unavailable else (0, 1)

    def min_ready_of(self, ready: Probe | None) -> float:
        """Return the seconds for which a run must have been ready to be available, given its probe of readiness."""
        if self.min_ready is not None:
            return self.min_ready
        return 1.0 if ready is None else 0.0


def _is_number_of_runs(value: object) -> bool:
    if isinstance(value, str):
        return _PERCENT.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_zero(value: int | str) -> bool:
    return value == 0 if isinstance(value, int) else _percent_of(value) == 0


def _percent_of(text: str) -> int:
    found = _PERCENT.fullmatch(text)
    return 0 if found is None else int(found[1])


def _refused(name: str, value: object, why: str) -> SpecError:
    return SpecError(f"Roll: {name}={value!r} {why}", option="roll", value=value)
