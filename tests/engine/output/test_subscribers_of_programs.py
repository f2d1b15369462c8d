"""Subscribers of every kind on one real child: each line is delivered or counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer import Backoff, Line, Overseer, QueueShutDown, Restart, Service, Subscription
from aioverseer._engine.output.subscription import Overflow
from aioverseer.core.text.lines import ContinuedBytes, ContinuedLine
from tests.support.output_plans import ENCODINGS, LIMITS, WRITER, Plan, joined, plans
from tests.support.programs import limit

LineFields = tuple[str, str | bytes, int, bool, int]
"""Fields of a line that all subscribers must see alike: stream, text, run, whether it is continued, number."""


def without_time(line: Line) -> LineFields:
    """Return a line without its time and what its subscriber has missed."""
    return line.stream, line.text, line.run, line.continued, line.seq


@dataclass(frozen=True, slots=True)
class Guest:
    """The behaviour of one subscriber: when it comes, how it reads, when it leaves."""

    stream: Literal["stdout", "stderr"] | None
    size: int
    overflow: Overflow
    whole_set: bool
    """Whether it asks the overseer and not the service."""
    comes: int
    """After how many lines; at 0 before the start."""
    history: int
    leaves: int | None
    """After how many items; None at the end."""
    pause: int
    by_batch: bool


@dataclass(slots=True)
class Visit:
    """The lines that a Guest got."""

    guest: Guest
    queue: Subscription
    since: int
    """How many lines were written when it came."""
    items: list[Line] = field(default_factory=list)
    left: bool = False
    failed: bool = False

    async def read(self) -> None:
        """Read at the guest's speed until it leaves, or the queue ends or fails."""
        guest = self.guest
        try:
            while guest.leaves is None or len(self.items) < guest.leaves:
                for _ in range(guest.pause):
                    await asyncio.sleep(0)
                self.items += await self.queue.get_batch() if guest.by_batch else [await self.queue.get()]
        except QueueShutDown:
            return
        except asyncio.QueueFull:
            self.failed = True
            return
        self.queue.close()
        self.left = True

    def check(self, written: Sequence[LineFields]) -> None:
        """Check that the items are a part of the output, and that each tells the number of missing lines."""
        guest = self.guest
        mine = [line for line in written if guest.stream in (None, line[0])]
        before = sum(guest.stream in (None, line[0]) for line in written[: self.since])
        # The tail is also bounded in bytes.
        history = 0 if guest.whole_set else guest.history
        starts = range(max(0, before - history), before + 1)
        marks = sum(item.missed for item in self.items)
        if self.left or self.failed:
            assert self.queue.missed >= marks
        else:
            assert self.queue.missed == marks or guest.overflow == "drop_newest"
            # All lines to the end.
            last = len(mine) - self.queue.missed - len(self.items)
            assert last in starts
            starts = range(last, last + 1)
        assert any(self.stands_at(start, mine) for start in starts)
        assert not self.queue.missed or guest.overflow in ("drop_oldest", "drop_newest")
        assert not self.failed or guest.overflow == "error"

    @property
    def ends(self) -> tuple[type[Exception], ...]:
        """Return the exception of a read after the end."""
        if self.failed:
            return (asyncio.QueueFull,)
        if self.left and self.guest.overflow == "error":
            # It may have failed without a read that shows it.
            return (asyncio.QueueFull, QueueShutDown)
        return (QueueShutDown,)

    def stands_at(self, start: int, written: Sequence[LineFields]) -> bool:
        """Return whether the items are the output from a position on."""
        position = start
        for item in self.items:
            position += item.missed
            if position < len(written) and without_time(item) == written[position]:
                position += 1
            else:
                return False
        return True


def subscribed(overseer: Overseer, service: Service, guest: Guest, since: int) -> Visit:
    """Begin a visit."""
    if guest.whole_set:
        queue = overseer.logs(guest.stream, size=guest.size, overflow=guest.overflow)
    else:
        queue = service.lines(guest.stream, history=guest.history, size=guest.size, overflow=guest.overflow)
    return Visit(guest, queue, since)


async def witness(queue: Subscription, come: Callable[[int], None]) -> list[LineFields]:
    """Read all lines losslessly, and let the guests come in the middle."""
    seen: list[LineFields] = []
    async for item in queue:
        seen.append(without_time(item))
        come(len(seen))
    return seen


guests = st.builds(
    Guest,
    stream=st.sampled_from(["stdout", "stderr", None]),
    size=st.sampled_from([1, 2, 3, 10, 100]),
    overflow=st.sampled_from(["drop_oldest", "drop_newest", "block", "error"]),
    whole_set=st.booleans(),
    comes=st.sampled_from([0, 0, 1, 2, 5, 30, 300]),
    history=st.sampled_from([0, 0, 1, 5, 300]),
    leaves=st.one_of(st.none(), st.none(), st.integers(0, 40)),
    pause=st.integers(0, 3),
    by_batch=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(
    plan=plans(),
    text=st.sampled_from(ENCODINGS),
    line_limit=st.sampled_from(LIMITS),
    witness_size=st.sampled_from([1, 10, 1000]),
    runs=st.integers(1, 3),
    visitors=st.lists(guests, max_size=5),
)
def test_each_subscriber_gets_or_counts_every_line(
    plan: Plan, text: dict[str, Any], line_limit: int, witness_size: int, runs: int, visitors: list[Guest]
) -> None:
    """In order, over several runs, independent of other subscribers. The bytes are those that were written."""

    async def play() -> None:
        visits: list[Visit] = []
        reading: list[asyncio.Task[None]] = []
        waiting = sorted(visitors, key=lambda guest: guest.comes)

        def come(count: int) -> None:
            while waiting and waiting[0].comes <= count:
                visits.append(subscribed(overseer, service, waiting.pop(0), journal.qsize()))
                reading.append(asyncio.create_task(visits[-1].read()))

        async with limit(25, "the runs and their readers"):
            async with Overseer() as overseer:
                service = overseer.add(
                    "writer",
                    *WRITER,
                    stdin=plan.stdin,
                    line_limit=line_limit,
                    restart=Restart("always", max_restarts=runs - 1, backoff=Backoff(min=0.001, max=0.001)),
                    **text,
                )
                # Not read before the end, so its size is the number of lines that were written so far.
                journal = overseer.logs(size=1_000_000, overflow="block")
                come(0)
                everything = asyncio.ensure_future(witness(service.lines(size=witness_size, overflow="block"), come))
                status = await overseer.supervise("writer")
                written = await everything
            await asyncio.gather(*reading)
        assert written == [without_time(item) async for item in journal]
        assert (0, runs - 1) == (status.exit_code, status.restarts)
        assert list(range(1, len(written) + 1)) == [line[4] for line in written]
        for run in range(1, runs + 1):
            for number, stream in ((1, "stdout"), (2, "stderr")):
                lines = [marked(line) for line in written if line[0] == stream and line[2] == run]
                assert plan.expected(number) == joined(lines, **text)
        for visit in visits:
            visit.check(written)
            with pytest.raises(visit.ends):
                visit.queue.get_nowait()

    asyncio.run(play())


def marked(line: LineFields) -> str | bytes:
    """Return the text of a line, with a mark if it is a piece."""
    _, text, _, continued, _ = line
    if not continued:
        return text
    return ContinuedLine(text) if isinstance(text, str) else ContinuedBytes(text)
