"""Alive: the option for liveness checks of a program that is ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.composition import Probe, leaves
from aioverseer.core.options.meant import probe_for
from aioverseer.core.options.numbers import no_seconds, no_whole_number
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.unknown import answers_unknown

__all__ = ["Alive"]


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class Alive:
    """Rules of the liveness checks of a program that is ready.

    Attributes:
        probe: Probe to repeat; see ``aioverseer.ready``. ``ready.notify()`` is the watchdog of sd_notify(3): the
            program gets ``every`` in ``WATCHDOG_USEC`` and must send ``WATCHDOG=1`` within each such time.
        every: Seconds from one check to the next.
        timeout: Seconds that one check may take.
        failures: Number of failed checks in a row that make the program unhealthy.
        successes: Number of successful checks in a row that make an unhealthy program healthy again.
        grace: Seconds after the program became ready in which failed checks do not count.
        action: ``"restart"`` stops the run by its ladder, and the Restart policy judges it as a failure. ``"mark"``
            only reports it, by an event and in ``why()``.
        stop: Ladder of signals and commands for a run that is not alive, in place of that of the program. A program
            that hangs rarely answers its usual signal, and may say where it hangs: ``Stop(signal.SIGABRT, 5)``. None is
            the ladder of the program.
    """

    probe: Probe
    every: float
    timeout: float
    failures: int
    successes: int
    grace: float
    action: Literal["restart", "mark"]
    stop: Stop | None

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
        stop: Stop | None = None,
    ) -> None:
        """Check and store the options.

        Raises:
            SpecError: Naming the option and the value.
        """
        if not isinstance(probe, Probe):
            raise _refused("probe", probe, f"is no probe: pass {probe_for(probe) or 'for example ready.tcp(8000)'}")
        for leaf in leaves(probe):
            if leaf.comes_once:
                raise _refused("probe", str(leaf), "comes once: it tells that a program is ready, not that it lives")
        for name, value, least in (("every", every, 0.001), ("timeout", timeout, 0.001), ("grace", grace, 0.0)):
            if (why := no_seconds(value, least=least)) is not None:
                raise _refused(name, value, why)
        for name, count in (("failures", failures), ("successes", successes)):
            if (why := no_whole_number(count, "checks", least=1)) is not None:
                raise _refused(name, count, why)
        if action not in ("restart", "mark"):
            raise _refused("action", action, 'is unknown: pass "restart" or "mark"')
        if stop is not None and not isinstance(stop, Stop):
            raise _refused("stop", stop, "is no ladder: pass a Stop, for example Stop(signal.SIGABRT, 5)")
        if stop is not None and action == "mark":
            raise _refused("stop", stop, 'is never used: action="mark" stops nothing')
        settle = object.__setattr__  # the only way to set a field of a frozen dataclass
        settle(self, "probe", probe)
        settle(self, "every", float(every))
        settle(self, "timeout", float(timeout))
        settle(self, "failures", failures)
        settle(self, "successes", successes)
        settle(self, "grace", float(grace))
        settle(self, "action", action)
        settle(self, "stop", stop)


def _refused(name: str, value: object, why: str) -> SpecError:
    return SpecError(f"Alive: {name}={value!r} {why}", option="alive", value=value)
