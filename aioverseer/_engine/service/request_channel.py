"""RequestChannel: questions and answers over the standard streams of a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from aioverseer._aio.timers import OneShotTimer, resolve
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
from aioverseer.core.options.destinations import destinations, read_streams
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
            service: The service, with ``stdin="pipe"``. Of several services, or Instances, a question goes to the
                ready one with the fewest pending questions.
            send: Function of a message that returns the bytes to be written, with the end of the line or frame.
            key_of: Function of a message of the program that returns the key that it answers, or None.
            parse: Function of an item of the output, such as ``json.loads``, that returns the message; by default the
                item is the message. An item for which ``parse`` or ``key_of`` raises answers nobody.
            on_demand: Whether the first question starts the service.
            idle_timeout: Seconds without a pending question after which the service is stopped; needs ``on_demand``.
            queue_size: Number of messages without a question that are kept. The oldest ones are dropped first.

        Raises:
            SpecError: If a value is invalid, or a service has no input to write to, or its output is not read.
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
            if "stdout" not in read_streams(one.spec):
                raise SpecError(
                    f'{one.id!r} has no answers, as its stdout is not read: give it stdout="read"',
                    option="stdout",
                    value=destinations(one.spec)[0],
                )
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
            self._link(one._runner)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the engine of the handle
            for one in services
        ]
        # The engine of Instances, whose members change. Their class stands above this file.
        self._source: _MemberSource | None = getattr(service, "_instances", None)
        self._added: asyncio.Future[None] | None = None
        """Resolved when a member is added, for questions that wait until any is ready."""
        self._send = send
        self._key_of = key_of
        self._parse = parse
        self._on_demand = on_demand
        self._idle_timeout = idle_timeout
        self._queue: RecentQueue[Any] = RecentQueue(queue_size)
        self._clock = self._members[0].service.clock
        self._idle_timer = OneShotTimer(self._clock)
        self._start: asyncio.Future[Any] | None = None
        """The start that has put the stop for idleness off, since the last question."""
        self._asking = 0
        self._has_reported = False
        self._left: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

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
        self._loop = asyncio.get_running_loop()
        self._left = self._loop.create_future()
        for member in self._members:
            member.join()
        if self._source is not None:
            for service in self._source.members:  # ``scale`` may have added some since the channel was made
                self._on_added(service)
            self._source.follow(self._on_added)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the channel. Pending questions raise OverseerError. The service goes on."""
        if self._source is not None:
            self._source.unfollow(self._on_added)
        for member in self._members:
            member.leave(OverseerError("the RequestChannel was left before the answer came"))
        self._end()

    def _link(self, service: ServiceRunner) -> _ServiceLink:
        return _ServiceLink(service, read=self._read, publish=self._publish, on_run=self._on_run, on_gone=self._on_gone)

    def _on_added(self, service: ServiceRunner) -> None:
        """Follow one more service, which ``scale`` has added."""
        self._members = [member for member in self._members if not member.is_gone]
        if any(member.service is service for member in self._members):  # it was taken away, and is taken back
            return
        self._members.append(self._link(service))
        self._members[-1].join()
        if self._added is not None:
            resolve(self._added)

    def _on_gone(self) -> None:
        """End the channel if no service of it is left, so that nobody waits for messages that cannot come."""
        if self._source is not None and not self._source.removed:
            return
        if all(member.is_gone for member in self._members):
            self._end()

    def _end(self) -> None:
        if self._left is not None:
            resolve(self._left)
        self._idle_timer.cancel()
        self._forget_start()
        self._queue.end()

    async def ask(
        self, key: Hashable, message: Any, timeout: float | None = None, *, run: Process | None = None
    ) -> Any:
        """Write a question and return its answer.

        Between two runs, and until the service is ready, the question waits. When this is cancelled, or the time is
        over, the question is still written completely if it has begun, and its answer comes as a ``LateAnswer``.

        Args:
            key: The key of the answer, not None. It is new for each question to one run.
            message: The question, for the function ``send``.
            timeout: Seconds for the start of the service and the answer together; None for no limit.
            run: The run to ask, ready or not, in the function of ``ready.check`` that prepares it; by default the
                question goes to a run that is ready.

        Raises:
            RunEnded: If the run, or its standard output, ended before it answered; with the reason and the last lines.
            TimeoutError: If the time is over; as NotReadyInTime, if the service was not ready in time.
            NotReady: If the service is down and does not become ready.
            ProcessNotRunning: If the program has closed its standard input and lives on.
            StopFailed: If the program still exists after its whole ladder.
            SpecError: If an earlier question with this key has no answer yet, the timeout is invalid, or the run is
                none of this channel.
            OverseerError: If the channel is not in use, or is left meanwhile; or if a function of ``ready.check`` asks
                without ``run``, as it would wait for its own end.
        """
        if timeout is not None and (why := no_seconds(timeout, none="for no limit")) is not None:
            raise SpecError(f"ask: timeout={timeout!r} {why}", option="timeout", value=timeout)
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
            self._finish()

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
            self._finish()

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
            if (conversation := member.with_run(runner)) is not None:
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
        tried: set[_ServiceLink] = set()
        error: BaseException | None = None
        while (conversation := self._ready()) is None:
            self._check()
            links = [link for link in self._members if not link.is_gone]
            if self._on_demand and links:
                links = [link for link in links if not link.is_down] or self._start_one(links, tried, error)
            error = await self._first_ready(links, timeout, deadline)
            if error is not None and not self._on_demand:
                raise error
        return conversation

    def _start_one(
        self, links: Sequence[_ServiceLink], tried: set[_ServiceLink], error: BaseException | None
    ) -> list[_ServiceLink]:
        """Start the first service that the question has not tried yet, and return it.

        Args:
            links: The services, all of which are down.
            tried: The services that were tried. The one that is started is added.
            error: The error of the last one; None for none.
        """
        for link in links:
            if link in tried:
                continue
            tried.add(link)
            try:
                link.service.check(starting=True)
                link.service.waiters.check()
            except OverseerError as refused:  # it was removed, or does not die
                error = refused
            else:
                link.service.run_now()
                return [link]
        assert error is not None  # noqa: S101  # each service has been tried
        raise error

    async def _first_ready(
        self, links: Sequence[_ServiceLink], timeout: float | None, deadline: float | None
    ) -> BaseException | None:
        """Wait until one service is ready, or the channel is left; return the last error if none can become ready.

        Raises:
            NotReadyInTime: If the time is over.
        """
        left = self._left
        assert left is not None  # noqa: S101  # checked by the caller
        futures = {
            link.service.waiters.until_run() if self._on_demand else link.service.waiters.until(State.RUNNING): (
                link.service.waiters
            )
            for link in links
        }
        over: asyncio.Future[None] = left.get_loop().create_future()
        timer = None if deadline is None else self._clock.call_at(deadline, lambda: resolve(over))
        if self._added is None or self._added.done():
            self._added = left.get_loop().create_future()
        added = self._added
        waiting, error = list(futures), None
        try:
            while True:
                ended = [future for future in waiting if future.done()]
                if left.done() or added.done() or any(future.exception() is None for future in ended):
                    return None
                waiting = [future for future in waiting if future not in ended]
                error = ended[0].exception() if ended else error
                if not waiting and (futures or self._source is None):
                    return error
                if over.done() and not waiting:
                    raise TimeoutError(f"no answer after {timeout:g} s: there is no instance to ask")
                if over.done() and timeout is not None:
                    futures[waiting[0]].time_out(waiting[0], State.RUNNING, timeout)
                    waiting[0].result()
                pending: set[asyncio.Future[Any]] = {*waiting, left, over, added}
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if timer is not None:
                timer.cancel()
            for future in futures:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # known by now, or of no interest

    # Items of the output.

    def _read(self, item: Any) -> tuple[Any, Hashable | None]:
        """Return the message of an item, and the key that it answers or None."""
        try:
            message = item if self._parse is None else self._parse(item)
            key = self._key_of(message)
            hash(key)  # a value without a hash is no key
        except Exception as error:  # noqa: BLE001  # a function of the user: half a message, or a bug; reported once
            if not self._has_reported:
                self._has_reported = True
                report_error("a message could not be read, and answers nobody; further ones are not reported", error)
            return item, None
        return message, key

    def _publish(self, messages: list[Any]) -> None:
        """Queue messages that answer nobody."""
        self._queue.deliver(messages)

    # When to stop.

    def _begin(self) -> None:
        self._check()
        self._asking += 1
        if self._idle_timeout is not None:
            self._idle_timer.cancel()
            self._forget_start()

    def _finish(self) -> None:
        self._asking -= 1
        self._rearm()

    def _on_run(self) -> None:
        if not self._idle_timer.is_armed:  # a restart by policy is no reason to go on for longer
            self._rearm()

    def _rearm(self) -> None:
        if self._idle_timeout is not None and self._asking == 0 and self._left is not None and not self._left.done():
            self._idle_timer.arm(self._clock.now() + self._idle_timeout, self._stop_idle)

    def _stop_idle(self) -> None:
        starting = [member.service for member in self._members if member.service.state is State.STARTING]
        if starting and self._start is None:
            # Somebody else has started it, and waits for it. Its idle time begins when it is ready. A second start is
            # a restart by policy, which puts nothing off.
            self._start = starting[0].waiters.until(State.RUNNING)
            self._start.add_done_callback(self._on_started)
            return
        for member in self._members:
            if member.service.state.is_live:
                member.service.request_stop(why=f"nothing was asked for {self._idle_timeout:g} s")

    def _forget_start(self) -> None:
        if self._start is not None:
            self._start.cancel()
            self._start = None

    def _on_started(self, start: asyncio.Future[Any]) -> None:
        if not start.cancelled():
            start.exception()  # the one that has started it gets the error
            if not self._idle_timer.is_armed:
                self._rearm()

    def _check(self) -> None:
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            self._members[0].service.check()  # raises, with what to do
        if self._left is None or self._left.done():
            for link in self._members:
                if link.is_gone:
                    link.service.waiters.check()
                    link.service.check()
            raise OverseerError("the RequestChannel is not in use: ask inside of its `async with` block")


class _MemberSource(Protocol):
    """A set of instances, as a channel follows it."""

    members: list[ServiceRunner]
    removed: bool

    def follow(self, on_added: Callable[[ServiceRunner], None]) -> None: ...

    def unfollow(self, on_added: Callable[[ServiceRunner], None]) -> None: ...


class _ServiceLink:
    """One service of a channel, and the conversations with its runs."""

    def __init__(
        self,
        service: ServiceRunner,
        *,
        read: Callable[[Any], tuple[Any, Hashable | None]],
        publish: Callable[[list[Any]], None],
        on_run: Callable[[], None],
        on_gone: Callable[[], None],
    ) -> None:
        self.service = service
        self.is_gone = False
        self._read = read
        self._publish = publish
        self._on_run = on_run
        self._on_gone = on_gone
        self._conversations: dict[int, Conversation] = {}

    @property
    def conversation(self) -> Conversation | None:
        """The conversation with the current run; None without one."""
        return self._conversations.get(self.service.number)

    def with_run(self, run: ProcessRunner) -> Conversation | None:
        """Return the conversation with a run, in a roll also with one that is not the current one."""
        found = self._conversations.get(run.number)
        return found if found is not None and found.run is run else None

    @property
    def ready(self) -> Conversation | None:
        """The conversation, if its run is ready; else None."""
        return self.conversation if self.service.machine.state is State.RUNNING else None

    @property
    def is_checked_by_this_task(self) -> bool:
        """Whether this task calls the function of a probe for the current run."""
        return any(is_check_of(conversation.run.spec) for conversation in self._conversations.values())

    @property
    def is_down(self) -> bool:
        """Whether the service is not about to become ready: it must be started."""
        state = self.service.state
        return state.is_final or state in (State.INITIAL, State.WAITING, State.STOPPING)

    def join(self) -> None:
        """Begin to follow the runs of the service."""
        self.service.follow_runs(self)

    def leave(self, error: Exception) -> None:
        """Follow the runs no longer. Idempotent.

        Args:
            error: The error of the questions that wait.
        """
        self.service.unfollow_runs(self)
        conversations, self._conversations = self._conversations, {}
        for conversation in conversations.values():
            conversation.run.streams.remove_sink("stdout", conversation)
            conversation.leave(error)

    def on_run(self, run: ProcessRunner) -> None:
        """Begin a conversation with a run."""
        conversation = self._conversations[run.number] = Conversation(
            run, read=self._read, publish=self._publish, last_words=self.service.last_words
        )
        run.streams.add_sink("stdout", conversation)
        self._on_run()

    def on_run_end(self, run: ProcessRunner) -> None:
        """End the conversation with a run, whose output is complete."""
        conversation = self.with_run(run)
        if conversation is not None:
            del self._conversations[run.number]
            conversation.finish()

    def on_unstoppable(self, run: ProcessRunner, error: Exception) -> None:
        """Fail the questions to a program that does not end, as every wait for it does."""
        conversation = self.with_run(run)
        if conversation is not None:
            conversation.fail(error)

    def on_gone(self) -> None:
        """Leave a service that was removed, or whose overseer was left."""
        self.is_gone = True
        self.leave(OverseerError(f"the overseer of {self.service.id!r} was left before the answer came"))
        self._on_gone()
