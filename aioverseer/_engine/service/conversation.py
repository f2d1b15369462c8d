"""Conversation: the questions to one run that wait for their answers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.process.stdin import StdinFeeder
from aioverseer.core.errors import ProcessNotRunning, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.framing import FRAME_LIMIT
from aioverseer.core.report.status import RunEnded, run_ended
from aioverseer.core.text.lines import ContinuedBytes, ContinuedLine

__all__ = ["Conversation", "LateAnswer"]

_PIECES = frozenset({ContinuedLine, ContinuedBytes})
_LATE_KEYS = 1000
"""Keys of unanswered questions that one run remembers, to tell late answers apart."""
_END_TIMEOUT = 1.0
"""Seconds in which a program that has closed its input or output must end. Otherwise it lives on without it."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class LateAnswer:
    """An answer that nobody waits for any more: its ``ask`` was cancelled, or its time was over.

    Attributes:
        id: Name of the service.
        run: Number of the run that has answered.
        key: Key of the question.
        message: The answer.
    """

    id: str
    run: int
    key: Hashable
    message: Any


class Conversation:
    """The questions to one run, and a ``LineSink`` of its standard output.

    Attributes:
        run: The run.
        pending: The questions that wait, by their keys.
    """

    def __init__(
        self,
        run: ProcessRunner,
        *,
        read: Callable[[Any], tuple[Any, Hashable | None]],
        publish: Callable[[list[Any]], None],
        last_words: Callable[[int], Sequence[str]],
    ) -> None:
        """Begin without questions.

        Args:
            run: The run.
            read: Function that returns the message of an item, and the key that it answers or None.
            publish: Receiver of the messages that answer nobody.
            last_words: Function of the number of a run that returns its last lines, for errors.
        """
        self.on_room: Callable[[], None] | None = None
        self.run = run
        self.pending: dict[Hashable, asyncio.Future[Any]] = {}
        self._late: dict[Hashable, None] = {}
        self._left = False
        self._pieces: list[Any] = []
        """Pieces of a line over ``line_limit``, ``_piece_size`` bytes or characters together."""
        self._piece_size = 0
        self._is_mute = False
        """Whether the program has closed its standard output."""
        self._read = read
        self._publish = publish
        self._last_words = last_words
        # In their order. The first one goes on when its caller is cancelled: half a frame would spoil every later one.
        self._writes: dict[asyncio.Task[None], None] = {}

    # The sink of standard output.

    @property
    def blocked(self) -> bool:
        """False: answers are taken at once, and other messages go to a bounded queue."""
        return False

    def deliver(self, batch: Sequence[Any]) -> None:
        """Give each answer to its question, and publish the rest."""
        if self._left:
            return
        unasked: list[Any] = []
        pending = self.pending
        for item in batch:
            if type(item) in _PIECES:
                unasked += self._keep_piece(item)
                continue
            message, key = self._read(self._joined(item) if self._pieces else item)
            if key is None:
                unasked.append(message)
            elif (future := pending.pop(key, None)) is not None and not future.done():
                future.set_result(message)
            elif future is not None or key in self._late:
                self._late.pop(key, None)
                unasked.append(self._as_late(key, message))
            else:
                unasked.append(message)
        if unasked:
            self._publish(unasked)

    def _keep_piece(self, piece: Any) -> list[Any]:
        """Keep a piece of a long line until its end comes; return the pieces of a line that is too long to be kept."""
        self._pieces.append(piece)
        self._piece_size += len(piece)
        if self._piece_size <= FRAME_LIMIT:
            return []
        pieces, self._pieces, self._piece_size = self._pieces, [], 0
        return pieces

    def _joined(self, last: Any) -> Any:
        """Return a long line as one item, given its last piece."""
        pieces, self._pieces, self._piece_size = self._pieces, [], 0
        return type(last)(last[:0].join((*pieces, last)))

    def end(self) -> None:
        """Fail the questions soon, unless the run ends, as it mostly does: no answer follows."""
        self._is_mute = True
        for key, future in self.pending.items():
            self._fail_soon(future, functools.partial(self._unanswered, key))

    # Questions.

    async def ask(self, key: Hashable, data: bytes | str, *, timeout: float | None, deadline: float | None) -> Any:
        """Write a question and wait for its answer; see ``RequestChannel.ask``.

        A cancellation ends the wait alone. If the question has begun, it is written completely, and its answer counts
        as late.

        Args:
            key: Key of the question.
            data: The question.
            timeout: The seconds of the error message.
            deadline: Monotonic time until which to wait; None for no limit.
        """
        if key in self.pending or key in self._late:
            what = "waits for its answer" if key in self.pending else "may still get a late answer"
            raise SpecError(
                f"key={key!r}: an earlier question with this key {what}: take a new key", option="key", value=key
            )
        if key is None:
            raise SpecError(
                "key=None: key_of returns None for messages that answer nobody: take another key",
                option="key",
                value=key,
            )
        future = asyncio.get_running_loop().create_future()
        self.pending[key] = future
        timer = write = None
        is_withdrawn = True
        try:
            write = self._write_for(future, key, data)
            is_withdrawn = False
            if deadline is not None:
                timer = self.run.clock.call_at(deadline, lambda: self._time_out(future, key, timeout))
            self.run.streams.read_at_once("stdout")
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._publish([self._as_late(key, future.result())])  # the answer has come in this iteration
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if write is not None:
                is_withdrawn = self._withdraw(write)
            if self.pending.get(key) is future:
                del self.pending[key]
                if not is_withdrawn:
                    self._late[key] = None
                if len(self._late) > _LATE_KEYS:
                    del self._late[next(iter(self._late))]

    async def notify(self, data: bytes | str) -> None:
        """Write a message that has no answer. If it has begun at a cancellation, it is written completely."""
        write = self._write(data)
        if write is not None:
            try:
                await asyncio.shield(write)
            except asyncio.CancelledError:
                self._withdraw(write)
                raise

    def finish(self) -> None:
        """Fail the questions that are left: the run has ended, and all its answers have come."""
        pending, self.pending = self.pending, {}
        if not pending:
            return
        status, lines = self.run.snapshot(lines=False).status(), self._last_words(self.run.number)
        for key, future in pending.items():
            if not future.done():
                future.set_exception(run_ended(status, f"it answered {key!r}", lines))

    def _unanswered(self, key: Hashable) -> RunEnded:
        status, lines = self.run.snapshot(lines=False).status(), self._last_words(self.run.number)
        return run_ended(status, f"it answered {key!r}", lines)

    def fail(self, error: Exception) -> None:
        """Fail the questions that wait. Their answers count as late."""
        for future in self.pending.values():
            if not future.done():
                future.set_exception(error)

    def leave(self, error: Exception) -> None:
        """Fail the questions that are left, and read no answer any more: the channel was left."""
        self._left = True
        pending, self.pending = self.pending, {}
        for future in pending.values():
            if not future.done():
                future.set_exception(error)

    def _write(self, data: bytes | str) -> asyncio.Task[None] | None:
        """Write, and return the task that writes what there is no room for now; None when all is written."""
        feeder = self._feeder()
        if not self._writes and feeder.write_at_once(data):
            return None
        if not isinstance(data, bytes | str | bytearray | memoryview):
            raise TypeError(f"send returned {type(data).__name__}: return the bytes to be written, or text")
        task = asyncio.get_running_loop().create_task(feeder.write(data))
        self._writes[task] = None
        task.add_done_callback(self._on_written)
        return task

    def _withdraw(self, write: asyncio.Task[None]) -> bool:
        """Cancel a write that waits for an earlier one, so that a program which does not read keeps no data here.

        Returns:
            Whether nothing of it is written.
        """
        if write not in self._writes or write is next(iter(self._writes)):
            return False
        write.cancel()
        return True

    def _on_written(self, task: asyncio.Task[None]) -> None:
        self._writes.pop(task, None)
        if not task.cancelled():
            task.exception()  # the caller that still waits gets it

    def _write_for(self, future: asyncio.Future[Any], key: Hashable, data: bytes | str) -> asyncio.Task[None] | None:
        if self._is_mute:
            self._fail_soon(future, functools.partial(self._unanswered, key))
            return None
        try:
            write = self._write(data)
        except ProcessNotRunning as error:
            self._fail_soon(future, functools.partial(_same, error))
            return None
        if write is not None:
            write.add_done_callback(lambda task: self._on_question_written(future, task))
        return write

    def _on_question_written(self, future: asyncio.Future[Any], task: asyncio.Task[None]) -> None:
        if task.cancelled():  # its question was withdrawn, or the loop is being closed
            return
        error = task.exception()
        if isinstance(error, ProcessNotRunning):
            self._fail_soon(future, functools.partial(_same, error))
        elif error is not None and not future.done():
            future.set_exception(error)

    def _fail_soon(self, future: asyncio.Future[Any], error: Callable[[], Exception]) -> None:
        """Fail a question without an answer, unless the end of the run tells more about it."""

        def fail() -> None:
            if not future.done():
                future.set_exception(error())

        clock = self.run.clock
        timer = clock.call_at(clock.now() + _END_TIMEOUT, fail)
        future.add_done_callback(lambda _: timer.cancel())

    def _feeder(self) -> StdinFeeder:
        feeder = self.run.stdin
        if feeder is None or not feeder.is_for_writers:
            raise SpecError(
                f'{self.run.spec.id!r} has no pipe to write to: give it stdin="pipe"', option="stdin", value=None
            )
        return feeder

    def _as_late(self, key: Hashable, message: Any) -> LateAnswer:
        return LateAnswer(id=self.run.spec.id, run=self.run.number, key=key, message=message)

    def _time_out(self, future: asyncio.Future[Any], key: Hashable, timeout: float | None) -> None:
        if not future.done():
            future.set_exception(
                TimeoutError(f"{self.run.spec.id!r} has not answered {key!r} within {timeout:g} s: {self.run.reason}")
            )


def _same(error: Exception) -> Exception:
    return error
