"""The decisions of a rolling restart: its bounds at every step, its order, and its failures."""

from __future__ import annotations

import dataclasses
import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aioverseer import Backoff, Restart
from aioverseer.core.machine.roll import Abandon, Begin, Replace, RollMachine, RollMember, RollStep, TakeOver
from aioverseer.core.options.roll import Roll
from aioverseer.core.state import Exit

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
ONCE_MORE = Restart(max_restarts=1, backoff=Backoff(1.0, 1.0, jitter=False))
FAILED = Exit(code=1)
READY = RollMember(ready_at=0.0)
DOWN = RollMember(is_live=False)
NEW = RollMember(is_new=True, ready_at=0.0)


def machine(roll: Roll | None = None, *, min_ready: float = 0.0, policy: Restart = ONCE_MORE) -> RollMachine:
    """Return a machine that begins at 100 s."""
    return RollMachine(roll or Roll(), min_ready=min_ready, policy=policy, rng=random.Random(0), now=100.0)


def web(*members: RollMember) -> dict[str, RollMember]:
    """Return the members as ``web.0`` and so on."""
    return {f"web.{number}": member for number, member in enumerate(members)}


# One step after the other.


def test_a_surge_of_one_begins_one_successor_and_waits_for_it() -> None:
    """The next one begins when the old run of the first has gone."""
    roll = machine()
    assert roll.decide(web(READY, READY), 100.0) == [Begin("web.0")]
    begun = READY._replace(has_successor=True)
    assert roll.decide(web(begun, READY), 101.0) == []
    assert roll.decide(web(begun._replace(successor_ready_at=102.0), READY), 102.0) == [TakeOver("web.0")]
    assert roll.decide(web(NEW._replace(others=1), READY), 102.0) == []
    assert roll.decide(web(NEW, READY), 103.0) == [Begin("web.1")]
    assert roll.decide(web(NEW, begun._replace(successor_ready_at=104.0)), 104.0) == [TakeOver("web.1")]
    assert roll.decide(web(NEW, NEW._replace(others=1)), 104.0) == []
    assert roll.verdict is None
    assert roll.decide(web(NEW, NEW), 105.0) == []
    assert roll.verdict == ({}, "")


def test_without_a_surge_an_old_run_ends_before_its_successor_begins() -> None:
    """One at a time may be unavailable."""
    roll = machine(Roll(surge=0, unavailable=1))
    assert roll.decide(web(READY, READY), 100.0) == [Replace("web.0")]
    stopping = READY._replace(ready_at=None)
    assert roll.decide(web(stopping, READY), 101.0) == []
    assert roll.decide(web(RollMember(is_new=True), READY), 102.0) == []
    assert roll.decide(web(RollMember(is_new=True, ready_at=103.0), READY), 103.0) == [Replace("web.1")]


def test_old_ones_that_are_not_ready_go_first() -> None:
    """They serve nobody, so they need neither a surge nor a spare one."""
    roll = machine()
    assert roll.decide(web(READY, RollMember(), DOWN), 100.0) == [Replace("web.1"), Replace("web.2"), Begin("web.0")]


def test_an_old_one_that_is_ready_but_not_yet_available_is_not_stopped_first() -> None:
    """It serves; a surge goes beside it, and without one it is waited for."""
    young = RollMember(ready_at=99.0)
    assert machine(min_ready=5.0).decide(web(young, READY), 100.0) == [Begin("web.0")]
    roll = machine(Roll(surge=0, unavailable=1), min_ready=5.0)
    assert roll.decide(web(young, READY), 100.0) == []
    assert roll.due(web(young, READY), 100.0) == 104.0
    assert roll.decide(web(young, READY), 104.0) == [Replace("web.0")]


def test_a_new_run_counts_after_min_ready() -> None:
    """The machine names the time at which it wants to decide again."""
    roll = machine(min_ready=5.0)
    roll.decide(web(READY), 100.0)
    begun = web(READY._replace(has_successor=True, successor_ready_at=101.0))
    assert roll.decide(begun, 105.9) == []
    assert roll.due(begun, 105.9) == 106.0
    assert roll.decide(begun, 106.0) == [TakeOver("web.0")]


def test_a_successor_that_ends_is_started_again_by_the_policy() -> None:
    """Its budget is one of its own."""
    roll = machine()
    roll.decide(web(READY), 100.0)
    roll.on_end("web.0", FAILED, "exited with code 1", now=101.0, ready_for=None)
    assert roll.due(web(READY), 101.0) == 102.0
    assert roll.decide(web(READY), 101.5) == []
    assert roll.decide(web(READY), 102.0) == [Begin("web.0")]
    roll.on_end("web.0", FAILED, "exited with code 1", now=103.0, ready_for=0.5)
    assert roll.decide(web(READY), 103.0) == []
    assert roll.verdict is not None
    assert roll.verdict.why == (
        "web.0 exited with code 1 before it was available, and its 1 restart within 60 s is spent"
    )


def test_a_program_that_cannot_be_started_fails_the_roll_at_once() -> None:
    """No later start can succeed."""
    roll = machine()
    roll.decide(web(READY), 100.0)
    roll.on_end("web.0", None, "there is no program 'no'", now=100.0, ready_for=None, hopeless=True)
    roll.decide(web(READY), 100.0)
    assert roll.verdict is not None
    assert roll.verdict.failed == {"web.0": "there is no program 'no'"}


def test_the_deadline_without_one_more_available_fails_the_roll() -> None:
    """Every successor is stopped, and each one is named."""
    roll = machine(Roll(surge=2, deadline=30.0))
    roll.decide(web(READY, READY, READY), 100.0)
    begun = READY._replace(has_successor=True)
    assert roll.due(web(begun, begun, READY), 100.0) == 130.0
    assert roll.decide(web(begun, begun, READY), 130.0) == [Abandon("web.0"), Abandon("web.1")]
    assert roll.verdict is not None
    assert set(roll.verdict.failed) == {"web.0", "web.1"}
    assert "is not available after 30 s" in roll.verdict.why


def test_instance_that_was_taken_away_is_forgotten() -> None:
    roll = machine(Roll(surge=2, deadline=30.0))
    assert roll.decide(web(READY, READY), 100.0) == [Begin("web.0"), Begin("web.1")]
    assert roll.decide(web(READY._replace(has_successor=True)), 130.0) == [Abandon("web.0")]
    assert roll.verdict is not None
    assert set(roll.verdict.failed) == {"web.0"}


def test_each_one_that_becomes_available_begins_the_deadline_anew() -> None:
    """So a large set has the time that it needs."""
    roll = machine(Roll(surge=2, deadline=30.0))
    roll.decide(web(READY, READY), 100.0)
    begun = READY._replace(has_successor=True)
    ready = begun._replace(successor_ready_at=125.0)
    assert roll.decide(web(ready, begun), 125.0) == [TakeOver("web.0")]
    assert roll.due(web(NEW, begun), 125.0) == 155.0


def test_the_ladder_of_an_old_run_does_not_count_for_the_deadline() -> None:
    """It may take minutes until its requests are done."""
    roll = machine(Roll(deadline=30.0))
    roll.decide(web(READY, READY), 100.0)
    roll.decide(web(READY._replace(has_successor=True, successor_ready_at=101.0), READY), 101.0)
    slow = web(NEW._replace(others=1), READY)
    assert roll.decide(slow, 400.0) == []
    assert roll.due(slow, 400.0) is None
    assert roll.decide(web(NEW, READY), 500.0) == [Begin("web.1")]
    assert roll.due(web(NEW, READY._replace(has_successor=True)), 500.0) == 530.0


def test_an_old_run_that_does_not_end_fails_the_roll() -> None:
    """It would take the room of the next one for good."""
    roll = machine()
    roll.decide(web(NEW._replace(others=1, is_stuck=True), READY), 100.0)
    assert roll.verdict is not None
    assert roll.verdict.why == "web.0 has an old run that does not end"


def test_a_new_version_that_does_not_stay_available_replaces_no_more() -> None:
    """Until it is back, or the deadline is over."""
    roll = machine(Roll(deadline=30.0))
    roll.decide(web(READY, READY), 100.0)
    roll.decide(web(READY._replace(has_successor=True, successor_ready_at=101.0), READY), 101.0)
    crashed = web(NEW._replace(is_live=False, ready_at=None), READY)
    assert roll.decide(crashed, 102.0) == []
    assert roll.decide(web(NEW._replace(ready_at=103.0), READY), 103.0) == [Begin("web.1")]
    roll = machine(Roll(deadline=30.0))
    roll.decide(web(READY, READY), 100.0)
    roll.decide(web(READY._replace(has_successor=True, successor_ready_at=101.0), READY), 101.0)
    roll.decide(crashed, 102.0)
    roll.decide(crashed, 131.0)
    assert roll.verdict is not None
    assert roll.verdict.why == "web.1 was not begun within 30 s, as only 1 of 2 were available"


def test_a_new_run_that_gives_up_fails_the_roll_at_once() -> None:
    """Also after it has taken over."""
    roll = machine()
    roll.decide(web(READY, READY), 100.0)
    roll.decide(web(READY._replace(has_successor=True, successor_ready_at=101.0), READY), 101.0)
    gave_up = NEW._replace(is_live=False, ready_at=None, has_ended=True, words="gave up")
    roll.decide(web(gave_up, READY), 102.0)
    assert roll.verdict is not None
    assert roll.verdict.failed == {"web.0": "gave up"}


def test_continue_leaves_the_one_that_failed() -> None:
    """The verdict names it at the end."""
    roll = machine(Roll(on_failure="continue", deadline=30.0))
    roll.decide(web(READY, READY), 100.0)
    assert roll.decide(web(READY._replace(has_successor=True), READY), 130.0) == [Abandon("web.0")]
    assert roll.decide(web(READY, READY), 131.0) == [Begin("web.1")]
    ready = READY._replace(has_successor=True, successor_ready_at=132.0)
    assert roll.decide(web(READY, ready), 132.0) == [TakeOver("web.1")]
    roll.decide(web(READY, NEW), 133.0)
    assert roll.verdict is not None
    assert set(roll.verdict.failed) == {"web.0"}
    assert roll.done == ["web.1"]


def test_a_cancelled_roll_ends_its_step() -> None:
    """And begins no other."""
    roll = machine()
    roll.decide(web(READY, READY), 100.0)
    roll.cancel()
    ready = READY._replace(has_successor=True, successor_ready_at=101.0)
    assert roll.decide(web(ready, READY), 101.0) == [TakeOver("web.0")]
    roll.decide(web(NEW, READY), 102.0)
    assert roll.verdict == ({}, "it was cancelled")


def test_an_aborted_roll_stops_its_successors() -> None:
    """The old runs go on."""
    roll = machine()
    roll.decide(web(READY, READY), 100.0)
    assert roll.abort(web(READY._replace(has_successor=True), READY), "it was cancelled") == [Abandon("web.0")]
    assert roll.verdict == ({}, "it was cancelled")
    assert roll.decide(web(READY, READY), 101.0) == []


def test_an_instance_that_is_stopped_meanwhile_is_left_out() -> None:
    """A stop of all of them ends the roll."""
    roll = machine()
    roll.decide(web(READY, READY), 100.0)
    stopped = RollMember(is_wanted=False, is_live=False)
    assert roll.decide(web(stopped, READY), 101.0) == [Begin("web.1")]
    roll.decide(web(stopped, stopped), 102.0)
    assert roll.verdict is not None
    assert roll.verdict.why == "all its instances were stopped"


def test_a_set_that_does_not_run_has_nothing_to_roll() -> None:
    """The roll is done at once."""
    roll = machine()
    stopped = RollMember(is_wanted=False, is_live=False)
    assert roll.decide(web(stopped, stopped), 100.0) == []
    assert roll.verdict == ({}, "")


def test_a_successor_whose_old_run_has_ended_for_good_is_waited_for_in_its_place() -> None:
    """It is the current run then."""
    roll = machine()
    roll.decide(web(READY), 100.0)
    roll.decide(web(RollMember(is_new=True)), 101.0)
    assert roll.verdict is None
    roll.decide(web(RollMember(is_new=True, ready_at=102.0)), 102.0)
    assert roll.verdict == ({}, "")


# Any roll ends, if its new runs become ready.


@given(
    n=st.integers(1, 9),
    surge=st.integers(0, 9),
    unavailable=st.integers(0, 9),
    down=st.sets(st.integers(0, 8)),
)
def test_any_bounds_lead_to_the_end(n: int, surge: int, unavailable: int, down: set[int]) -> None:
    """With each instance replaced once."""
    if not surge and not unavailable:
        surge = 1
    fleet = Fleet(n, Roll(surge=surge, unavailable=unavailable), min_ready=0.0)
    for number in down & set(range(n)):
        fleet.members[f"web.{number}"].crash()
    for _ in range(8 * n + 8):
        fleet.tick()
        if fleet.roll.verdict is not None:
            break
        for instance in fleet.members.values():
            instance.settle(fleet.now)
        fleet.now += 1.0
    assert fleet.roll.verdict == ({}, "")
    assert all(instance.is_new for instance in fleet.members.values())
    assert fleet.begun == dict.fromkeys(fleet.members, 1)


# Random walks against a model.


@dataclasses.dataclass
class Instance:
    """One instance of the model: a current run, perhaps a successor, and runs that are being stopped."""

    is_new: bool = False
    is_wanted: bool = True
    is_live: bool = True
    ready_at: float | None = None
    has_ended: bool = False
    is_stopping: bool = False
    has_successor: bool = False
    successor_ready_at: float | None = None
    others: int = 0

    def view(self) -> RollMember:
        """Return what the machine sees."""
        return RollMember(
            is_wanted=self.is_wanted,
            is_new=self.is_new,
            is_live=self.is_live,
            ready_at=self.ready_at,
            has_ended=self.has_ended,
            has_successor=self.has_successor,
            successor_ready_at=self.successor_ready_at,
            others=self.others,
        )

    @property
    def live(self) -> int:
        """Number of runs that exist."""
        return self.is_live + self.has_successor + self.others

    def crash(self) -> None:
        """The current run ends; a restart may follow."""
        self.is_live = False
        self.ready_at = None

    def settle(self, now: float) -> None:
        """Let everything happen that a working program does."""
        self.others = 0
        if self.is_stopping:
            self.is_stopping, self.is_new, self.is_live = False, True, True
        if self.is_wanted and not self.has_ended:
            self.is_live = True
        if self.is_live and self.ready_at is None:
            self.ready_at = now
        if self.has_successor and self.successor_ready_at is None:
            self.successor_ready_at = now


class Fleet:
    """A set of instances, its roll, and the check of the bounds at each step."""

    def __init__(self, n: int, roll: Roll, *, min_ready: float) -> None:
        self.option = roll
        self.min_ready = min_ready
        self.now = 100.0
        self.members = {f"web.{number}": Instance(ready_at=0.0) for number in range(n)}
        self.roll = RollMachine(roll, min_ready=min_ready, policy=ONCE_MORE, rng=random.Random(0), now=self.now)
        self.begun: dict[str, int] = dict.fromkeys(self.members, 0)

    @property
    def wanted(self) -> int:
        """The number of wanted instances."""
        return sum(instance.is_wanted for instance in self.members.values())

    @property
    def live(self) -> int:
        """The number of live runs."""
        return sum(instance.live for instance in self.members.values())

    def is_available(self, instance: Instance) -> bool:
        """Return whether one of its runs is available."""
        times = (instance.ready_at, instance.successor_ready_at)
        return instance.is_wanted and any(time is not None and time + self.min_ready <= self.now for time in times)

    @property
    def available(self) -> int:
        """The number of available instances."""
        return sum(map(self.is_available, self.members.values()))

    def tick(self) -> None:
        """Perform the next steps, and check the bounds after each."""
        views = {id: instance.view() for id, instance in self.members.items()}
        for step in self.roll.decide(views, self.now):
            surge, unavailable = self.option.bounds(self.wanted)
            live, available = self.live, self.available
            self.perform(step)
            assert self.live <= max(self.wanted + surge, live)
            assert self.available >= min(self.wanted - unavailable, available)

    def perform(self, step: RollStep) -> None:
        """Do what the engine does."""
        instance = self.members[step.id]
        if not isinstance(step, Abandon):
            assert instance.is_wanted
        match step:
            case Begin(id=id):
                assert not instance.has_successor
                assert self.option.surge
                instance.has_successor, instance.successor_ready_at = True, None
                self.begun[id] = self.begun.get(id, 0) + 1
            case TakeOver():
                assert instance.successor_ready_at is not None
                instance.others += instance.is_live
                instance.is_new = instance.is_live = True
                instance.has_ended = instance.is_stopping = instance.has_successor = False
                instance.ready_at, instance.successor_ready_at = instance.successor_ready_at, None
            case Abandon():
                assert instance.has_successor
                instance.others += 1
                instance.has_successor, instance.successor_ready_at = False, None
            case Replace(id=id):
                assert not instance.has_successor
                instance.ready_at, instance.has_ended = None, False
                if instance.is_live:
                    instance.is_stopping = True
                else:
                    instance.is_new = instance.is_live = True
                self.begun[id] = self.begun.get(id, 0) + 1


class RandomWalk(RuleBasedStateMachine):
    """Anything may happen to any instance at any time of a roll."""

    ids = Bundle("ids")
    fleet: Fleet

    @initialize(
        n=st.integers(1, 6),
        surge=st.sampled_from([0, 1, 2, "25%", "50%"]),
        unavailable=st.sampled_from([0, 1, 2, "25%", "50%"]),
        on_failure=st.sampled_from(["rollback", "continue"]),
        min_ready=st.sampled_from([0.0, 2.0]),
    )
    def begin(self, n: int, surge: int | str, unavailable: int | str, on_failure: str, min_ready: float) -> None:
        """Begin a roll."""
        if not surge and not unavailable:
            surge = 1
        roll = Roll(
            surge=surge,
            unavailable=unavailable,
            deadline=20.0,
            on_failure=on_failure,  # type: ignore[arg-type]  # one of the three texts
        )
        self.fleet = Fleet(n, roll, min_ready=min_ready)

    def chosen(self, number: int) -> Instance | None:
        """Return an instance."""
        members = list(self.fleet.members.values())
        return members[number % len(members)] if members else None

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 5.0, 20.0]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.fleet.now += seconds

    @rule()
    def tick(self) -> None:
        """Decide and perform."""
        self.fleet.tick()

    @rule(number=st.integers(0, 9))
    def become_ready(self, number: int) -> None:
        """The current run becomes ready."""
        instance = self.chosen(number)
        if instance is not None and instance.is_live and not instance.is_stopping and instance.ready_at is None:
            instance.ready_at = self.fleet.now

    @rule(number=st.integers(0, 9))
    def successor_becomes_ready(self, number: int) -> None:
        """The successor becomes ready."""
        instance = self.chosen(number)
        if instance is not None and instance.has_successor and instance.successor_ready_at is None:
            instance.successor_ready_at = self.fleet.now

    @rule(number=st.integers(0, 9))
    def settle(self, number: int) -> None:
        """Everything goes well with one instance."""
        instance = self.chosen(number)
        if instance is not None:
            instance.settle(self.fleet.now)

    @rule(number=st.integers(0, 9))
    def crash(self, number: int) -> None:
        """The current run ends, and will restart."""
        instance = self.chosen(number)
        if instance is not None and not instance.is_stopping:
            instance.crash()

    @rule(number=st.integers(0, 9), code=st.sampled_from([0, 1]))
    def successor_ends(self, number: int, code: int) -> None:
        """The successor ends."""
        members = list(self.fleet.members)
        if not members:
            return
        id = members[number % len(members)]
        instance = self.fleet.members[id]
        if instance.has_successor:
            instance.has_successor, instance.successor_ready_at = False, None
            self.fleet.roll.on_end(id, Exit(code=code), "ended", now=self.fleet.now, ready_for=None)

    @rule(number=st.integers(0, 9))
    def give_up(self, number: int) -> None:
        """The current run ends for good; a successor takes its place at once, as in the engine."""
        instance = self.chosen(number)
        if instance is None or instance.is_stopping or not instance.is_wanted:
            return
        instance.crash()
        if instance.has_successor:
            instance.has_successor, instance.is_new, instance.is_live = False, True, True
            instance.ready_at, instance.successor_ready_at = instance.successor_ready_at, None
        else:
            instance.has_ended = True

    @rule(number=st.integers(0, 9))
    def stop(self, number: int) -> None:
        """A stop is asked for."""
        instance = self.chosen(number)
        if instance is not None and instance.is_wanted:
            instance.is_wanted = False
            instance.others += instance.is_live + instance.has_successor
            instance.is_live = instance.has_successor = instance.is_stopping = False
            instance.ready_at = instance.successor_ready_at = None

    @rule(number=st.integers(0, 9))
    def start(self, number: int) -> None:
        """A start is asked for; it begins when the old runs have gone."""
        instance = self.chosen(number)
        if instance is not None and not instance.is_wanted and not instance.others:
            instance.is_wanted, instance.has_ended = True, False

    @precondition(lambda self: len(self.fleet.members) < 8)
    @rule()
    def scale_up(self) -> None:
        """One more instance of the old version."""
        number = max((int(id[4:]) for id in self.fleet.members), default=-1) + 1
        self.fleet.members[f"web.{number}"] = Instance()

    @rule()
    def scale_down(self) -> None:
        """The last instance goes, once it has stopped."""
        if self.fleet.members and not list(self.fleet.members.values())[-1].live:
            self.fleet.members.popitem()

    @rule()
    def cancel(self) -> None:
        """The call is cancelled."""
        self.fleet.roll.cancel()

    @invariant()
    def ended_rolls_leave_no_successor(self) -> None:
        """Nobody would take it over."""
        if self.fleet.roll.verdict is not None:
            assert not any(instance.has_successor for instance in self.fleet.members.values())


@pytest.mark.timeout(600 if LONG else 60)
def test_no_step_of_a_random_walk_passes_the_bounds() -> None:
    """Available ≥ n - u and live ≤ n + s hold at each step of the roll."""
    run_state_machine_as_test(
        RandomWalk,
        settings=settings(
            max_examples=2000 if LONG else 60,
            stateful_step_count=40,
            deadline=None,
            derandomize=not LONG,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
