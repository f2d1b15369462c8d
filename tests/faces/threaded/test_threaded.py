"""ThreadedOverseer: an overseer for code without an event loop, with real programs."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
from typing import Any

import anyio
import pytest

from aioverseer import (
    NotReady,
    Overseer,
    OverseerError,
    Restart,
    Roll,
    RollFailed,
    Service,
    Spec,
    State,
    Stop,
    ThreadedOverseer,
    ThreadedService,
    UnknownService,
)
from tests.support.programs import child

ECHO = child(
    """
    import sys
    print("up", flush=True)
    for line in sys.stdin:
        print(line.strip().upper(), flush=True)
    """
)


def test_plain_code_starts_talks_to_and_stops_a_service() -> None:
    """Calls of a plain program start a service, write to it, restart it and stop it."""
    with ThreadedOverseer(name="plain") as overseer:
        service = overseer.add("echo", *ECHO, stdin="pipe")
        lines = service.lines(overflow="block")
        assert service.start().state is State.RUNNING
        assert next(lines).text == "up"
        service.write("hello\n")
        assert next(lines).text == "HELLO"
        first = service.pid
        assert service.restart().pid != first
        status = service.stop()
    assert (State.INTERRUPT, signal.SIGTERM) == (status.state, status.signal)
    assert [] == [thread.name for thread in threading.enumerate() if "aioverseer" in thread.name]


def test_plain_code_rolls_instances() -> None:
    """The call blocks until each has a new run; a paused roll is resumed or taken back."""
    bad = child("import sys; sys.exit(3)")
    with ThreadedOverseer() as overseer:
        rules = Roll(min_ready=0.0, on_failure="pause")
        web = overseer.add_instances("web", *ECHO, instances=2, stdin="pipe", restart=Restart("never"), roll=rules)
        web.start()
        first = [service.pid for service in web]
        report = web.roll(by="alice")
        assert (report.outcome, report.by) == ("done", "alice")
        assert not set(first) & {service.pid for service in web}
        overseer.update("web", *bad, roll=Roll(min_ready=5.0, on_failure="pause"))
        with pytest.raises(RollFailed, match="exited with code 3") as caught:
            web.roll()
        assert caught.value.report.outcome == "paused"
        taken_back = web.cancel_roll()
        assert taken_back.outcome == "rolled back"
        with pytest.raises(OverseerError, match="there is none to resume"):
            web.resume_roll()
        assert [service.spec.argv for service in web] == [ECHO, ECHO]


def test_exception_in_the_block_stops_all_services() -> None:
    """The exception passes through."""
    overseer = ThreadedOverseer()
    overseer.add("sleeper", "sleep", "100")

    def use() -> None:
        with overseer:
            overseer.start("sleeper")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        use()
    assert overseer["sleeper"].state is State.INTERRUPT


def test_second_use_keeps_services_and_unread_lines() -> None:
    """Iterators of the first use can be read after its end."""
    overseer = ThreadedOverseer()
    service = overseer.add("talker", *child("print('one'); print('two')"))
    with overseer:
        lines = service.lines()
        logs = overseer.logs()
        events = overseer.events()
        assert overseer.supervise("talker").ok
    assert ["one", "two"] == [line.text for line in lines]
    assert 2 == len(list(logs))
    assert [State.STARTING, State.RUNNING, State.FINISHED] == [event.state for event in events]
    with overseer:
        assert overseer.supervise_all()["talker"].ok


def test_services_are_supervised_while_the_caller_waits() -> None:
    """A crash leads to a restart while the calling thread is blocked."""
    restarted = threading.Event()
    with ThreadedOverseer() as overseer:
        service = overseer.add("crasher", "sleep", "100").start()

        def watch() -> None:
            service.wait_for(lambda status: status.restarts == 1 and status.state is State.RUNNING)
            restarted.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        service.signal(signal.SIGKILL)
        assert restarted.wait(10)
        watcher.join()
        assert 1 == service.restarts
        assert 1 == len(service.history)


def test_errors_are_those_of_the_async_methods() -> None:
    """Misuse of the block and of ``handle_signals`` raises OverseerError."""
    overseer = ThreadedOverseer()
    with pytest.raises(OverseerError, match="inside `with`"):
        overseer.start_all()
    with overseer:
        with pytest.raises(UnknownService, match="'nobody'"):
            overseer.start("nobody")
        overseer.add("missing", "no-such-program", restart=Restart("never"))
        with pytest.raises(NotReady, match="no-such-program"):
            overseer.start_all()
        with pytest.raises(OverseerError, match="in use already"):
            overseer.__enter__()
    with pytest.raises(OverseerError, match="cannot handle signals"):
        ThreadedOverseer(handle_signals=True)


def test_registry_works_with_and_without_the_thread() -> None:
    """Names, groups, updates and removal."""
    overseer = ThreadedOverseer()
    one = overseer.add(Spec(id="one", argv=("true",), group="a"))
    overseer.add("two", "true")
    assert (["one", "two"], ["one"], 2) == (overseer.list_all(), overseer.list_group("a"), len(overseer))
    assert ["one", "two"] == list(overseer)
    assert "one" in overseer
    assert overseer["one"] is one
    with overseer:
        overseer.update("one", stop=Stop(timeout=1))
        assert 1.0 == one.spec.stop.steps[0].timeout
        overseer.remove("two")
        assert not overseer.has_proc("two")
        assert "initial" == overseer.to_json("one")["state"]
        assert "has not been started" in str(one.why())
        assert overseer.stop_all().ok


def test_threaded_overseer_works_in_a_thread_of_an_async_program() -> None:
    """The event loop of the program runs meanwhile."""

    async def main() -> State:
        def use() -> State:
            with ThreadedOverseer() as overseer:
                return overseer.add("sleeper", "sleep", "100").start().state

        return await asyncio.to_thread(use)

    assert State.RUNNING == asyncio.run(main())


@pytest.mark.parametrize(("threaded", "original"), [(ThreadedOverseer, Overseer), (ThreadedService, Service)])
def test_every_public_method_has_a_threaded_counterpart(threaded: type, original: type) -> None:
    """Except for names that make sense only on the event loop."""
    on_the_loop = {"received_signal", "process"}
    names = {name for name, _ in inspect.getmembers(original) if not name.startswith("_")} - on_the_loop
    assert set() == names - {name for name, _ in inspect.getmembers(threaded)}


def test_lost_lines_are_counted() -> None:
    """As in async code."""
    with ThreadedOverseer() as overseer:
        service = overseer.add("many", "sh", "-c", "echo 1; echo 2; echo 3", restart=Restart("never"))
        lines = service.lines(size=1, overflow="drop_oldest")
        service.start()
        service.wait()
        assert ["3"] == [str(line.text) for line in lines]
        assert 2 == lines.missed


def test_loop_that_cannot_be_made_is_an_error_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without any descriptor left. The next attempt works."""

    def fail(*_given: object, **_options: object) -> None:
        raise OSError(24, "Too many open files")

    overseer = ThreadedOverseer()
    with monkeypatch.context() as patch:
        patch.setattr(anyio, "run", fail)
        with pytest.raises(OSError, match="Too many open files"):
            overseer.open()
    assert [] == [thread.name for thread in threading.enumerate() if "aioverseer" in thread.name]
    with overseer:
        assert [] == overseer.list_all()


def test_error_at_the_end_of_the_interpreter_is_one_record(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Python would show a traceback of this library."""

    def fail() -> None:
        raise OverseerError("'db' does not die")

    overseer = ThreadedOverseer(name="plain")
    monkeypatch.setattr(overseer, "close", fail)
    overseer._close_at_exit()
    assert ["plain: 'db' does not die"] == [record.getMessage() for record in caplog.records]


def test_interrupted_end_of_a_block_ends_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second attempt to leave is not interrupted."""
    overseer = ThreadedOverseer()
    run = overseer._loop.run
    interrupts = [KeyboardInterrupt()]

    def interrupted(work: Any) -> Any:
        if interrupts:
            raise interrupts.pop()
        return run(work)

    with pytest.raises(KeyboardInterrupt), overseer:  # noqa: PT012
        overseer.add("sleeper", "sleep", "100").start()
        monkeypatch.setattr(overseer._loop, "run", interrupted)
    assert [] == [thread.name for thread in threading.enumerate() if "aioverseer" in thread.name]
    assert not overseer["sleeper"].state.is_live


def test_interrupt_is_raised_from_the_error_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are shown."""
    overseer = ThreadedOverseer()
    close, failure = overseer._loop.close, OverseerError("'db' does not die")
    errors: list[BaseException] = [failure, KeyboardInterrupt()]

    def failing(leave: Any) -> None:
        close(leave)
        raise errors.pop()

    monkeypatch.setattr(overseer._loop, "close", failing)
    with pytest.raises(KeyboardInterrupt) as caught, overseer:
        pass
    assert failure is caught.value.__cause__
