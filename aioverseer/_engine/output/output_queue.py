"""OutputQueue: the queue of one stream of a run, in which a prompt can be waited for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar, cast

from aioverseer._aio.timers import resolve
from aioverseer._engine.output.line_queue import LineQueue
from aioverseer.core.clock import Clock
from aioverseer.core.errors import OverseerError, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.framing import Lines, framing_of, is_lines
from aioverseer.core.options.numbers import no_seconds
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.expect import TextSearch, without_beginning
from aioverseer.core.typing import DEFAULT_LINE_BUFFER_SIZE

__all__ = ["OutputQueue", "UnfinishedSource"]

T = TypeVar("T")

_MOST = 16 * 1024 * 1024
"""Characters in which a pattern is searched before the wait is given up."""
_SHOWN = 200
"""Characters of the output in the message of an error."""


class UnfinishedSource(Protocol):
    """The pump of the stream."""

    def unfinished(self) -> str | bytes | None:
        """Return the line that has no end yet; None for none."""
        ...

    def read_at_once(self) -> bool:
        """Deliver what the pipe has now, without the event loop; return whether there was something."""
        ...

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back after each chunk that was read."""
        ...

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Call back no more. Idempotent."""
        ...


@exported_from("aioverseer")
class OutputQueue(LineQueue[T]):
    """The queue of one output stream of a Process: a ``LineQueue`` that can wait for a prompt.

    With another framing than lines its items are frames; see ``aioverseer.framing``.

    Attributes:
        stream: ``"stdout"`` or ``"stderr"``.
    """

    def __init__(
        self, spec: Spec, stream: str, *, clock: Clock, end_error: Callable[[str], Awaitable[Exception]] | None = None
    ) -> None:
        """Create an empty queue.

        Args:
            spec: Options of the run.
            stream: ``"stdout"`` or ``"stderr"``.
            clock: Clock of timeouts.
            end_error: Function that returns the error of a wait for more output than the run has written, given what
                was waited for; None for a run that knows none.
        """
        super().__init__(spec.queue_size)
        self.label = f"{stream} of {spec.id!r}"
        self._spec = spec
        self.stream = stream
        self._clock = clock
        self._end_error = end_error
        self.on_reader: Callable[[], None] | None = None
        self._source: UnfinishedSource | None = None
        self._most_bytes = 0 if is_lines(spec.framing, stream) else spec.queue_size * DEFAULT_LINE_BUFFER_SIZE
        """Bytes of frames at which the queue is full; 0 for lines, whose number is limit enough."""
        self._size = 0
        """Upper bound of the bytes of the frames in the queue. Frames that were taken are not subtracted at once."""
        self._taken = 0
        """Characters of the unfinished line that were taken."""
        self._is_expecting = False
        self._change: asyncio.Future[None] | None = None

    async def expect(self, pattern: str | bytes | re.Pattern[Any], timeout: float | None = None) -> re.Match[Any]:
        r"""Wait for output that matches, whether its line has an end or not, such as a prompt. Return the match.

        All output up to the end of the match is taken from the queue; what follows comes as items. ``match.string``
        begins with all that was in the queue, so ``match.string[: match.start()]`` is the output before the match. A
        wait that fails or is cancelled takes nothing.

        Output often comes in parts, and the first match counts. So end a pattern with what must follow: ``r"(\d+)\n"``
        waits for the whole number, ``r"\d+"`` may match its first digit. Lines end with ``\n`` in the text that is
        searched, also where the program writes ``\r\n``. A match is at most 64 KiB long.

        Args:
            pattern: Regular expression, searched as by ``re.search``; bytes with ``encoding=None``.
            timeout: Seconds to wait; None for no limit.

        Raises:
            TimeoutError: If nothing matches in time.
            RunEnded: If the output ends without a match. Raised at once.
            asyncio.QueueFull: If 16 MiB of output have come without a match.
            SpecError: If an argument is invalid, or the stream has another framing than lines.
            OverseerError: If another task waits in this method.
        """
        compiled = self._compiled(pattern)
        if timeout is not None and (why := no_seconds(timeout, none="for no limit")) is not None:
            raise SpecError(f"expect: timeout={timeout!r} {why}", option="timeout", value=timeout)
        if self._is_expecting:
            raise OverseerError(f"{self._name}: another task waits in expect(): take one after the other")
        deadline = None if timeout is None else self._clock.now() + timeout
        search = TextSearch(compiled, end=self._line_end)
        self._is_expecting = True
        self._begin_reading()
        if self._source is not None:
            self._source.watch(self._wake)
        # Lines are held here while a match is searched, so that the pipe is read on. A failure returns them.
        held: list[T] = []
        try:
            while True:
                batch = self._take_all()
                search.add(batch)
                held += batch
                unfinished = self._unfinished()
                if (found := search.search(unfinished)) is not None:
                    held, taken = search.rest_of(held, found.end())
                    self._taken += taken
                    return found
                if self._is_complete:
                    raise await self._error_at_end(compiled)
                if deadline is not None and self._clock.now() >= deadline:
                    last = search.last(unfinished, _SHOWN)
                    raise TimeoutError(
                        f"{self._name} has not matched {compiled.pattern!r} within {timeout:g} s; "
                        + (f"it ends with {last!r}" if last else "no more output has come")
                    )
                if search.size > _MOST:
                    raise asyncio.QueueFull(
                        f"{self._name} has not matched {compiled.pattern!r} in {search.size} characters: read it before"
                    )
                await self._wait_for_change(deadline)
        finally:
            self.put_back(held)
            self._is_expecting = False
            if self._source is not None:
                self._source.unwatch(self._wake)

    def connect(self, source: UnfinishedSource) -> None:
        """Set the source of the line that has no end yet."""
        self._source = source
        if self._is_expecting:
            source.watch(self._wake)

    def deliver(self, batch: Sequence[T]) -> None:
        """Add a batch of any size, without what was taken of its first line, and wake waiting readers."""
        if self._taken:
            batch, self._taken = without_beginning(batch, self._taken)
        super().deliver(batch)
        if self._most_bytes and self._is_over_after(batch) and not self._blocked and not self._shut:
            self._low = len(self._queue) // 2
            self._blocked = True
            if self.on_full is not None:
                self.on_full()

    def _is_over_after(self, batch: Sequence[Any]) -> bool:
        """Return whether the frames of the queue have more bytes than it holds, now that a batch was added."""
        self._size += sum(map(len, batch))
        if self._size < self._most_bytes:
            return False
        self._size = sum(map(len, cast("Iterable[Any]", self._queue)))
        return self._size >= self._most_bytes

    def _drop_oldest_surplus(self) -> int:
        dropped = super()._drop_oldest_surplus()
        if self._most_bytes and self._is_over_after(()):
            before = len(self._queue)
            while len(self._queue) > 1 and self._size >= self._most_bytes:
                frame: Any = self._queue.popleft()
                self._size -= len(frame)
            self._settle(before)
            dropped_too = before - len(self._queue)
            self._delivered -= dropped_too
            dropped += dropped_too
        return dropped

    def give_way(self) -> None:
        """Drop the oldest items beyond the size, so that the pipe is read on. ``missed`` counts them."""
        self.missed += self._drop_oldest_surplus()
        if self._blocked:
            self._make_room(0)

    async def _wait_for_line(self) -> None:
        if not self._had_waiter:
            self._begin_reading()
        if self._source is None or not self._source.read_at_once():
            await super()._wait_for_line()

    def _finish(self, *, immediate: bool) -> None:
        super()._finish(immediate=immediate)
        self.on_reader = None  # it leads back to the queue
        self._disconnect()

    @property
    def _is_complete(self) -> bool:
        """Whether no output follows."""
        return self._shut

    def _disconnect(self) -> None:
        """Forget the pump, whose pipe has ended."""
        self._source = None
        self._wake()

    def _begin_reading(self) -> None:
        """Note that a reader has come."""
        self._had_waiter = True
        if self.on_reader is not None:
            on_reader, self.on_reader = self.on_reader, None
            on_reader()

    @property
    def _name(self) -> str:
        return f"{self.stream} of {self._spec.id!r}"

    @property
    def _line_end(self) -> str | bytes:
        encoding, lines = self._spec.encoding, framing_of(self._spec.framing, self.stream)
        end = lines.end if isinstance(lines, Lines) and lines.end is not None else "\n"
        if encoding is None:
            return end.encode() if isinstance(end, str) else end
        return end if isinstance(end, str) else end.decode(encoding, self._spec.errors)

    def _compiled(self, pattern: str | bytes | re.Pattern[Any]) -> re.Pattern[Any]:
        framing = framing_of(self._spec.framing, self.stream)
        if not isinstance(framing, Lines):
            raise SpecError(
                f"expect: {self._name} has framing={framing!r}, which gives no lines: read its items",
                option="framing",
                value=framing,
            )
        given: Any = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
        kind = bytes if self._spec.encoding is None else str
        if not isinstance(given, kind):
            raise SpecError(
                f"expect: pattern={pattern!r} is no {kind.__name__}, but lines are, with "
                f"encoding={self._spec.encoding!r}",
                option="pattern",
                value=pattern,
            )
        try:
            return re.compile(pattern)
        except re.error as error:
            raise SpecError(
                f"expect: pattern={pattern!r} is no regular expression: {error}", option="pattern", value=pattern
            ) from None

    def _unfinished(self) -> Any:
        text = None if self._source is None else self._source.unfinished()
        return self._line_end[:0] if text is None else text[self._taken :]

    def _wake(self) -> None:
        if self._change is not None:
            resolve(self._change)

    async def _wait_for_change(self, deadline: float | None) -> None:
        change = self._change = asyncio.get_running_loop().create_future()
        timer = None if deadline is None else self._clock.call_at(deadline, lambda: resolve(change))
        try:
            await change
        finally:
            self._change = None
            if timer is not None:
                timer.cancel()

    async def _error_at_end(self, pattern: re.Pattern[Any]) -> Exception:
        if self._end_error is None:
            return self._at_end()
        return await self._end_error(f"its {self.stream} matched {pattern.pattern!r}")
