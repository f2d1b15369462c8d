"""The error at the end of a queue says which queue has ended, and why."""

from __future__ import annotations

import pytest

from aioverseer import LineQueue, Overseer, Process, QueueShutDown, Restart
from tests.support.programs import limit


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_queue_of_a_process(stream: str) -> None:
    """The same at the first reading and later."""
    async with limit(20):
        process = await Process("sh", "-c", "exit 4", id="web", streaming=True).start()
        await process.wait()
        queue: LineQueue[str] = getattr(process, stream)
        for _ in range(2):
            with pytest.raises(QueueShutDown, match=f"^{stream} of 'web' has ended: exited with code 4$"):
                await queue.get()
            with pytest.raises(QueueShutDown, match=f"^{stream} of 'web' has ended: exited with code 4$"):
                queue.get_nowait()


async def test_queue_of_a_service() -> None:
    """Old and new ones. A queue that was opened again has the reason of the next end."""
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("web", "sh", "-c", "exit 4", restart=Restart("never"))
        queue, errors = service.lines(), service.lines("stderr")
        await overseer.supervise("web")
        for one in (queue, service.lines()):
            with pytest.raises(
                QueueShutDown, match=r"^the queue of the lines of 'web' has ended: .*exited with code 4$"
            ):
                await one.get_batch()
        with pytest.raises(QueueShutDown, match=r"^the queue of stderr of 'web' has ended: .*exited with code 4$"):
            errors.get_nowait()
        overseer.update("web", "sh", "-c", "exit 5")
        await overseer.supervise("web")
        with pytest.raises(QueueShutDown, match=r"exited with code 5$"):
            await queue.get()
        errors.close()
        with pytest.raises(QueueShutDown, match=r"exited with code 5$"):
            errors.get_nowait()
        overseer.remove("web")
        with pytest.raises(QueueShutDown, match=r"exited with code 5$"):
            await queue.get()


async def test_queue_that_its_reader_has_closed() -> None:
    """Of a service, of all services, and one of the application's own."""
    async with limit(20), Overseer(containment="basic") as overseer:
        logs, lines = overseer.logs(), overseer.add("web", "true").lines()
        for queue, label in ((logs, "the queue of the lines of several services"), (lines, "the queue of the lines")):
            queue.close()
            with pytest.raises(QueueShutDown, match=rf"^{label}.* has ended: it was shut down$"):
                await queue.get()
    own = LineQueue[str]()
    own.shutdown()
    with pytest.raises(QueueShutDown, match=r"^the queue has ended: it was shut down$"):
        await own.put("x")
