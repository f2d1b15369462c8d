"""Recycle: the option for programs that are replaced while they work, because of their memory or their age."""

from __future__ import annotations

from dataclasses import dataclass

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.numbers import is_number, no_seconds, no_whole_number
from aioverseer.core.options.unknown import answers_unknown

__all__ = ["Recycle"]


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class Recycle:
    """Limits at which a run is replaced by a new one. A restart for that reason costs nothing of the restart budget.

    Attributes:
        memory: Bytes that the program and all that it has started may use together, as ``Usage.memory`` counts them.
            None is no limit. The kernel does not enforce it, unlike ``memory_max``.
        hold: Seconds for which the memory must have been above the limit at each look.
        age: Seconds after which a run that is ready is replaced; None is no limit.
        spread: Part of the age by which it differs from run to run, at random, so that services that began together
            are not replaced together: 0.2 is up to 20 % less or more.
    """

    memory: int | None
    hold: float
    age: float | None
    spread: float

    def __init__(
        self, *, memory: int | None = None, hold: float = 30.0, age: float | None = None, spread: float = 0.2
    ) -> None:
        """Check and store the options.

        Raises:
            SpecError: Naming the option and the value.
        """
        if memory is None and age is None:
            raise _refused("memory", memory, "leaves no limit, as age is None too: give memory= in bytes, or age=")
        if memory is not None and (why := no_whole_number(memory, "bytes", least=1, none="for no limit")) is not None:
            raise _refused("memory", memory, why)
        if (why := no_seconds(hold)) is not None:
            raise _refused("hold", hold, why)
        if age is not None and (why := no_seconds(age, above=True, none="for no limit")) is not None:
            raise _refused("age", age, why)
        if not is_number(spread) or not 0 <= spread < 1:
            raise _refused("spread", spread, "is no part: pass 0 or more, and less than 1")
        settle = object.__setattr__  # the only way to set a field of a frozen dataclass
        settle(self, "memory", memory)
        settle(self, "hold", float(hold))
        settle(self, "age", None if age is None else float(age))
        settle(self, "spread", float(spread))


def _refused(name: str, value: object, why: str) -> SpecError:
    return SpecError(f"Recycle: {name}={value!r} {why}", option="recycle", value=value)
