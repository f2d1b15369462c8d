"""The option ``after``: the services that a service waits for, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from aioverseer.core.errors import DependencyCycle, SpecError
from aioverseer.core.export import exported_from

__all__ = ["After", "Until", "as_after"]

Until = Literal["started", "ready", "finished", "success"]
"""What is waited for: see ``After``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, init=False)
class After:
    """That a service is started after another one, and what the other's later fate means for it.

    Attributes:
        name: The other service.
        until: ``"started"``: its program has been started. ``"ready"``: it is ready, or has been and has then finished.
            ``"finished"``: it has ended for good, however. ``"success"``: it has finished by itself, as a success.
        hard: Whether it is needed. When what is waited for cannot come true any more, a service that needs it is not
            started and ends FATAL; one that does not is started then. What is not needed need not be registered either.
        on_restart: What a new run of the other does to this one, once it is ready: nothing, or a restart.
        on_end: What the end of the other for good, or its stop, does to this one: nothing, or a stop. An end that was
            waited for (``"finished"``, ``"success"``) does nothing.
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
        """Make the value.

        Raises:
            SpecError: Naming the argument and the value that cannot be.
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
        settle = object.__setattr__
        settle(self, "name", name)
        settle(self, "until", until)
        settle(self, "hard", bool(hard))
        settle(self, "on_restart", on_restart)
        settle(self, "on_end", on_end)

    def __str__(self) -> str:
        """Return what is waited for, as words of a sentence."""
        return f"{self.name!r} {_WORDS[self.until]}"


_WORDS = {
    "started": "to be started",
    "ready": "to be ready",
    "finished": "to end",
    "success": "to end as a success",
}


def as_after(value: Any, *, owner: str) -> tuple[After, ...]:
    """Read the option ``after``: a name, an After, a list of them, or a dict of names to what is waited for.

    Args:
        value: What was given.
        owner: Id of the service.

    Raises:
        SpecError: When that is none of these, or names one twice, or the service itself.
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
        if not isinstance(given, Iterable):
            raise _refused(owner, shown, 'is not understood: pass "db", ["db", "cache"] or {"migrate": "success"}')
        for item in cast("Iterable[object]", given):
            if not isinstance(item, str | After):
                raise _refused(owner, shown, f"holds {item!r}, which is no name of a service: pass a str or an After")
            items.append(item if isinstance(item, After) else After(item))
    names = [item.name for item in items]
    for name in names:
        if names.count(name) > 1:
            raise _refused(owner, shown, f"names {name!r} twice")
    if owner in names:
        raise DependencyCycle(f"service {owner!r}: after={owner!r} is itself", option="after", value=owner)
    return tuple(items)


def _refused(owner: str, value: object, why: str) -> SpecError:
    return SpecError(f"service {owner!r}: after={value!r} {why}", option="after", value=value)
