"""The option ``on_give_up``: what follows when a service or a group has spent its restart budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from aioverseer.core.errors import SpecError

__all__ = ["OnGiveUp", "check_on_give_up", "consequences"]

OnGiveUp = Literal["leave", "stop", "end"] | Callable[[Any], object]
"""Consequence when a service, or a group without a parent that restarts it, gives up.

``"leave"``: nothing more. ``"stop"``: the other members of its group are stopped; for a service without a group, and
for a group, all services of the overseer. ``"end"``: the overseer ends with ``CriticalServiceEnded``. A function, plain
or async, is called with the ``GaveUp``.
"""


def check_on_give_up(value: object, owner: str) -> None:
    """Check the option ``on_give_up``.

    Args:
        value: Value of the option.
        owner: Service or group that has the option, for the message.

    Raises:
        SpecError: Naming the owner and the value.
    """
    if not callable(value) and value not in ("leave", "stop", "end"):
        raise SpecError(
            f"{owner}: on_give_up={value!r} is unknown: pass 'leave', 'stop', 'end' or a function",
            option="on_give_up",
            value=value,
        )


def consequences(*, critical: bool, on_give_up: OnGiveUp, gave_up: bool) -> tuple[OnGiveUp, ...]:
    """Return the consequences, in order, of a service that has ended for good by itself.

    The end of a critical service ends the overseer, whatever its reason. If it gave up, a function given as
    ``on_give_up`` is called first.
    """
    chosen = on_give_up if gave_up else "leave"
    if not critical:
        return () if chosen == "leave" else (chosen,)
    return (chosen, "end") if callable(chosen) else ("end",)
