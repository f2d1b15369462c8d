"""ThreadedRequestChannel: questions to a service whose askers block."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

from aioverseer import DEFAULT_STREAM_QUEUE_SIZE, RequestChannel, Service, SpecError
from aioverseer.core.export import exported_from
from aioverseer.threaded.instances import ThreadedInstances
from aioverseer.threaded.loop import Loop
from aioverseer.threaded.service import ThreadedService
from aioverseer.threaded.streams import next_item

__all__ = ["ThreadedRequestChannel"]


class _Encoded(NamedTuple):
    """A message of a caller in another thread."""

    data: bytes | str


def _wrapped_by(given: object, services: Sequence[ThreadedService]) -> Sequence[Service]:
    """Return the services on the loop; a set of instances as a whole, so that the channel follows its members."""
    if isinstance(given, ThreadedInstances):
        return given._instances  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # of the same face
    return [one._service for one in services]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # of the same face


@exported_from("aioverseer")
class ThreadedRequestChannel(Iterator[Any]):
    """A ``RequestChannel`` for plain code: a ``with`` block, a blocking ``ask``, a plain iterator.

    Any number of threads may ask at the same time. Its functions are called in the thread of the overseer, except
    ``send``.
    """

    def __init__(
        self,
        service: ThreadedService | Sequence[ThreadedService],
        *,
        send: Callable[[Any], bytes | str],
        key_of: Callable[[Any], Hashable | None],
        parse: Callable[[Any], Any] | None = None,
        on_demand: bool = False,
        idle_timeout: float | None = None,
        queue_size: int = DEFAULT_STREAM_QUEUE_SIZE,
    ) -> None:
        """Describe a channel. It is used inside ``with``.

        Args:
            service: The service of a ThreadedOverseer, several services of one, or ThreadedInstances.
            send: Function of a message that returns the bytes to be written.
            key_of: Function of a message of the program that returns the key that it answers, or None.
            parse: Function of an item of the output that returns the message; by default the item is the message.
            on_demand: Whether the first question starts the service.
            idle_timeout: Seconds without a pending question after which the service is stopped; needs ``on_demand``.
            queue_size: Number of messages without a question that are kept. The oldest ones are dropped first.

        Raises:
            SpecError: If a value is invalid.
        """
        given: Any = service
        several: list[ThreadedService] = [*given] if isinstance(given, Iterable) else []
        services = [service] if isinstance(service, ThreadedService) else several
        if not services or not all(isinstance(one, ThreadedService) for one in services):
            raise SpecError(
                f"service={service!r}: pass a ThreadedService, or several of them", option="service", value=service
            )
        self._loop: Loop = services[0]._loop  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # of the same face
        self._send = send
        self._taken: deque[Any] = deque()
        # The message of a caller is encoded in its own thread: an error is its own, and the loop is not held up.
        wrapped = _wrapped_by(service, services)
        self._channel = RequestChannel(
            wrapped,
            send=lambda message: message.data if isinstance(message, _Encoded) else send(message),
            key_of=key_of,
            parse=parse,
            on_demand=on_demand,
            idle_timeout=idle_timeout,
            queue_size=queue_size,
        )

    @property
    def async_channel(self) -> RequestChannel:
        """The channel on the event loop of the overseer, for functions that run there, as that of ``ready.check``."""
        return self._channel

    @property
    def missed(self) -> int:
        """Number of messages without a question that were dropped."""
        return self._channel.missed

    @property
    def pending(self) -> int:
        """Number of questions that wait."""
        return self._channel.pending

    def __enter__(self) -> Self:
        """Begin to read the answers; see ``RequestChannel``."""
        self._loop.run(self._channel.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the channel; see ``RequestChannel``. It has ended with its overseer, if that was left before."""
        if self._loop.is_running:
            self._loop.run(partial(self._channel.__aexit__, kind, error, trace))

    def ask(self, key: Hashable, message: Any, timeout: float | None = None) -> Any:
        """Write a question, wait for its answer and return it; see ``RequestChannel.ask``.

        Args:
            key: The key of the answer.
            message: The question, for the function ``send``.
            timeout: Seconds for the start of the service and the answer together; None for no limit.

        Raises:
            RunEnded: If the run ended before it answered; with the reason and the last lines.
            TimeoutError: If the time is over.
            NotReady: If the service is down and does not become ready.
        """
        data = _Encoded(self._send(message))

        async def ask() -> tuple[Any]:
            return (await self._channel.ask(key, data, timeout),)

        return self._loop.run(ask)[0]

    def notify(self, message: Any) -> None:
        """Write a message that has no answer; see ``RequestChannel.notify``."""
        self._loop.run(partial(self._channel.notify, _Encoded(self._send(message))))

    def __next__(self) -> Any:
        """Wait for the next message that answers nobody and return it."""
        queue = self._channel._queue  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # its other face
        return next_item(self._loop, self._taken, more=self._more, now=queue.get_nowait)

    async def _more(self) -> list[Any]:
        return [await anext(self._channel)]
