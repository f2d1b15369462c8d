"""RollMachine: which instance of a rolling restart gets its new run next, and when the roll is done or has failed.

It reads what is known of each instance and returns steps. Two bounds hold for every step: at least n - ``unavailable``
instances stay available, and at most n + ``surge`` runs live.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aioverseer.core.clock import Rng
from aioverseer.core.machine.budget import Budget, Done, EndVerdict, RestartIn, Spent
from aioverseer.core.options.restart import Restart, RunEnd
from aioverseer.core.options.roll import Roll

__all__ = ["Abandon", "Begin", "Replace", "RollMachine", "RollMember", "RollStep", "RollVerdict", "TakeOver"]


class RollMember(NamedTuple):
    """The runs and the state of one instance.

    Attributes:
        is_wanted: Whether it should run.
        is_new: Whether its current run, or the last one, is of the version that the roll brings.
        is_live: Whether its current run lives.
        ready_at: Monotonic time at which that run became ready; None while it is not.
        has_ended: Whether it has ended for good by itself.
        has_successor: Whether a new run lives beside the current one.
        successor_ready_at: Monotonic time at which that run became ready; None while it is not.
        others: Number of further live runs, which are being stopped.
        is_stuck: Whether one of those has outlived its whole ladder.
        words: The reason of its state, for the reason of a failure.
    """

    is_wanted: bool = True
    is_new: bool = False
    is_live: bool = True
    ready_at: float | None = None
    has_ended: bool = False
    has_successor: bool = False
    successor_ready_at: float | None = None
    others: int = 0
    is_stuck: bool = False
    words: str = ""

    @property
    def live(self) -> int:
        """Number of live runs, with that of an instance which is about to restart."""
        has_run = self.is_live or (self.is_wanted and not self.has_ended)
        return has_run + self.has_successor + self.others


class Begin(NamedTuple):
    """Start a successor beside the current run of an instance."""

    id: str


class TakeOver(NamedTuple):
    """Make the successor the current run of its instance, and stop the old run."""

    id: str


class Replace(NamedTuple):
    """Stop the current run of an instance, if it lives, and start a new one in its place."""

    id: str


class Abandon(NamedTuple):
    """Stop the successor of an instance. Its current run goes on."""

    id: str


RollStep = Begin | TakeOver | Replace | Abandon


class RollVerdict(NamedTuple):
    """The end of a roll.

    Attributes:
        failed: The instances whose new runs have failed, with the reasons.
        why: The reason of the failure; empty if the roll is done.
    """

    failed: Mapping[str, str]
    why: str = ""


class _Stage(enum.Enum):
    """Where an instance is: untouched, with a successor, between two of them, replaced in place, done, or failed."""

    UNTOUCHED = enum.auto()
    BEGUN = enum.auto()
    RETRYING = enum.auto()
    REPLACING = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


_UNDER_WAY = (_Stage.BEGUN, _Stage.RETRYING, _Stage.REPLACING)


class RollMachine:
    """The decisions of one roll.

    Attributes:
        verdict: The end of the roll; None while it goes on.
        cancelled: Whether no further instance is begun.
    """

    def __init__(self, roll: Roll, *, min_ready: float, policy: Restart, rng: Rng, now: float) -> None:
        """Begin a roll.

        Args:
            roll: The rules.
            min_ready: Seconds for which a run must have been ready to be available.
            policy: Restart policy of the new version. It judges the ends of new runs that are not available yet.
            rng: The source of random numbers for backoff delays.
            now: Monotonic time in seconds.
        """
        self.verdict: RollVerdict | None = None
        self.cancelled = False
        self._roll = roll
        self._min_ready = min_ready
        self._policy = policy
        self._rng = rng
        self._stages: dict[str, _Stage] = {}
        self._budgets: dict[str, Budget] = {}
        self._retry_at: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._touched: set[str] = set()
        self._last_words: dict[str, str] = {}
        self._progress_at = now
        self._others = 0
        self._was_wanted = False
        self._goes_on = roll.on_failure == "continue"

    @property
    def done(self) -> list[str]:
        """The instances whose new runs have become available."""
        return [id for id, stage in self._stages.items() if stage is _Stage.DONE]

    @property
    def failed(self) -> Mapping[str, str]:
        """The instances whose new runs have failed so far, with the reasons."""
        return self._failed

    def cancel(self) -> None:
        """Begin no further instance. The roll ends when the present steps have ended."""
        self.cancelled = True

    def abort(self, members: Mapping[str, RollMember], why: str) -> list[RollStep]:
        """End the roll now, and return the steps that stop the successors.

        Args:
            members: As in ``decide``.
            why: The reason of the verdict.
        """
        if self.verdict is not None:
            return []
        for id in members:
            self._stages.setdefault(id, _Stage.UNTOUCHED)
        return self._end(members, [], why)

    def on_end(
        self, id: str, end: RunEnd, what: str, *, now: float, ready_for: float | None, hopeless: bool = False
    ) -> None:
        """Judge the end of a successor that has not taken over: another one follows, or the instance has failed.

        Args:
            id: The instance.
            end: The end of the run; None if the program could not be started.
            what: The end as words of a sentence.
            now: Monotonic time in seconds.
            ready_for: Seconds for which it was ready; None if it never was.
            hopeless: Whether no later start can succeed.
        """
        if self._stages.get(id) is not _Stage.BEGUN:
            return
        self._last_words[id] = what
        budget = self._budgets.setdefault(id, Budget(self._policy))
        verdict: EndVerdict = Done() if hopeless else budget.judge(end, now=now, ready_for=ready_for, rng=self._rng)
        if isinstance(verdict, RestartIn):
            self._stages[id] = _Stage.RETRYING
            self._retry_at[id] = now + verdict.delay
        else:
            spent = f", and {verdict}" if isinstance(verdict, Spent) else ""
            early = "" if ready_for is None else " before it was available"
            self._fail(id, f"{what}{early}{spent}")

    def decide(self, members: Mapping[str, RollMember], now: float) -> list[RollStep]:
        """Return the next steps, and set ``verdict`` once the roll is over.

        Args:
            members: The instances, in their order.
            now: Monotonic time in seconds.
        """
        if self.verdict is not None:
            return []
        self._follow(members, now)
        steps = self._finish_steps(members, now)
        self._judge(members, now)
        if self._failed and not self._goes_on:
            return self._end(members, steps, self._why_failed())
        if not any(member.is_wanted for member in members.values()) and self._was_wanted:
            return self._end(members, steps, "all its instances were stopped")
        self._was_wanted = self._was_wanted or any(member.is_wanted for member in members.values())
        steps += self._abandon_rest(members, steps)
        # A step just returned changes the runs: what follows from it is decided with the next look at them.
        if not steps:
            steps += self._begin_steps(members, now)
        if not steps and self._is_over(members):
            self.verdict = RollVerdict(dict(self._failed), self._end_reason())
        return steps

    def due(self, members: Mapping[str, RollMember], now: float) -> float | None:
        """Return the monotonic time of the next decision that needs no change of an instance; None for none."""
        if self.verdict is not None:
            return None
        times = [ready + self._min_ready for ready in _ready_times(members.values())]
        times += [self._retry_at[id] for id, stage in self._stages.items() if stage is _Stage.RETRYING]
        times = [time for time in times if time > now]
        if (deadline := self._deadline(members)) is not None:
            times.append(deadline)
        return min(times, default=None)

    # Changes since the last decision.

    def _follow(self, members: Mapping[str, RollMember], now: float) -> None:
        stages = self._stages
        for id in [id for id in stages if id not in members]:  # scaled down
            del stages[id]
        for id, member in members.items():
            stage = stages.setdefault(id, _Stage.DONE if member.is_new else _Stage.UNTOUCHED)
            if not member.is_wanted and stage in _UNDER_WAY:  # a stop was asked for
                stages[id] = _Stage.UNTOUCHED
            elif stage in (_Stage.BEGUN, _Stage.RETRYING) and member.is_new:
                stages[id] = _Stage.REPLACING  # its old run has ended for good, and so made room for the new one
            elif stage is _Stage.BEGUN and not member.has_successor:
                stages[id] = _Stage.UNTOUCHED  # its group has restarted, and stopped the successor too
        others = sum(member.others for member in members.values())
        if others < self._others or self._awaits_old(members):
            self._progress_at = now  # the time of the ladder of an old run does not count
        self._others = others

    def _finish_steps(self, members: Mapping[str, RollMember], now: float) -> list[RollStep]:
        steps: list[RollStep] = []
        for id, member in members.items():
            stage = self._stages[id]
            if stage is _Stage.BEGUN and self._is_available(member.successor_ready_at, now):
                steps.append(TakeOver(id))
            elif not (stage is _Stage.REPLACING and member.is_new and self._is_available(member.ready_at, now)):
                continue
            self._stages[id] = _Stage.DONE
            self._progress_at = now
        return steps

    def _judge(self, members: Mapping[str, RollMember], now: float) -> None:
        for id, member in members.items():
            stage = self._stages[id]
            is_new = member.is_new and stage in (_Stage.REPLACING, _Stage.DONE) and id in self._touched
            if member.is_wanted and is_new and member.has_ended:
                self._fail(id, member.words)
            elif member.is_stuck and stage is not _Stage.FAILED:
                self._fail(id, "has an old run that does not end")
        deadline = self._deadline(members)
        if deadline is None or now < deadline:
            return
        seconds = f"{self._roll.deadline:g} s"
        late = [id for id, stage in self._stages.items() if stage in _UNDER_WAY]
        for id in late:
            words = self._last_words.get(id) or members[id].words
            self._fail(id, f"is not available after {seconds}{f': {words}' if words else ''}")
        if not late:
            counted = sum(self._counts(member, now) for member in members.values())
            for id in self._rest(members):
                self._fail(id, f"was not begun within {seconds}, as only {counted} of {len(members)} were available")
        self._progress_at = now

    def _fail(self, id: str, why: str) -> None:
        self._stages[id] = _Stage.FAILED
        self._failed[id] = why

    # The next steps.

    def _begin_steps(self, members: Mapping[str, RollMember], now: float) -> list[RollStep]:
        steps: list[RollStep] = []
        wanted = sum(member.is_wanted for member in members.values())
        surge, unavailable = self._roll.bounds(wanted)
        # An instance whose successor waits for its next attempt keeps the room for it.
        room = wanted + surge - sum(member.live for member in members.values())
        spare = sum(self._counts(member, now) for member in members.values()) - (wanted - unavailable)
        for id in [id for id in members if self._stages[id] is _Stage.RETRYING]:
            room -= 1
            if self._retry_at[id] <= now and room >= 0:
                steps.append(self._begin(id, now))
        if self.cancelled:
            return steps
        rest = self._rest(members)
        # A new version that does not stay available must not replace more.
        is_shaky = spare < 0 and any(
            member.is_wanted and not self._counts(member, now) and self._stages[id] is _Stage.DONE
            for id, member in members.items()
            if id in self._touched
        )
        serving = [id for id in rest if members[id].is_live and members[id].ready_at is not None]
        for id in (*(id for id in rest if id not in serving), *serving):  # instances that serve nobody first
            member = members[id]
            if id not in serving:
                if member.has_ended:
                    room -= 1
                if member.is_live or room >= 0:
                    steps.append(self._replace(id, now))
            elif is_shaky:
                break
            elif surge and room > 0:
                room -= 1
                steps.append(self._begin(id, now))
            elif spare > 0:
                spare -= 1
                steps.append(self._replace(id, now))
        return steps

    def _begin(self, id: str, now: float) -> Begin:
        if self._stages[id] is not _Stage.RETRYING:
            self._progress_at = now
        self._stages[id] = _Stage.BEGUN
        self._touched.add(id)
        return Begin(id)

    def _replace(self, id: str, now: float) -> Replace:
        self._stages[id] = _Stage.REPLACING
        self._touched.add(id)
        self._progress_at = now
        return Replace(id)

    def _rest(self, members: Mapping[str, RollMember]) -> list[str]:
        """Return the instances that the roll has not touched."""
        return [id for id, member in members.items() if member.is_wanted and self._stages[id] is _Stage.UNTOUCHED]

    def _abandon_rest(
        self,
        members: Mapping[str, RollMember],
        steps: Iterable[RollStep],
        *,
        kept: tuple[_Stage, ...] = (_Stage.BEGUN,),
    ) -> list[RollStep]:
        """Abandon the successors that no step needs any more."""
        taken = {step.id for step in steps}
        return [
            Abandon(id)
            for id, member in members.items()
            if member.has_successor and id not in taken and self._stages[id] not in kept
        ]

    def _end(self, members: Mapping[str, RollMember], steps: list[RollStep], why: str) -> list[RollStep]:
        self.verdict = RollVerdict(dict(self._failed), why)
        return [*steps, *self._abandon_rest(members, steps, kept=())]

    def _is_over(self, members: Mapping[str, RollMember]) -> bool:
        if any(self._stages[id] in _UNDER_WAY for id in members):
            return False
        if any(member.others and not member.is_stuck for member in members.values()):
            return False
        return self.cancelled or not self._rest(members)

    def _end_reason(self) -> str:
        return self._why_failed() if self._failed else "it was cancelled" if self.cancelled else ""

    def _why_failed(self) -> str:
        return "; ".join(f"{id} {why}" for id, why in self._failed.items())

    # Time.

    def _is_available(self, ready_at: float | None, now: float) -> bool:
        return ready_at is not None and ready_at + self._min_ready <= now

    def _counts(self, member: RollMember, now: float) -> bool:
        """Return whether an instance is available, by either of its runs."""
        if not member.is_wanted:
            return False
        current = member.is_live and self._is_available(member.ready_at, now)
        return current or (member.has_successor and self._is_available(member.successor_ready_at, now))

    def _awaits_old(self, members: Mapping[str, RollMember]) -> bool:
        """Return whether an old run is being stopped, whose ladder takes its own time."""
        return any(
            member.others or (member.is_live and not member.is_new and self._stages[id] is _Stage.REPLACING)
            for id, member in members.items()
        )

    def _deadline(self, members: Mapping[str, RollMember]) -> float | None:
        if self._roll.deadline is None or self._awaits_old(members):
            return None
        if not any(stage in _UNDER_WAY for stage in self._stages.values()) and (
            self.cancelled or not self._rest(members)
        ):
            return None
        return self._progress_at + self._roll.deadline


def _ready_times(members: Iterable[RollMember]) -> list[float]:
    both = [(member.ready_at, member.successor_ready_at) for member in members]
    return [time for pair in both for time in pair if time is not None]
