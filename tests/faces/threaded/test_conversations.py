"""Runs and questions for code without an event loop, with real programs."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from aioverseer import (
    Backoff,
    Exit,
    OverseerError,
    Process,
    RequestChannel,
    Restart,
    RunEnded,
    SpecError,
    State,
    ThreadedOverseer,
    ThreadedRequestChannel,
    framing,
    ready,
)
from aioverseer.testing import FakeChild, ScriptedLauncher
from tests.support.programs import child

NEVER = Restart("never")
ALWAYS = Restart("always", max_restarts=None, backoff=Backoff(min=0.0, max=0.0))
SERVER = child(
    """
    import json, sys
    for line in sys.stdin:
        request = json.loads(line)
        if request["text"] == "exit":
            sys.exit("bye")
        print(json.dumps({"notice": request["id"]}))
        print(json.dumps({"id": request["id"], "text": request["text"].upper()}), flush=True)
    """
)


def channel_to(*services: object) -> ThreadedRequestChannel:
    return ThreadedRequestChannel(
        services,  # type: ignore[arg-type]  # also wrong ones
        send=lambda message: (json.dumps(message) + "\n").encode(),
        parse=json.loads,
        key_of=lambda message: message.get("id"),
    )


def test_each_run_is_read_to_its_end() -> None:
    with ThreadedOverseer() as overseer:
        service = overseer.add("talker", "sh", "-c", "echo hello; echo trouble >&2; exit 3", restart=ALWAYS)
        runs = service.runs()
        service.start()
        seen = []
        for run in runs:
            assert list(run.stdout) == ["hello"]
            assert list(run.stderr) == ["trouble"]
            assert (run.state, run.wait().exit_code) == (State.FINISHED, 3)
            seen.append(run.number)
            if run.number == 5:
                break
        assert seen == [1, 2, 3, 4, 5]
        runs.close()
        service.stop()
        assert service.process is None


def test_a_run_is_written_to() -> None:
    with ThreadedOverseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe", restart=Restart("never"))
        runs = service.runs()
        service.start()
        run = next(runs)
        run.write("hello\n")
        assert next(run.stdout) == "hello"
        run.write_eof()
        assert list(run.stdout) == []
        assert run.status().ok
        assert list(runs) == []


def test_runs_that_have_ended_are_read_after_the_block() -> None:
    with ThreadedOverseer() as overseer:
        service = overseer.add("talker", "echo", "hello", restart=Restart("never"))
        runs = service.runs()
        service.start()
        service.wait()
    assert [(run.number, list(run.stdout)) for run in runs] == [(1, ["hello"])]


def test_a_stream_of_the_current_run_is_one_stream_however_often_it_is_asked_for() -> None:
    with ThreadedOverseer() as overseer:
        service = overseer.add("talker", "sh", "-c", "seq 20; read line", stdin="pipe", restart=Restart("never"))
        runs = service.runs()
        service.start()
        run, current = next(runs), service.process
        assert current is not None
        assert [next(run.stdout), next(current.stdout)] == ["1", "2"]
        assert current.stdout.expect("4\n", 20)[0] == "4\n"
        assert next(run.stdout) == "5"
        current.close_stdin()
        assert [*run.stdout] == [str(number) for number in range(6, 21)]


def test_a_run_tells_what_it_is() -> None:
    with ThreadedOverseer() as overseer:
        code = "echo port 42; read -r line; echo bye"
        probe = ready.line(r"port (\d+)")
        service = overseer.add("web", "sh", "-c", code, stdin="pipe", ready=probe, merge_stderr=True, restart=NEVER)
        runs = service.runs()
        service.start()
        run = next(runs)
        assert f"<ThreadedProcess 'web' \"sh -c '{code}'\" running pid={service.pid}>" == repr(run)
        assert (service.pid, 0) == (run.pid, runs.missed)
        assert run.ready_match is not None
        assert "42" == run.ready_match[1]
        assert [] == list(run.stderr)
        with pytest.raises(OverseerError, match="merged into the other one"):
            run.stderr.expect("x")
        run.close_stdin()
        assert ["port 42", "bye"] == list(run.stdout)


def test_messages_end_with_the_channel() -> None:
    with ThreadedOverseer() as overseer:
        service = overseer.add("server", *SERVER, stdin="pipe").start()
        with channel_to(service) as channel:
            assert "HELLO" == channel.ask(1, {"id": 1, "text": "hello"}, 30)["text"]
        assert [1] == [message["notice"] for message in channel]


class InterruptedPortal:
    """A portal whose callers are interrupted, as by Ctrl-C, when their coroutine waits on the loop."""

    def __init__(self, portal: Any) -> None:
        self.portal, self.call = portal, portal.call

    def start_task_soon(self, work: Any) -> Any:
        """Return a future whose result is not waited for."""
        future = self.portal.start_task_soon(work)

        def result() -> None:
            for _ in range(5):
                self.portal.call(asyncio.sleep, 0)
            raise KeyboardInterrupt

        return SimpleNamespace(result=result, cancel=future.cancel)


def test_an_interrupted_wait_takes_nothing() -> None:
    def interrupted(work: Callable[[], object]) -> None:
        portal = overseer._loop._portal
        overseer._loop._portal = InterruptedPortal(portal)  # type: ignore[assignment]  # a stand-in
        try:
            with pytest.raises(KeyboardInterrupt):
                work()
        finally:
            overseer._loop._portal = portal

    with ThreadedOverseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe", restart=Restart("never"))
        runs = service.runs()
        interrupted(lambda: next(runs))
        service.start()
        run = next(runs)
        interrupted(lambda: next(run.stdout))
        interrupted(lambda: run.stdout.expect("never"))
        run.write("1\n2\n")
        assert run.stdout.expect("1\n", 20)[0] == "1\n"
        with ThreadedRequestChannel(service, send=str.encode, key_of=lambda _: None) as channel:
            interrupted(lambda: channel.ask(1, "3\n"))
            assert (next(channel), channel.pending) == ("3", 0)
            interrupted(lambda: next(channel))
            channel.notify("4\n")
            assert next(channel) == "4"
        assert [next(run.stdout) for _ in range(3)] == ["2", "3", "4"]


def test_a_channel_that_is_read_ends_with_its_overseer() -> None:
    overseer = ThreadedOverseer()
    overseer.open()
    service = overseer.add("cat", "cat", stdin="pipe").start()
    heard, began = [], threading.Event()

    def read() -> None:
        with ThreadedRequestChannel(service, send=str.encode, key_of=lambda _: None) as channel:
            channel.notify("hello\n")
            for message in channel:
                heard.append(message)
                began.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert began.wait(20)
    closing = threading.Thread(target=overseer.close, daemon=True)
    closing.start()
    for thread in (reader, closing):
        thread.join(20)
        assert not thread.is_alive()
    assert heard == ["hello"]


def test_threads_ask_at_the_same_time() -> None:
    with ThreadedOverseer() as overseer:
        service = overseer.add("server", *SERVER, stdin="pipe", restart=ALWAYS).start()
        with channel_to(service) as channel, ThreadPoolExecutor(8) as threads:
            answers = threads.map(lambda key: channel.ask(key, {"id": key, "text": f"t{key}"}, 30)["text"], range(100))
            assert list(answers) == [f"T{key}" for key in range(100)]
            assert sorted(next(channel)["notice"] for _ in range(100)) == list(range(100))
            with pytest.raises(RunEnded, match="bye"):
                channel.ask(200, {"id": 200, "text": "exit"})
            assert channel.ask(201, {"id": 201, "text": "again"})["text"] == "AGAIN"
            channel.notify({"id": None, "text": "notice"})
            assert (channel.pending, channel.missed) == (0, 0)


def test_services_of_another_kind_are_refused() -> None:
    with pytest.raises(SpecError, match="pass a ThreadedService"):
        channel_to("server")
    with pytest.raises(SpecError, match="pass a ThreadedService"):
        ThreadedRequestChannel(None, send=str, key_of=str)  # type: ignore[arg-type]  # that is the point


def test_a_check_on_the_loop_asks_the_run_that_it_prepares() -> None:
    """Its messages are encoded by the same function as those of other threads."""

    async def prepare(run: Process) -> None:
        prepared.append(await channel.async_channel.ask(run.number, {"id": run.number, "text": "init"}, run=run))
        await channel.async_channel.notify({"id": 9, "text": "initialized"}, run=run)

    prepared: list[Any] = []
    with ThreadedOverseer() as overseer:
        service = overseer.add("server", *SERVER, stdin="pipe", restart=ALWAYS, ready=ready.check(prepare))
        with channel_to(service) as channel:
            service.start()
            assert channel.ask(10, {"id": 10, "text": "a"}, 20)["text"] == "A"
            with pytest.raises(RunEnded):
                channel.ask(11, {"id": 11, "text": "exit"}, 20)
            assert channel.ask(12, {"id": 12, "text": "b"}, 20)["text"] == "B"
        assert [answer["text"] for answer in prepared] == ["INIT", "INIT"]


def test_scripted_children_of_plain_code_run_on_real_time() -> None:
    """Nobody moves a manual clock there, so a delay before a restart would never end."""
    frames = framing.length_prefix(2)
    script = FakeChild().runs(0.001).answers(lambda frame: Exit(code=1) if frame == b"crash" else frame, framing=frames)
    launcher = ScriptedLauncher(None, script)
    again = Restart(backoff=Backoff(min=0.001))
    with ThreadedOverseer(launcher=launcher) as overseer:
        service = overseer.add("worker", "worker", stdin="pipe", framing=frames, restart=again).start()
        with ThreadedRequestChannel(service, send=frames.encode, key_of=lambda item: item) as channel:
            assert channel.ask(b"a", b"a", 20) == b"a"
            with pytest.raises(RunEnded, match="exited with code 1"):
                channel.ask(b"crash", b"crash", 20)
            assert channel.ask(b"b", b"b", 20) == b"b"
    assert len(launcher.children) == 2


def test_channel_takes_the_options_of_its_counterpart() -> None:
    """By name, so that types are checked and an unknown option is one of this class."""
    theirs, ours = (inspect.signature(kind).parameters for kind in (RequestChannel, ThreadedRequestChannel))
    assert {name: given.default for name, given in theirs.items()} == {
        name: given.default for name, given in ours.items()
    }
