"""InstanceRolls: the rolls of one set of instances, one at a time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from aioverseer._aio.shield import settle
from aioverseer._engine.events.publisher import EventPublisher
from aioverseer._engine.overseer.instance_checks import check_pid_file
from aioverseer._engine.overseer.instance_set import InstanceSet
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.overseer.rolling import Rolling
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.errors import OverseerError, SpecError
from aioverseer.core.options.roll import Roll
from aioverseer.core.options.shared_address import shared_address
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.roll import RollFailed, RollReport

__all__ = ["InstanceRolls"]

_MARGIN = 5.0
"""Seconds that a cancelled roll is waited for in addition to its deadline and the ladders: for a busy host."""


class InstanceRolls:
    """Performs the rolls of one set: its ``RollSet``."""

    def __init__(
        self,
        instances: InstanceSet,
        registry: Registry,
        publisher: EventPublisher,
        *,
        clock: Clock,
        rng: Rng,
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
        is_leaving: Callable[[], bool],
    ) -> None:
        """Begin without a roll.

        Args:
            instances: The set.
            registry: The services of the overseer.
            publisher: The publisher of events.
            clock: The source of time.
            rng: The source of random numbers for backoff delays.
            start_task: Function that runs a coroutine until the overseer is left.
            is_leaving: Function that returns whether the overseer is being left.
        """
        self._instances = instances
        self._registry = registry
        self._publisher = publisher
        self._clock = clock
        self._rng = rng
        self._start_task = start_task
        self._is_leaving = is_leaving
        self._rolling: Rolling | None = None
        instances.rolls = self

    # The set, as a roll uses it: ``RollSet``.

    @property
    def name(self) -> str:
        """The name of the set."""
        return self._instances.name

    @property
    def members(self) -> Mapping[str, ServiceRunner]:
        """The wanted instances by name, in their order."""
        return {member.id: member for member in self._instances.members}

    @property
    def spec(self) -> Spec:
        """The options of the set."""
        return self._instances.spec

    @property
    def is_leaving(self) -> bool:
        """Whether the overseer is being left."""
        return self._is_leaving()

    def take_spec(self, spec: Spec) -> None:
        """Set the options of the set, for instances that are added from now on. Members keep theirs."""
        count = len(self._instances.members)
        self._instances.spec = dataclasses.replace(spec, id=self.name, instances=count)

    def spec_for(self, id: str, spec: Spec) -> Spec:
        """Return the options of one instance, given those of the set or of another one."""
        return dataclasses.replace(spec, id=id, instances=len(self._instances.members))

    def adopt(self, id: str, spec: Spec) -> None:
        """Give an instance the options of its present run, and of its next one."""
        self._registry.apply_spec(self.members[id], spec)

    def publish(self, id: str, text: str, *, level: int | None = None, by: str = "") -> None:
        """Publish an event of kind ``roll`` about an instance."""
        self._publisher.publish(id, text, "roll", level=level, by=by)

    @property
    def is_paused(self) -> bool:
        """Whether a roll is paused."""
        return self._rolling is not None and self._rolling.is_paused

    @property
    def is_idle(self) -> bool:
        """Whether no roll is under way, and none is paused."""
        return self._rolling is None or self._rolling.is_over

    # Hooks of the set.

    def on_resize(self) -> None:
        """Handle a change of the number of instances."""
        if self._rolling is not None:
            self._rolling.on_change(self.name)

    def check_idle(self) -> None:
        """Raise OverseerError if a roll is under way, or is paused."""
        rolling = self._rolling
        if rolling is None or rolling.is_over:
            return
        advice = "call resume_roll() or cancel_roll()" if rolling.is_paused else "wait for its end"
        raise OverseerError(f"a roll of {self.name!r} {rolling.progress}: {advice}")

    # Requests.

    async def roll(self, spec: Spec | None = None, *, only: Iterable[str] | None = None, by: str = "") -> RollReport:
        """Give each instance a new run; see ``Instances.roll``.

        Args:
            spec: The new options of the set; None for new runs with the present ones.
            only: The names of the instances to roll; None for all.
            by: The name of the one who asks.
        """
        self.check_idle()
        if spec is not None:
            self._registry.check(spec)
        rules = (self.spec if spec is None else spec).roll or Roll()
        self._check_address(self.spec if spec is None else spec, rules)
        rolling = self._rolling = Rolling(
            self,
            spec,
            roll=rules,
            clock=self._clock,
            rng=self._rng,
            only=None if only is None else frozenset(only),
            by=by,
        )
        return await self._perform(rolling, rolling.run, rules)

    async def resume(self) -> RollReport:
        """Go on with a paused roll; see ``Instances.resume_roll``."""
        rolling = self._paused("resume")
        return await self._perform(rolling, rolling.resume, rolling.rules)

    async def cancel(self) -> RollReport:
        """Take a paused roll back; see ``Instances.cancel_roll``."""
        rolling = self._paused("cancel")
        return await self._perform(rolling, rolling.cancel_paused, rolling.rules)

    def _paused(self, verb: str) -> Rolling:
        rolling = self._rolling
        if rolling is None or not rolling.is_paused:
            raise OverseerError(f"no roll of {self.name!r} is paused, so there is none to {verb}")
        return rolling

    def _check_address(self, spec: Spec, rules: Roll) -> None:
        surge, _ = rules.bounds(max(1, len(self._instances.members)))
        address = shared_address(spec.ready)
        if surge:
            check_pid_file(spec, {"run", "port"})
        if surge and address is not None:
            raise SpecError(
                f"{self.name!r}: two runs would listen on the same address, that of {address}: give it a port of its "
                "own with {port}, a held socket with listen=, or Roll(surge=0, unavailable=1)",
                option="roll",
                value=rules,
            )

    async def _perform(
        self, rolling: Rolling, work: Callable[[], Coroutine[Any, Any, RollReport]], rules: Roll
    ) -> RollReport:
        """Perform a roll in a task of the overseer, and wait for its end, also when the caller is cancelled.

        A cancelled caller ends the present step, and what ``on_failure`` says follows. It waits for that within the
        time of the roll; beyond it, and with ``"continue"``, the roll goes on by itself.
        """
        ended: asyncio.Future[RollReport] = asyncio.get_running_loop().create_future()

        async def perform() -> None:
            try:
                report = await work()
            except RollFailed as error:
                if not ended.done():
                    ended.set_exception(error)
            else:
                if not ended.done():
                    ended.set_result(report)

        def on_end(_task: asyncio.Task[None]) -> None:
            rolling.close()
            if not ended.done():  # all tasks of the loop were cancelled, or a bug has ended it
                ended.set_exception(OverseerError(f"the roll of {self.name!r} was cut off"))

        self._start_task(perform).add_done_callback(on_end)
        try:
            # Not ``shield``: from Python 3.15 on it reports the failure of a roll whose caller was cancelled.
            await asyncio.wait({ended})
            return ended.result()
        except asyncio.CancelledError:
            if not ended.done() and rules.on_failure != "continue":
                rolling.cancel()
                ladders = [member.stop_seconds for member in self._instances.members]
                within = 2 * (rules.deadline or 0.0) + sum(ladders) + _MARGIN
                await settle(ended, within=within, clock=self._clock)
            if ended.done() and not ended.cancelled():
                ended.exception()  # the caller gets the cancellation
            else:
                ended.add_done_callback(_retrieve)
            raise


def _retrieve(ended: asyncio.Future[RollReport]) -> None:
    if not ended.cancelled():
        ended.exception()
