"""Liveness: whether a program that is ready still does its work, and when it is to be treated as one that does not.

The policy is a value and the judgement is pure. Who asks, and what follows, lives elsewhere.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.composition import Probe, leaves

__all__ = ["Alive"]


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, init=False)
class Alive:
    """The policy: how a program that is ready is asked whether it is well, and what is done when it is not.

    Attributes:
        probe: What is asked, see ``aioverseer.ready``. ``ready.notify()`` is the watchdog of sd_notify(3): the program
            is told ``every`` in ``WATCHDOG_USEC``, and has to send ``WATCHDOG=1`` within each such time.
        every: Seconds from one check to the next.
        timeout: Seconds that a check may take.
        failures: Checks in a row that have to fail.
        successes: Checks in a row that have to succeed for one that was not well to be well again.
        grace: Seconds after it became ready in which a failed check does not count.
        action: ``"restart"`` ends the run by its ladder, and the Restart policy judges that as a failure; ``"mark"``
            only tells of it, by an event and in ``why()``.
    """

    probe: Probe
    every: float
    timeout: float
    failures: int
    successes: int
    grace: float
    action: Literal["restart", "mark"]

    def __init__(
        self,
        probe: Probe,
        *,
        every: float = 10.0,
        timeout: float = 3.0,
        failures: int = 3,
        successes: int = 1,
        grace: float = 0.0,
        action: Literal["restart", "mark"] = "restart",
    ) -> None:
        """Make the policy.

        Raises:
            SpecError: Naming the argument and the value that cannot be.
        """
        if not isinstance(probe, Probe):
            raise _refused("probe", probe, "is no probe: pass for example ready.tcp(8000)")
        for leaf in leaves(probe):
            if leaf.comes_once:
                raise _refused("probe", str(leaf), "comes once: it tells that a program is ready, not that it lives")
        for name, value, least in (("every", every, 0.001), ("timeout", timeout, 0.001), ("grace", grace, 0.0)):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not least <= value <= sys.float_info.max:
                raise _refused(name, value, f"is no time: pass seconds, {least:g} or more")
        for name, count in (("failures", failures), ("successes", successes)):
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise _refused(name, count, "is no number of checks: pass 1 or more")
        if action not in ("restart", "mark"):
            raise _refused("action", action, 'is unknown: pass "restart" or "mark"')
        settle = object.__setattr__
        settle(self, "probe", probe)
        settle(self, "every", float(every))
        settle(self, "timeout", float(timeout))
        settle(self, "failures", failures)
        settle(self, "successes", successes)
        settle(self, "grace", float(grace))
        settle(self, "action", action)


def _refused(name: str, value: object, why: str) -> SpecError:
    return SpecError(f"Alive: {name}={value!r} {why}", option="alive", value=value)
