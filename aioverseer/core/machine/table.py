"""The mechanism of a state machine that is a table: (state, kind of input) -> rule.

``run.py`` and ``supervision.py`` are written with it. A rule is a method that reads the input, moves the state
and returns the effects to perform, as values. What is not in the table raises and changes nothing. Nothing in
here knows what the states mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from aioverseer.core.state import State

__all__ = ["Action", "Arm", "Disarm", "Guards", "IllegalInput", "Input", "Machine", "Rules", "Transition", "rows"]


class _Value:
    """A value: equal to another one with the same fields.

    Neither frozen nor a dataclass, unlike the values at the borders of this library: each restart makes a dozen, which
    takes half as long, and two dozen kinds take a fifth of the time that the import of this library takes. They never
    leave the machine and the loop that feeds it.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Value) and type(self) is type(other) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._fields().items())
        return f"{type(self).__name__}({shown})"

    def _fields(self) -> dict[str, object]:
        names: tuple[str, ...] = self.__slots__
        return {name: getattr(self, name) for name in names}


class Input(_Value):
    """Base of what a machine is fed with."""

    __slots__ = ()


class Action(_Value):
    """Base of the effects that a machine asks for."""

    __slots__ = ()


class Arm(Action):
    """Feed the machine ``Due`` after so many seconds; replaces the timer that is armed."""

    __slots__ = ("seconds",)

    def __init__(self, *, seconds: float) -> None:
        self.seconds = seconds


class Disarm(Action):
    """Forget the timer that is armed."""

    __slots__ = ()


class Transition(Action):
    """Tell that the state has changed; always the last action, so that news follow effects."""

    __slots__ = ("previous", "reason", "state")

    def __init__(self, *, previous: State, state: State, reason: str) -> None:
        self.previous = previous
        self.state = state
        self.reason = reason


class IllegalInput(RuntimeError):
    """A machine was fed with what its state has no rule for: a bug of this library, never of its user."""


A = TypeVar("A", bound=Action)

Rules = Mapping[tuple[State, type[Input]], Callable[..., list[Any]]]
"""A table; that each rule returns actions of its machine is checked where the rule is written."""
Guards = Mapping[type[Input], Callable[[Any, Any], bool]]
"""Whether an input that a state has a rule for can come now; for machines whose states have phases."""


class Machine(Generic[A]):
    """Owner of one state; ``feed`` is the only writer.

    Attributes:
        state: Where it is.
        reason: Why, one sentence.
        since: Monotonic time of the last transition, in seconds.
        now: Monotonic time of the input that is being handled.
    """

    table: ClassVar[Rules] = {}
    guards: ClassVar[Guards] = {}
    name: ClassVar[str] = ""

    def __init__(self) -> None:
        self.state = State.INITIAL
        self.reason = "it has not been started"
        self.since = 0.0
        self.now = 0.0

    def feed(self, given: Input, now: float) -> list[A | Transition]:
        """Take one input and return what is to be done, in order, news last.

        Args:
            given: What happened.
            now: Monotonic time in seconds.

        Raises:
            IllegalInput: When the state has no rule for it, or it cannot come now; nothing has changed then.
        """
        previous, kind = self.state, type(given)
        rule, guard = self.table.get((previous, kind)), self.guards.get(kind)
        if rule is None or not (guard is None or guard(self, given)):
            raise IllegalInput(f"{self.name}: {kind.__name__} has no rule in state {previous}")
        self.now = now
        actions: list[A | Transition] = rule(self, given)
        if self.state is not previous:
            self.since = now
            actions.append(Transition(previous=previous, state=self.state, reason=self.reason))
        return actions

    def to(self, state: State, reason: str) -> None:
        """Move; for rules only."""
        self.state = state
        self.reason = reason

    def ignore(self, _given: Input) -> list[A]:
        """Nothing to do."""
        return []


def rows(machine: type[Machine[Any]]) -> Iterable[tuple[State, type[Input], str]]:
    """Yield each rule of a table as (state, input, first line of its docstring), for the docs."""
    for (state, given), rule in machine.table.items():
        yield state, given, (rule.__doc__ or "").strip().splitlines()[0]
