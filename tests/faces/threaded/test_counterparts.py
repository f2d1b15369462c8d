"""Methods of ThreadedOverseer and ThreadedService do what their async counterparts do, with real programs."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from threading import current_thread

import pytest

import aioverseer
from aioverseer import (
    Cron,
    NotReady,
    NotReadyInTime,
    Restart,
    Spec,
    SpecError,
    State,
    ThreadedOverseer,
    ThreadedRequestChannel,
    ready,
)
from tests.support.programs import child

SIZE = child(
    """
    import os, signal
    signal.signal(signal.SIGWINCH, lambda *_: print(*os.get_terminal_size(1), flush=True))
    print("up", flush=True)
    while True:
        rest()
    """
)


ALONE = {"Overseer.received_signal"}
"""Names without a counterpart: a thread cannot handle signals."""


@pytest.mark.parametrize(
    ("original", "threaded"),
    [
        (aioverseer.Overseer, aioverseer.ThreadedOverseer),
        (aioverseer.Service, aioverseer.ThreadedService),
        (aioverseer.Instances, aioverseer.ThreadedInstances),
        (aioverseer.Plan, aioverseer.ThreadedPlan),
    ],
    ids=lambda kind: kind.__name__,
)
def test_each_public_name_has_a_counterpart(original: type, threaded: type) -> None:
    """Methods and properties of both classes have the same names."""
    names = {f"{original.__name__}.{name}" for name in set(dir(original)) - set(dir(threaded)) if name[0] != "_"}
    assert set() == names - ALONE


@pytest.fixture
def overseer() -> Iterator[ThreadedOverseer]:
    """An overseer that runs."""
    with ThreadedOverseer(containment="basic") as overseer:
        yield overseer


def test_overseer_without_services_is_true(overseer: ThreadedOverseer) -> None:
    """The expression ``given or default`` keeps an empty overseer."""
    assert overseer
    assert 0 == len(overseer)


def test_containment_is_the_level_in_force(overseer: ThreadedOverseer) -> None:
    """The level that was asked for needs nothing."""
    assert "basic" == overseer.containment.level


def test_verbs_with_an_id_are_those_of_the_service(overseer: ThreadedOverseer) -> None:
    """Start, restart, signal and stop by the name."""
    service = overseer.add("x", "sleep", "100", restart=Restart("never"))
    assert "x" == overseer["x"].id == service.id
    assert service is overseer.start("x")
    first = service.pid
    assert service is overseer.restart("x")
    assert first != service.pid
    assert {"x": State.RUNNING} == {id: why.state for id, why in overseer.why().items()}
    overseer.signal("x", signal.SIGKILL)
    assert signal.SIGKILL == service.wait().signal
    overseer.start("x")
    assert State.INTERRUPT is overseer.stop("x").state


def test_instances_are_one_set_in_a_thread(overseer: ThreadedOverseer) -> None:
    """Made, scaled, read and stopped by blocking calls."""
    web = overseer.add_instances("web", "sh", "-c", "echo {id}; exec sleep 100", instances=2)
    assert web is overseer.instances("web")
    with web:
        assert [f"web.{number}" for number in range(2)] == [service.id for service in web]
        assert web[0] is overseer["web.0"]
        assert 3 == len(web.scale(3)) == web.ready().status().ready
        assert {"web.0", "web.1", "web.2"} == {next(lines).text for lines in [web.lines(history=3)] for _ in range(3)}
        assert State.RUNNING == web.state == overseer.why()["web.2"].state
        web.signal(signal.SIGKILL)
        assert 3 == web.wait_for(lambda status: status.restarts == 3 == status.ready).restarts == web.restarts
        assert web is overseer.restart("web")
    echo = overseer.add_instances("echo", "cat", instances=1, stdin="pipe").start()
    with ThreadedRequestChannel(echo, send=lambda text: f"{text}\n", key_of=lambda line: line) as channel:
        echo.scale(2)
        assert ["0", "1"] == [channel.ask(key, key, 10) for key in "01"]
        echo[0].stop()
        assert "2" == channel.ask("2", "2", 10)
    echo.stop()
    assert overseer.scale("web", 2) is web
    assert "done" == overseer.roll("web").outcome
    web.stop()
    assert "interrupted" == str(overseer.status("web").state)
    overseer.remove("web")
    assert "3" not in repr(overseer)


def test_set_that_a_plan_has_added_has_its_name(overseer: ThreadedOverseer) -> None:
    spec = Spec.of("web", ["sleep", "100"], instances=2, reload=["true"])
    overseer.plan([spec]).apply()
    assert overseer.restart("web") is overseer.instances("web")
    overseer.reload("web")
    assert State.INTERRUPT is overseer.stop("web").state
    overseer.remove("web")
    lone = overseer.add("web", "sleep", "100")
    assert overseer.start("web") is lone


def test_trigger_runs_a_service_with_a_schedule(overseer: ThreadedOverseer) -> None:
    """Now, and it stays armed; by its name, and by its handle."""
    service = overseer.add("x", "sleep", "100", schedule=Cron("@yearly"))
    overseer.start_all()
    assert (State.WAITING, None) == (service.state, service.process)
    assert service is overseer.trigger("x", by="me") is service.trigger()
    assert ("its next run", "me") == (service.why().due, service.status().by)
    assert State.INTERRUPT is service.stop().state
    with pytest.raises(SpecError, match="has no schedule"):
        overseer.add("y", "true").trigger()


def test_group_has_a_status(overseer: ThreadedOverseer) -> None:
    """The number of restarts is that of the group."""
    overseer.group("g", "one_for_all", restart=Restart(max_restarts=7))
    overseer.add("x", "sleep", "100", group="g")
    assert 7 == overseer.group_status("g").restarts_left


def test_resource_is_entered_and_left_on_the_loop(overseer: ThreadedOverseer) -> None:
    """The value of the manager is handed over as it is, an awaitable one too."""
    threads: list[str] = []

    async def value() -> None:
        """Never called: the coroutine itself is the value."""

    made = value()

    @asynccontextmanager
    async def pool() -> AsyncGenerator[object]:
        threads.append(current_thread().name)
        yield made
        threads.append(current_thread().name)

    service = overseer.add_resource("pool", pool).start()
    assert made is service.resource
    service.stop()
    made.close()
    assert 2 == len(threads)
    assert current_thread().name not in threads


def test_input_ends_after_pending_writes(overseer: ThreadedOverseer) -> None:
    """The program reads all that was written, and then the end of its input."""
    cat = overseer.add("cat", "cat", stdin="pipe").start()
    lines = cat.lines(overflow="block")
    cat.write("one\ntwo\n")
    cat.write_eof()
    assert cat.wait().ok
    assert ["one", "two"] == [getattr(next(lines), "text", ""), getattr(next(lines), "text", "")]


def test_input_is_closed_at_once(overseer: ThreadedOverseer) -> None:
    """The program reads the end of its input."""
    cat = overseer.add("cat", "cat", stdin="pipe").start()
    cat.close_stdin()
    assert cat.wait().ok


def test_terminal_is_resized(overseer: ThreadedOverseer) -> None:
    """The program is told, and sees columns and rows."""
    service = overseer.add("size", *SIZE, pty=True, ready=ready.line("up"))
    lines = service.lines(overflow="block")
    service.start()
    service.resize(91, 33)
    assert ["up", "91 33"] == [getattr(next(lines), "text", ""), getattr(next(lines), "text", "")]


def test_readiness_is_awaited_with_a_limit(overseer: ThreadedOverseer) -> None:
    """A running service is returned at once."""
    cat = overseer.add("cat", "cat", stdin="pipe").start()
    assert cat is cat.ready(timeout=10)
    cat.stop()
    slow = overseer.add("slow", "sleep", "100", ready=ready.line("never"))
    events = overseer.events()
    with ThreadPoolExecutor() as pool:
        start = pool.submit(slow.start)
        next(events)
        with pytest.raises(NotReadyInTime):
            slow.ready(timeout=0.01)
        slow.stop()
        assert isinstance(start.exception(), NotReady)


def test_closed_iterator_ends(overseer: ThreadedOverseer) -> None:
    """Lines that come later are not kept for it."""
    cat = overseer.add("cat", "cat", stdin="pipe").start()
    lines = cat.lines()
    lines.close()
    cat.write("late\n")
    cat.write_eof()
    assert cat.wait().ok
    assert [] == list(lines)


def test_next_event_is_awaited(overseer: ThreadedOverseer) -> None:
    """The iterator blocks until the event has come."""
    events = overseer.events()
    cat = overseer.add("cat", "cat", stdin="pipe").start()
    assert [State.STARTING, State.RUNNING] == [next(events).state, next(events).state]
    assert None is events.get_nowait()
    cat.close_stdin()
    assert State.FINISHED is next(events).state
