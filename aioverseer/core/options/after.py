"""After: the option for dependencies on other services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from aioverseer.core.errors import DependencyCycle, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.meant import hint_for, with_hint

__all__ = ["After", "Until", "as_after"]

Until = Literal["started", "ready", "finished", "success"]
"""Condition that a dependency must meet; see ``After``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, init=False)
class After:
    """A dependency: the other service must come first, and later changes of it may affect this one.

    Attributes:
        name: Id of the other service.
        until: Condition to wait for. ``"started"``: the program of the other service has been started. ``"ready"``:
            the other service is ready, or was ready and has finished. ``"finished"``: it has ended for good,
            whatever its end. ``"success"``: it has finished by itself, as a success.
        hard: Whether this service needs the other one. If the condition can no longer be met, a service with a hard
            dependency is not started and ends FATAL; otherwise it is started then. The service of a dependency that
            is not hard need not be registered.
        on_restart: Reaction to a new run of the other service, once that is ready: ``"ignore"``, or ``"restart"``
            this service.
        on_end: Reaction to the end for good, or the stop, of the other service: ``"ignore"``, or ``"stop"`` this
            service. An end that this service waits for (``"finished"``, ``"success"``) has no such effect.
    """

    name: str
    until: Until
    hard: bool
    on_restart: Literal["ignore", "restart"]
    on_end: Literal["ignore", "stop"]

    def __init__(
        self,
        name: str,
        until: Until = "ready",
        *,
        hard: bool = True,
        on_restart: Literal["ignore", "restart"] = "ignore",
        on_end: Literal["ignore", "stop"] = "ignore",
    ) -> None:
        """Check and store the options.

        Raises:
            SpecError: Naming the option and the value.
        """
        if not isinstance(name, str) or not name:
            raise SpecError(f"After: name={name!r} is no name of a service", option="after", value=name)
        for option, value, known in (
            ("until", until, get_args(Until)),
            ("on_restart", on_restart, ("ignore", "restart")),
            ("on_end", on_end, ("ignore", "stop")),
            ("hard", hard, (True, False)),
        ):
            if value not in known:
                raise SpecError(
                    f"After({name!r}): {option}={value!r} is unknown: pass {' or '.join(map(repr, known))}",
                    option="after",
                    value=value,
                )
        settle = object.__setattr__  # the only way to set a field of a frozen dataclass
        settle(self, "name", name)
        settle(self, "until", until)
        settle(self, "hard", bool(hard))
        settle(self, "on_restart", on_restart)
        settle(self, "on_end", on_end)

    def __str__(self) -> str:
        """Return the dependency as words that follow "waits for"."""
        return f"{self.name!r} {_WORDS[self.until]}"


_WORDS = {
    "started": "to be started",
    "ready": "to be ready",
    "finished": "to end",
    "success": "to end as a success",
}


def as_after(value: Any, *, owner: str) -> tuple[After, ...]:
    """Convert the option ``after``: a name, an After, a list of them, or a dict of names to conditions.

    Args:
        value: Value of the option.
        owner: Id of the service.

    Raises:
        SpecError: For any other value, or one that names a service twice.
        DependencyCycle: For one that names the service itself.
    """
    shown: object = value
    items: list[After] = []
    if isinstance(value, Mapping):
        try:
            items = [After(name, until) for name, until in cast("Mapping[str, Until]", value).items()]
        except SpecError as error:
            raise _refused(owner, shown, f"is not understood: {error}") from None
    else:
        given = [value] if isinstance(value, str | After) else value
        if not isinstance(given, Iterable) or isinstance(given, bytes):
            raise _refused(owner, shown, 'is not understood: pass "db", ["db", "cache"] or {"migrate": "success"}')
        for item in cast("Iterable[object]", given):
            if not isinstance(item, str | After):
                raise _refused(owner, shown, f"holds {item!r}, which is no name of a service: pass a str or an After")
            if isinstance(item, str) and "," in item:
                names = [name for name in map(str.strip, item.split(",")) if name]
                raise _refused(owner, shown, f"is one text, and names are separate: write after={names!r}")
            items.append(item if isinstance(item, After) else After(item))
    names = [item.name for item in items]
    for name in names:
        if names.count(name) > 1:
            raise _refused(owner, shown, f"names {name!r} twice")
    if owner in names:
        raise DependencyCycle(
            f"service {owner!r}: after={owner!r} names the service itself: leave it out", option="after", value=owner
        )
    return tuple(items)


def _refused(owner: str, value: object, why: str) -> SpecError:
    text = with_hint(why, hint_for("after", value))
    return SpecError(f"service {owner!r}: after={value!r} {text}", option="after", value=value)
