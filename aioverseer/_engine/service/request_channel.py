"""RequestChannel: questions and answers over the standard streams of a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from aioverseer._aio.timers import OneShotTimer
from aioverseer._engine.output.pump import report_error
from aioverseer._engine.output.recent_queue import RecentQueue
from aioverseer._engine.process.process import Process
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.conversation import Conversation
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._engine.service.service import Service
from aioverseer._system.probes.current_check import is_check_of
from aioverseer.core.errors import OverseerError, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.numbers import no_seconds
from aioverseer.core.report.status import run_ended
from aioverseer.core.state import State
from aioverseer.core.typing import DEFAULT_STREAM_QUEUE_SIZE

__all__ = ["RequestChannel"]


@exported_from("aioverseer")
class RequestChannel(AsyncIterator[Any]):
    """Questions to a service, and its answers, over standard input and output; for any number of askers.

    ``async with RequestChannel(server, send=..., key_of=...) as channel`` reads the answers of each run until the end
    of the block. ``await channel.ask(key, message, timeout)`` writes a question and returns its answer.
    ``async for message in channel`` gives the messages that answer nobody: notices and requests of the program, and
    each ``LateAnswer``.

    Attributes:
        missed: Number of such messages that were dropped, because nobody had read them in time.
    """

    def __init__(
        self,
        service: Service | Sequence[Service],
        *,
        send: Callable[[Any], bytes | str],
        key_of: Callable[[Any], Hashable | None],
        parse: Callable[[Any], Any] | None = None,
        on_demand: bool = False,
        idle_timeout: float | None = None,
        queue_size: int = DEFAULT_STREAM_QUEUE_SIZE,
    ) -> None:
        """Describe a channel. It is used inside ``async with``.

        Args:
            service: The service, with ``stdin="pipe"``. Of several services, a question goes to the ready one with the
                fewest pending questions.
            send: Function of a message that returns the bytes to be written, with the end of the line or frame.
            key_of: Function of a message of the program that returns the key that it answers, or None.
            parse: Function of an item of the output, such as ``json.loads``, that returns the message; by default the
                item is the message. An item for which ``parse`` or ``key_of`` raises answers nobody.
            on_demand: Whether the first question starts the service.
            idle_timeout: Seconds without a pending question after which the service is stopped; needs ``on_demand``.
            queue_size: Number of messages without a question that are kept. The oldest ones are dropped first.

        Raises:
            SpecError: If a value is invalid, or a service has no input to write to.
        """
        given: Any = service
        several: list[Service] = [*given] if isinstance(given, Iterable) else []
        services = [service] if isinstance(service, Service) else several
        if not services or not all(isinstance(one, Service) for one in services):
            raise SpecError(
                f"service={service!r}: pass a Service, or several of them; ThreadedRequestChannel takes those of a "
                "ThreadedOverseer",
                option="service",
                value=service,
            )
        for one in services:
            if one.spec.stdin != "pipe" and not (one.spec.pty and one.spec.stdin is None):
                raise SpecError(f'{one.id!r} has no pipe to write to: give it stdin="pipe"', option="stdin", value=None)
        if not isinstance(queue_size, int) or isinstance(queue_size, bool) or queue_size < 1:
            raise SpecError(
                f"queue_size={queue_size!r} is no number of messages, 1 or more", option="queue_size", value=queue_size
            )
        if idle_timeout is not None:
            if not on_demand:
                raise SpecError(
                    f"idle_timeout={idle_timeout!r} needs on_demand=True, which starts the service again",
                    option="idle_timeout",
                    value=idle_timeout,
                )
            if (why := no_seconds(idle_timeout, above=True, none="for no limit")) is not None:
                raise SpecError(f"idle_timeout={idle_timeout!r} {why}", option="idle_timeout", value=idle_timeout)
        self._members = [
            _ServiceLink(one._runner, read=self._read, publish=self._publish, on_run=self._rearm)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the engine of the handle
            for one in services
        ]
        self._send = send
        self._key_of = key_of
        self._parse = parse
        self._on_demand = on_demand
        self._idle_timeout = idle_timeout
        self._queue: RecentQueue[Any] = RecentQueue(queue_size)
        self._clock = self._members[0].service.clock
        self._idle_timer = OneShotTimer(self._clock)
        self._asking = 0
        self._has_reported = False
        self._left: asyncio.Future[None] | None = None

    @property
    def missed(self) -> int:
        """Number of messages without a question that were dropped."""
        return self._queue.missed

    @property
    def pending(self) -> int:
        """Number of questions that wait for an answer, or for the service to be ready."""
        return self._asking

    async def __aenter__(self) -> Self:
        """Begin to read the answers of the current run and of those to come.

        Raises:
            OverseerError: If the channel was used before.
        """
        if self._left is not None:
            raise OverseerError("a RequestChannel serves one block: make another one")
        for member in self._members:
            member.service.check()
        self._left = asyncio.get_running_loop().create_future()
        for member in self._members:
            member.join()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the channel. Pending questions raise OverseerError. The service goes on."""
        if self._left is not None and not self._left.done():
            self._left.set_result(None)
        self._idle_timer.cancel()
        for member in self._members:
            member.leave()
        self._queue.end()

    async def ask(
        self, key: Hashable, message: Any, timeout: float | None = None, *, run: Process | None = None
    ) -> Any:
        """Write a question and return its answer.

        Between two runs, and until the service is ready, the question waits. When this is cancelled, or the time is
        over, the question is still written completely if it has begun, and its answer comes as a ``LateAnswer``.

        Args:
            key: The key of the answer. It is new for each question to one run.
            message: The question, for the function ``send``.
            timeout: Seconds for the start of the service and the answer together; None for no limit.
            run: The run to ask, ready or not, in the function of ``ready.check`` that prepares it; by default the
                question goes to a run that is ready.

        Raises:
            RunEnded: If the run ended before it answered; with the reason and the last lines.
            TimeoutError: If the time is over; as NotReadyInTime, if the service was not ready in time.
            NotReady: If the service is down and does not become ready.
            ProcessNotRunning: If the program has closed its standard input and lives on.
            SpecError: If an earlier question with this key has no answer yet, or the run is none of this channel.
            OverseerError: If the channel is not in use, or is left meanwhile; or if a function of ``ready.check`` asks
                without ``run``, as it would wait for its own end.
        """
        data = self._send(message)
        deadline = None if timeout is None else self._clock.now() + timeout
        self._begin()
        try:
            if run is None:
                conversation = self._ready() or await self._until_ready(timeout, deadline)
            else:
                conversation = self._with(run, f"it answered {key!r}")
            return await conversation.ask(key, data, timeout=timeout, deadline=deadline)
        finally:
            self._end()

    async def notify(self, message: Any, *, run: Process | None = None) -> None:
        """Write a message that has no answer, such as a notice or the answer to a request of the program.

        Between two runs the message waits. When this is cancelled, no half of a message is written.

        Args:
            message: The message, for the function ``send``.
            run: The run that gets the message, ready or not, as in ``ask``.

        Raises:
            NotReady: If the service is down and does not become ready.
            RunEnded: If ``run`` has ended.
            ProcessNotRunning: If the program does not read its standard input any more.
            SpecError: If the run is none of this channel.
            OverseerError: As in ``ask``.
        """
        data = self._send(message)
        self._begin()
        try:
            if run is None:
                conversation = self._ready() or await self._until_ready(None, None)
            else:
                conversation = self._with(run, "it got a message")
            await conversation.notify(data)
        finally:
            self._end()

    def __aiter__(self) -> Self:
        """Iterate over the messages that answer nobody, until the channel is left."""
        return self

    async def __anext__(self) -> Any:
        """Return the next message that answers nobody."""
        return await self._queue.__anext__()

    # Which run gets a question.

    def _ready(self) -> Conversation | None:
        """Return the conversation with the fewest pending questions of those that are ready."""
        if len(self._members) == 1:
            return self._members[0].ready
        ready = [conversation for member in self._members if (conversation := member.ready) is not None]
        return min(ready, key=lambda conversation: len(conversation.pending), default=None)

    def _with(self, run: Process, awaited: str) -> Conversation:
        """Return the conversation with a run, ready or not."""
        runner = run._runner  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the engine of the handle
        for member in self._members:
            if (conversation := member.conversation) is not None and conversation.run is runner:
                return conversation
        if runner.machine.state.is_final:
            raise run_ended(runner.snapshot(lines=False).status(), awaited, runner.last_lines())
        raise SpecError(f"run={run!r} is no run of a service of this channel", option="run", value=run)

    async def _until_ready(self, timeout: float | None, deadline: float | None) -> Conversation:
        """Wait until a service is ready. A cancellation ends the wait alone; a start goes on."""
        if any(member.is_checked_by_this_task for member in self._members):
            raise OverseerError(
                "a function of ready.check asks its own service, which waits for the function to return: "
                "pass run=, the Process that the function gets"
            )
        while (conversation := self._ready()) is None:
            self._check()
            if self._on_demand:
                self._start_one()
            await self._first_ready(timeout, deadline)
        return conversation

    def _start_one(self) -> None:
        startable = [
            member.service
            for member in self._members
            if member.service.state in (State.INITIAL, State.STOPPING) or member.service.state.is_final
        ]
        if len(startable) == len(self._members):
            startable[0].check(starting=True)
            startable[0].waiters.check()
            startable[0].start()

    async def _first_ready(self, timeout: float | None, deadline: float | None) -> None:
        """Wait until one service is ready, or none can become ready any more."""
        left = self._left
        assert left is not None  # noqa: S101  # checked by the caller
        first = self._members[0].service.waiters
        futures = [member.service.waiters.until(State.RUNNING) for member in self._members]
        timer = None
        if deadline is not None and timeout is not None:
            timer = self._clock.call_at(deadline, lambda: first.time_out(futures[0], State.RUNNING, timeout))
        waiting: set[asyncio.Future[Any]] = {*futures, left}
        try:
            while True:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if left in done or any(future.exception() is None for future in done):
                    return
                if waiting == {left} or (futures[0] in done and self._clock.now() >= (deadline or 0.0) > 0.0):
                    done.pop().result()
        finally:
            if timer is not None:
                timer.cancel()
            for future in futures:
                future.cancel()

    # Items of the output.

    def _read(self, item: Any) -> tuple[Any, Hashable | None]:
        """Return the message of an item, and the key that it answers or None."""
        try:
            message = item if self._parse is None else self._parse(item)
            return message, self._key_of(message)
        except Exception as error:  # noqa: BLE001  # a function of the user: half a message, or a bug; reported once
            if not self._has_reported:
                self._has_reported = True
                report_error("a message could not be read, and answers nobody; further ones are not reported", error)
            return item, None

    def _publish(self, messages: list[Any]) -> None:
        """Queue messages that answer nobody."""
        self._queue.deliver(messages)

    # When to stop.

    def _begin(self) -> None:
        self._check()
        self._asking += 1
        if self._idle_timeout is not None:
            self._idle_timer.cancel()

    def _end(self) -> None:
        self._asking -= 1
        self._rearm()

    def _rearm(self) -> None:
        if self._idle_timeout is not None and self._asking == 0 and self._left is not None and not self._left.done():
            self._idle_timer.arm(self._clock.now() + self._idle_timeout, self._stop_idle)

    def _stop_idle(self) -> None:
        for member in self._members:
            if member.service.state.is_live:
                member.service.request_stop(why=f"nothing was asked for {self._idle_timeout:g} s")

    def _check(self) -> None:
        if self._left is None or self._left.done():
            raise OverseerError("the RequestChannel is not in use: ask inside of its `async with` block")


class _ServiceLink:
    """One service of a channel, and the conversation with its current run."""

    def __init__(
        self,
        service: ServiceRunner,
        *,
        read: Callable[[Any], tuple[Any, Hashable | None]],
        publish: Callable[[list[Any]], None],
        on_run: Callable[[], None],
    ) -> None:
        self.service = service
        self._read = read
        self._publish = publish
        self._on_run = on_run
        self.conversation: Conversation | None = None

    @property
    def ready(self) -> Conversation | None:
        """The conversation, if its run is ready; else None."""
        return self.conversation if self.service.machine.state is State.RUNNING else None

    @property
    def is_checked_by_this_task(self) -> bool:
        """Whether this task calls the function of a probe for the current run."""
        return self.conversation is not None and is_check_of(self.conversation.run.spec)

    def join(self) -> None:
        """Begin to follow the runs of the service."""
        self.service.follow_runs(self)

    def leave(self) -> None:
        """Follow the runs no longer."""
        self.service.unfollow_runs(self)
        if self.conversation is not None:
            self.conversation.leave(OverseerError("the RequestChannel was left before the answer came"))
            self.conversation = None

    def on_run(self, run: ProcessRunner) -> None:
        """Begin a conversation with a run."""
        self.conversation = Conversation(run, read=self._read, publish=self._publish)
        run.streams.add_sink("stdout", self.conversation)
        self._on_run()

    def on_run_end(self, run: ProcessRunner) -> None:
        """End the conversation with a run, whose output is complete."""
        conversation = self.conversation
        if conversation is not None and conversation.run is run:
            self.conversation = None
            conversation.finish()
