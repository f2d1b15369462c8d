"""Base of a state machine whose rules are a table: (state, type of input) -> rule.

A rule is a method: it reads the input, sets the state, and returns the actions to perform as values.
An input without a rule raises IllegalInput and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from aioverseer.core.state import State

__all__ = [
    "Action",
    "Arm",
    "Disarm",
    "Guards",
    "IllegalInput",
    "Input",
    "Machine",
    "Rules",
    "Transition",
    "Value",
    "rows",
]


class Value:
    """Base of inputs and actions. Two values are equal if their types and fields are equal.

    Plain classes instead of frozen dataclasses, for speed: each restart makes a dozen values, and two dozen dataclasses
    would slow the import. Users never see them: they stay between a machine and its runner.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and type(self) is type(other) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._fields().items())
        return f"{type(self).__name__}({shown})"

    def _fields(self) -> dict[str, object]:
        names: tuple[str, ...] = self.__slots__
        return {name: getattr(self, name) for name in names}


class Input(Value):
    """Base of the values that a machine is fed with."""

    __slots__ = ()


class Action(Value):
    """Base of the values that a machine returns to be performed."""

    __slots__ = ()


class Arm(Action):
    """Feed TimerFired after so many seconds. Replaces the armed timer."""

    __slots__ = ("seconds",)

    def __init__(self, *, seconds: float) -> None:
        self.seconds = seconds


class Disarm(Action):
    """Cancel the armed timer."""

    __slots__ = ()


class Transition(Action):
    """Report a change of the state. Always the last action, so that watchers see the effects of all others."""

    __slots__ = ("previous", "reason", "state")

    def __init__(self, *, previous: State, state: State, reason: str) -> None:
        self.previous = previous
        self.state = state
        self.reason = reason


class IllegalInput(RuntimeError):
    """Error for an input that has no rule in the current state: a bug of this library, never of its user."""


A = TypeVar("A", bound=Action)

Rules = Mapping[tuple[State, type[Input]], Callable[..., list[Any]]]
"""Type of a table. Type checkers check the actions of a rule at its definition."""
Guards = Mapping[type[Input], Callable[[Any, Any], bool]]
"""Type of the guards: each returns whether its input is possible now, where a state has several phases."""


class Machine(Generic[A]):
    """State machine with one state; ``feed`` is the only writer.

    Attributes:
        state: Current state.
        reason: Reason for the state, one sentence.
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
        """Apply the rule for one input.

        Args:
            given: Input to apply.
            now: Monotonic time in seconds.

        Returns:
            Actions to perform, in order. A Transition is the last one.

        Raises:
            IllegalInput: If the state has no rule for the input, or its guard refuses it. Nothing changes then.
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
        """Set the state and its reason; for rules only."""
        self.state = state
        self.reason = reason

    def ignore(self, _given: Input) -> list[A]:
        """Do nothing."""
        return []


def rows(machine: type[Machine[Any]]) -> Iterable[tuple[State, type[Input], str]]:
    """Yield each rule of a table as (state, input type, first line of its docstring), for the docs."""
    for (state, given), rule in machine.table.items():
        yield state, given, (rule.__doc__ or "").strip().splitlines()[0]
