"""RequestChannel: each question gets its own answer, or learns of the end of its run after all answers."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import signal
import sys
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from aioverseer import (
    Backoff,
    Exit,
    LateAnswer,
    NotReady,
    NotReadyInTime,
    Overseer,
    OverseerError,
    Process,
    ProcessNotRunning,
    RequestChannel,
    Restart,
    RunEnded,
    Service,
    SpecError,
    State,
    Stop,
    StopFailed,
    UnknownService,
    framing,
    ready,
)
from aioverseer.framing import FramingRule
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit

ALWAYS = Restart("always", max_restarts=None, backoff=Backoff(min=0.0, max=0.0))
NEVER = Restart("never")

SERVER = """
import json, os, sys, time
held = []
for line in sys.stdin:
    request = json.loads(line)
    do = request["do"]
    if do == "exit":
        sys.exit(3)
    elif do == "hold":
        held.append(request)
    elif do == "release":
        for other in (*held, request):
            print(json.dumps({"id": other["id"], "result": other["do"]}), flush=True)
        held = []
    elif do == "notice":
        print(json.dumps({"notice": request["text"]}), flush=True)
    elif do == "deaf":
        os.close(0)
        os.write(1, b'{"notice": "deaf"}\\n')
        time.sleep(100)
    elif do == "answer and die":
        for n in range(20):
            print(json.dumps({"notice": n}))
        print(json.dumps({"id": request["id"], "result": os.getpid()}))
        sys.stdout.flush()
        os._exit(0)
    elif do == "half":
        os.write(1, b'{"id": ')
        os._exit(4)
    else:
        print(json.dumps({"id": request["id"], "result": len(request.get("text", "")) or os.getpid()}), flush=True)
"""


def channel_to(service: Service | list[Service], **options: Any) -> RequestChannel:
    return RequestChannel(
        service,
        send=lambda message: (json.dumps(message) + "\n").encode(),
        parse=json.loads,
        key_of=lambda message: message.get("id"),
        **options,
    )


async def ask(channel: RequestChannel, key: int, do: str, timeout: float | None = None, **more: Any) -> Any:
    return (await channel.ask(key, {"id": key, "do": do, **more}, timeout))["result"]


@asynccontextmanager
async def served(**options: Any) -> AsyncGenerator[tuple[Service, RequestChannel]]:
    async with limit(60), Overseer() as overseer:
        chosen: dict[str, Any] = {"restart": ALWAYS, "stop": Stop(timeout=2), **options.pop("service", {})}
        service = overseer.add("server", *child(SERVER), stdin="pipe", **chosen)
        await service.start()
        async with channel_to(service, **options) as channel:
            yield service, channel


async def test_answers_out_of_order_reach_their_askers() -> None:
    async with served() as (_, channel):
        held = [asyncio.create_task(ask(channel, key, "hold")) for key in range(1, 50)]
        await asyncio.sleep(0)
        assert await ask(channel, 0, "release") == "release"
        assert await asyncio.gather(*held) == ["hold"] * 49
        assert channel.pending == 0


async def test_messages_without_a_question_come_from_the_channel() -> None:
    async with served(queue_size=3) as (_, channel):
        for n in range(5):
            await channel.notify({"do": "notice", "text": n})
        await ask(channel, 1, "pid")
        assert channel.missed == 2
        assert [(await anext(channel))["notice"] for _ in range(3)] == [2, 3, 4]
    assert [item async for item in channel] == []


async def test_pending_questions_fail_with_the_reason_when_the_run_ends() -> None:
    async with served() as (service, channel):
        held = asyncio.create_task(ask(channel, 1, "hold"))
        with pytest.raises(RunEnded, match="'server' has ended before it answered 2: exited with code 3") as caught:
            await ask(channel, 2, "exit")
        assert caught.value.status is not None
        assert caught.value.status.exit_code == 3
        with pytest.raises(RunEnded):
            await held
        assert caught.value.lines == ()
        assert await ask(channel, 3, "pid") == service.pid


@pytest.mark.parametrize(("errors", "expected"), [(30, "e"), (0, "o")], ids=["stderr", "stdout alone"])
async def test_last_lines_of_a_run_that_ended_are_those_of_its_standard_error(errors: int, expected: str) -> None:
    """Answers would hide why the run has ended. Lines of earlier runs say nothing about this one."""
    code = f"""
        import sys
        for _ in range({errors}):
            print("e", file=sys.stderr)
        for _ in range(30):
            print("o")
        sys.stdout.flush()
        input()
        """
    async with limit(60), Overseer() as overseer:
        server = overseer.add("server", *child(code), stdin="pipe", restart=ALWAYS)
        async with RequestChannel(server, send=str, key_of=lambda _: None) as channel:
            await server.start()
            for key in range(2):
                with pytest.raises(RunEnded) as caught:
                    await channel.ask(key, "\n")
                assert caught.value.lines == (expected,) * 20


async def test_an_answer_written_before_the_end_arrives_before_it() -> None:
    async with served(queue_size=10_000) as (_, channel):
        for key in range(30):
            held = asyncio.create_task(ask(channel, -1, "hold"))
            await asyncio.sleep(0)
            assert isinstance(await ask(channel, key, "answer and die"), int)
            with pytest.raises(RunEnded):
                await held
        assert channel.missed == 0


async def test_answers_come_in_frames() -> None:
    code = """
    import sys
    while head := sys.stdin.buffer.readline():
        sys.stdin.buffer.readline()
        body = sys.stdin.buffer.read(int(head.split()[1]))
        sys.stdout.buffer.write(b"Content-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
        sys.stdout.buffer.flush()
    """

    def encode(message: Any) -> bytes:
        body = json.dumps(message, indent=1).encode()
        return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)

    async with limit(60), Overseer() as overseer:
        service = overseer.add("server", *child(code), stdin="pipe", framing={"stdout": framing.content_length()})
        await service.start()
        async with RequestChannel(
            service, send=encode, parse=json.loads, key_of=lambda message: message["id"]
        ) as channel:
            messages = [{"id": key, "text": "line\n" * (key * 100)} for key in range(50)]
            answers = await asyncio.gather(*(channel.ask(message["id"], message, 30) for message in messages))
            assert answers == messages


async def test_a_killed_run_fails_its_questions_and_the_next_run_answers() -> None:
    async with served() as (service, channel):
        for key in range(20):
            held = asyncio.create_task(ask(channel, key, "hold"))
            await ask(channel, 1000 + key, "pid")
            service.signal(signal.SIGKILL)
            with pytest.raises(RunEnded, match="SIGKILL"):
                await held


async def test_half_an_answer_is_no_answer() -> None:
    async with served() as (_, channel):
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        with pytest.raises(RunEnded, match="code 4"):
            await ask(channel, 1, "half")
        assert await anext(channel) == '{"id": '


async def test_a_late_answer_is_told_apart() -> None:
    async with served() as (_, channel):
        with pytest.raises(TimeoutError, match=r"'server' has not answered 1 within 0.01 s"):
            await ask(channel, 1, "hold", 0.01)
        cancelled = asyncio.create_task(ask(channel, 2, "hold"))
        await ask(channel, 3, "pid")
        cancelled.cancel()
        with pytest.raises(SpecError, match="key=1: an earlier question with this key may still get a late answer"):
            await ask(channel, 1, "pid")
        await ask(channel, 4, "release")
        late = [await anext(channel) for _ in range(2)]
        assert late == [
            LateAnswer(id="server", run=1, key=key, message={"id": key, "result": "hold"}) for key in (1, 2)
        ]
        assert isinstance(await ask(channel, 1, "pid"), int)


async def test_a_key_that_waits_is_refused() -> None:
    async with served() as (_, channel):
        held = asyncio.create_task(ask(channel, 1, "hold"))
        await ask(channel, 2, "pid")
        with pytest.raises(SpecError, match="key=1: an earlier question with this key waits"):
            await ask(channel, 1, "pid")
        await ask(channel, 3, "release")
        assert await held == "hold"


async def test_a_cancelled_question_tears_no_frame() -> None:
    async with served() as (_, channel):
        for key in range(0, 100, 2):
            text = "x" * 200_000
            torn = asyncio.create_task(ask(channel, key, "size", text=text))
            for _ in range(key % 7):
                await asyncio.sleep(0)
            torn.cancel()
            assert await ask(channel, key + 1, "size", text="yes") == 3


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
@pytest.mark.parametrize("rule", [framing.lines(), framing.content_length()], ids=["lines", "content_length"])
async def test_a_flood_of_stderr_holds_no_conversation_up(rule: FramingRule) -> None:
    """Messages go by lines or frames, and 100 MB come before an answer."""
    code = """
    import os, sys
    flood = b"x" * 99 + b"\\n"
    while message := sys.stdin.buffer.read(int(sys.stdin.buffer.read(4))):
        if b"flood" in message:
            for _ in range(1000):
                os.write(2, flood * 1000)
        os.write(1, message)
    """
    async with limit(120), Overseer() as overseer:
        service = overseer.add("server", *child(code), stdin="pipe", framing={"stdout": rule})
        runs = service.runs()
        await service.start()
        run = await anext(runs)

        def send(message: Any) -> bytes:
            frame = rule.encode(json.dumps(message).encode())
            return b"%4d" % len(frame) + frame

        channel = RequestChannel(service, send=send, parse=json.loads, key_of=lambda message: message["id"])
        async with channel:
            assert await channel.ask(1, {"id": 1}) == {"id": 1}
            before = resident()
            assert await channel.ask(2, {"id": 2, "do": "flood"}) == {"id": 2, "do": "flood"}
            assert resident() - before < 16_000_000
        assert run.stderr.qsize() == 1000
        assert [json.loads(await run.stdout.get())["id"] for _ in range(2)] == [1, 2]


def resident() -> int:
    """Return the memory of this process, in bytes."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_timed_out_write_is_completed() -> None:
    async with served() as (service, channel):
        service.signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await ask(channel, 1, "size", 0.01, text="x" * 1_000_000)
        service.signal(signal.SIGCONT)
        assert await ask(channel, 2, "size", text="yes") == 3
        late = await anext(channel)
        assert (late.key, late.message["result"]) == (1, 1_000_000)


async def test_a_question_between_two_runs_waits_for_the_next() -> None:
    clock = ManualClock()
    script = FakeChild().answers(lambda line: line if "exit" not in line else None)
    launcher = ScriptedLauncher(clock, FakeChild().reads("exit").exits(1), script)
    slow = Restart("always", backoff=Backoff(min=5.0, max=5.0))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = overseer.add("server", "server", stdin="pipe", restart=slow)
        await service.start()
        async with channel_to(service) as channel:
            with pytest.raises(RunEnded):
                await channel.ask(1, {"id": 1, "exit": True})
            assert service.state is State.BACKOFF
            waiting = asyncio.create_task(channel.ask(2, {"id": 2}, 10.0))
            in_vain = asyncio.create_task(channel.ask(3, {"id": 3}, 1.0))
            await clock.advance(1.0)
            with pytest.raises(NotReadyInTime, match="after 1 s"):
                await in_vain
            await clock.advance(4.0)
            assert await waiting == {"id": 2}


async def test_a_question_to_a_service_that_is_down_fails_at_once() -> None:
    async with served(service={"restart": NEVER}) as (_, channel):
        with pytest.raises(RunEnded):
            await ask(channel, 1, "exit")
        with pytest.raises(NotReady, match="finished"):
            await ask(channel, 2, "pid")


async def test_a_program_that_no_longer_reads_its_input_is_told() -> None:
    async with served() as (_, channel):
        await channel.notify({"do": "deaf"})
        assert (await anext(channel))["notice"] == "deaf"
        with pytest.raises(ProcessNotRunning, match="does not read its standard input any more"):
            await ask(channel, 1, "pid")


async def test_a_channel_that_is_left_ends_its_waits() -> None:
    async with served() as (service, channel):
        other = channel_to(service)
        with pytest.raises(OverseerError, match="not in use"):
            await ask(other, 1, "pid")
        async with other:
            held = asyncio.create_task(ask(other, 1, "hold"))
            await ask(channel, 2, "pid")
        with pytest.raises(OverseerError, match="was left"):
            await held
        with pytest.raises(OverseerError, match="not in use"):
            await ask(other, 3, "pid")
        assert await ask(channel, 4, "release") == "release"


async def test_the_first_question_starts_the_service_and_idleness_stops_it() -> None:
    clock = ManualClock()
    script = FakeChild().answers(lambda line: line)
    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, script)) as overseer:
        service = overseer.add("server", "server", stdin="pipe")
        async with channel_to(service, on_demand=True, idle_timeout=30.0) as channel:
            assert not service.state.is_live
            for number in (1, 2):
                assert await channel.ask(1, {"id": 1}) == {"id": 1}
                await clock.advance(29.0)
                assert await channel.ask(2, {"id": 2}) == {"id": 2}
                await clock.advance(29.0)
                assert service.state is State.RUNNING
                assert service.process is not None
                assert service.process.number == number
                await clock.advance(1.0)
                await service.wait()
                assert "nothing was asked for 30 s" in service.status().reason


async def test_idle_time_begins_when_the_service_is_ready() -> None:
    """A start by somebody else is not stopped, however long it takes."""
    clock = ManualClock()
    slow = FakeChild().runs(20).prints("up").runs(600)
    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, slow)) as overseer:
        service = overseer.add("server", "server", stdin="pipe", ready=ready.line("up"))
        async with channel_to(service, on_demand=True, idle_timeout=5.0):
            starting = asyncio.ensure_future(service.start())
            await clock.advance(20.0)
            await starting
            await clock.advance(4.9)
            assert service.state is State.RUNNING
            await clock.advance(0.1)
            await service.wait()
            assert "nothing was asked for 5 s" in service.status().reason


async def test_second_slow_start_is_stopped_when_nothing_was_asked() -> None:
    """Else restarts by policy would keep an idle service alive. Starts come at 0, 4.5, 9 and 13.5 s."""
    clock = ManualClock()
    slow = FakeChild().runs(3).prints("up").runs(1).exits(1)
    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, slow)) as overseer:
        backoff = Backoff(min=0.5, max=0.5, jitter=False)
        service = overseer.add(
            "server", "server", stdin="pipe", ready=ready.line("up"), restart=Restart(backoff=backoff)
        )
        async with channel_to(service, on_demand=True, idle_timeout=6.2):
            starting = asyncio.ensure_future(service.start())
            await clock.advance(13.6)
            await starting
            assert service.state is State.STARTING
            await clock.advance(0.2)
            await service.wait()
            assert (3, "nothing was asked for 6.2 s") == (service.restarts, service.status().reason.partition(";")[0])


async def test_restarts_keep_no_idle_service_alive() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().runs(2).exits())
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        slow = Restart("always", max_restarts=None, backoff=Backoff(min=1.0, max=1.0))
        service = overseer.add("server", "server", stdin="pipe", restart=slow)
        async with channel_to(service, on_demand=True, idle_timeout=5.0):
            await service.start()
            await clock.advance(5.0)
            await service.wait()
            assert (service.restarts, service.status().state) == (1, State.INTERRUPT)
            assert "nothing was asked for 5 s" in service.status().reason


async def test_a_question_that_comes_while_an_idle_service_stops_starts_it_again() -> None:
    async with limit(30), Overseer() as overseer:
        service = overseer.add("server", *child(SERVER), stdin="pipe")
        async with channel_to(service, on_demand=True) as channel:
            first = await ask(channel, 1, "pid")
            stopping = asyncio.create_task(service.stop())
            await asyncio.sleep(0)
            second = await ask(channel, 1, "pid")
            await stopping
            assert first != second == service.pid


async def test_a_pool_gives_a_question_to_the_least_busy_service() -> None:
    async with limit(30), Overseer() as overseer:
        pool = [overseer.add(f"server.{n}", *child(SERVER), stdin="pipe", restart=NEVER) for n in range(3)]
        await overseer.start_all()
        async with channel_to(pool) as channel:
            held = [asyncio.create_task(ask(channel, key, "hold")) for key in range(2)]
            await asyncio.sleep(0)
            assert await ask(channel, 10, "pid") == pool[2].pid
            await pool[2].stop()
            assert await ask(channel, 11, "release") == "release"
            assert await held[0] == "hold"
            await pool[0].stop()
            with pytest.raises(RunEnded):
                await ask(channel, 12, "exit")
            with pytest.raises(RunEnded):
                await held[1]
            with pytest.raises(NotReady):
                await ask(channel, 13, "pid")


async def test_a_pool_with_a_fatal_member_keeps_the_timeout_of_a_question() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().cannot_start(number=errno.ENOENT), FakeChild())
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        dead = overseer.add("dead", "dead", stdin="pipe", restart=NEVER)
        slow = overseer.add("slow", "slow", stdin="pipe", ready=ready.line("up"), ready_timeout=None)
        with pytest.raises(NotReady):
            await dead.start()
        starting = asyncio.create_task(slow.start())
        async with channel_to([dead, slow]) as channel:
            waiting = asyncio.create_task(channel.ask(1, {}, 2.0))
            await clock.advance(2.0)
            with pytest.raises(NotReadyInTime, match="'slow' is not ready: after 2 s"):
                await waiting
        starting.cancel()


async def test_the_first_question_to_a_pool_starts_another_service_if_one_cannot_be_started() -> None:
    clock = ManualClock()
    script = FakeChild().answers(lambda line: line)
    launcher = ScriptedLauncher(
        clock, FakeChild().cannot_start(number=errno.ENOENT), script, FakeChild().cannot_start(number=errno.ENOENT)
    )
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        pool = [overseer.add(f"server.{n}", "server", stdin="pipe", restart=NEVER) for n in range(2)]
        async with channel_to(pool, on_demand=True) as channel:
            assert await channel.ask(1, {"id": 1}) == {"id": 1}
            assert [service.state for service in pool] == [State.FATAL, State.RUNNING]
            await pool[1].stop()
            overseer.remove("server.1")
            with pytest.raises(NotReady, match=r"'server\.0' is not ready: it is fatal"):
                await channel.ask(2, {"id": 2})


@pytest.mark.parametrize("encoding", ["utf-8", None])
async def test_a_message_longer_than_a_line_comes_whole(encoding: str | None) -> None:
    async with served(service={"encoding": encoding, "line_limit": 1000}) as (_, channel):
        text = "é" * 50_000
        await channel.notify({"do": "notice", "text": text})
        assert await anext(channel) == {"notice": text}
        assert isinstance(await ask(channel, 1, "pid"), int)


async def test_a_line_that_is_too_long_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioverseer._engine.service.conversation.FRAME_LIMIT", 100)
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().reads("1").writes("x" * 201).prints("", "answer"))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = await overseer.add("server", "server", stdin="pipe", line_limit=40, restart=NEVER).start()
        async with RequestChannel(service, send=str.encode, key_of="{}".format) as channel:
            assert await channel.ask("answer", "1\n") == "answer"
        assert [message async for message in channel] == ["x" * 40] * 3 + ["x" * 81]


async def test_keys_that_are_no_keys_answer_nobody() -> None:
    async with served() as (_, channel):
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        await channel.notify({"do": "pid", "id": [1]})
        assert json.loads(await anext(channel))["id"] == [1]
        assert isinstance(await ask(channel, 1, "pid"), int)


async def test_questions_that_have_not_begun_are_withdrawn() -> None:
    async with served() as (service, channel):
        service.signal(signal.SIGSTOP)
        for key in range(5):
            with pytest.raises(TimeoutError):
                await ask(channel, key, "size", 0.01, text="x" * 1_000_000)
        notice = asyncio.create_task(channel.notify({"do": "notice", "text": "withdrawn"}))
        await asyncio.sleep(0)
        notice.cancel()
        service.signal(signal.SIGCONT)
        assert await ask(channel, 4, "size", text="yes") == 3
        late = await anext(channel)
        assert (late.key, late.message["result"]) == (0, 1_000_000)
        assert await ask(channel, 5, "release") == "release"
    assert [message async for message in channel] == []


async def test_a_channel_that_was_left_is_freed_though_the_run_goes_on() -> None:
    async with served() as (service, _):
        channel = channel_to(service)
        async with channel:
            await ask(channel, 1, "pid")
        known = weakref.ref(channel)
        del channel
        gc.collect()
        assert known() is None


async def test_a_program_that_closes_its_output_fails_its_questions() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().reads("1").closes("stdout"))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = await overseer.add("server", "server", stdin="pipe").start()
        async with channel_to(service) as channel, channel_to(service) as other:
            for asked in (channel.ask(1, {"id": 1}), channel.ask(2, {"id": 2}), other.ask(3, {"id": 3})):
                waiting = asyncio.create_task(asked)
                await clock.advance(1.0)
                with pytest.raises(RunEnded, match="'server' has ended its output before it answered"):
                    await waiting
        async with channel_to(service) as late:
            waiting = asyncio.create_task(late.ask(4, {"id": 4}))
            await clock.advance(1.0)
            with pytest.raises(RunEnded, match="'server' has ended its output before it answered 4"):
                await waiting


async def test_a_program_that_does_not_die_fails_its_questions() -> None:
    clock = ManualClock()
    overseer = Overseer(
        clock=clock, launcher=ScriptedLauncher(clock, FakeChild().ignores(signal.SIGTERM, signal.SIGKILL))
    )
    await overseer.__aenter__()
    service = await overseer.add("zombie", "server", stdin="pipe", stop=Stop(timeout=1)).start()
    async with limit(), channel_to(service) as channel:
        waiting = asyncio.create_task(channel.ask(1, {"id": 1}))
        leaving = asyncio.create_task(overseer.__aexit__(None, None, None))
        await clock.advance(20)
        with pytest.raises(StopFailed, match="'zombie' does not die"):
            await waiting
        with pytest.raises(StopFailed, match="zombie"):
            await leaving


async def test_a_channel_ends_with_the_overseer_and_with_the_last_service() -> None:
    async with limit():
        async with Overseer() as overseer:
            removed = channel_to(overseer.add("removed", "cat", stdin="pipe"))
            await removed.__aenter__()
            waiting = asyncio.create_task(removed.ask(1, {"id": 1}))
            await asyncio.sleep(0)
            overseer.remove("removed")
            assert [message async for message in removed] == []
            with pytest.raises(UnknownService, match="'removed' was removed: add it again"):
                await waiting
            service = overseer.add("server", *child(SERVER), stdin="pipe")
            channel = await channel_to(service).__aenter__()
            reading = asyncio.create_task(anext(channel, "end"))
            waiting = asyncio.create_task(channel.ask(1, {"id": 1}))
            await asyncio.sleep(0)
        assert await reading == "end"
        with pytest.raises(OverseerError, match="not in use"):
            await waiting
        with pytest.raises(OverseerError, match="not in use"):
            await channel.ask(2, {"id": 2})
        await channel.__aexit__(None, None, None)


async def test_a_question_from_another_event_loop_is_refused() -> None:
    async with served() as (_, channel):
        with pytest.raises(OverseerError, match="lives on another event loop: call it there"):
            await asyncio.to_thread(asyncio.run, ask(channel, 1, "pid"))
        assert channel.pending == 0


async def test_no_question_has_the_key_none() -> None:
    async with served() as (_, channel):
        with pytest.raises(SpecError, match=r"key=None: .* take another key"):
            await channel.ask(None, {"do": "pid"})


@pytest.mark.parametrize("timeout", [-1, float("nan"), "10s"])
async def test_wrong_timeouts_are_refused(timeout: Any) -> None:
    async with served() as (_, channel):
        with pytest.raises(SpecError, match=r"ask: timeout=.* pass seconds, 0 or more, or None for no limit"):
            await ask(channel, 1, "pid", timeout)


async def test_a_send_function_that_returns_no_bytes_is_told() -> None:
    async with served() as (service, _), RequestChannel(service, send=lambda _: None, key_of=len) as channel:  # type: ignore[arg-type, return-value]  # the error
        for _ in range(2):
            with pytest.raises(TypeError, match="send returned NoneType: return the bytes to be written, or text"):
                await channel.ask(1, {})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"idle_timeout": 3}, "idle_timeout=3 needs on_demand=True"),
        ({"idle_timeout": -1, "on_demand": True}, "idle_timeout=-1"),
        ({"queue_size": 0}, "queue_size=0"),
    ],
)
async def test_wrong_options_are_refused(options: dict[str, Any], told: str) -> None:
    async with Overseer() as overseer:
        with pytest.raises(SpecError, match=told):
            channel_to(overseer.add("server", "cat", stdin="pipe"), **options)


async def test_a_program_that_stops_reading_in_the_middle_of_a_question_is_told() -> None:
    async with served() as (service, channel):
        service.signal(signal.SIGSTOP)
        await channel.notify({"do": "deaf"})
        asking = asyncio.create_task(ask(channel, 1, "size", text="x" * 1_000_000))
        await asyncio.sleep(0)
        service.signal(signal.SIGCONT)
        with pytest.raises(ProcessNotRunning):
            await asking


async def test_messages_that_cannot_be_read_are_reported_once_and_answer_nobody() -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
    async with served() as (service, _):
        channel = RequestChannel(
            service,
            send=lambda message: json.dumps(message) + "\n",
            parse=json.loads,
            key_of=lambda message: message["id"],
        )
        async with channel:
            for n in range(2):
                await channel.notify({"do": "notice", "text": n})
            await ask(channel, 1, "pid")
            assert ['{"notice": 0}', '{"notice": 1}'] == [await anext(channel) for _ in range(2)]
    assert [KeyError] == [type(each["exception"]) for each in reports]


async def test_a_channel_serves_one_block() -> None:
    async with served() as (service, _):
        channel = channel_to(service)
        async with channel:
            await ask(channel, 1, "pid")
        with pytest.raises(OverseerError, match="make another one"):
            await channel.__aenter__()
        with pytest.raises(OverseerError, match="ask inside of its `async with` block"):
            await ask(channel, 2, "pid")


async def test_services_without_an_input_or_output_are_refused() -> None:
    async with Overseer() as overseer:
        with pytest.raises(SpecError, match='give it stdin="pipe"'):
            channel_to(overseer.add("server", "cat"))
        with pytest.raises(SpecError, match=r"'mute' has no answers, .* give it stdout="):
            channel_to(overseer.add("mute", "cat", stdin="pipe", stdout="null"))
        with pytest.raises(SpecError, match="pass a Service"):
            channel_to([])
        for other in (overseer, 3):
            with pytest.raises(SpecError, match="pass a Service"):
                channel_to(cast("Any", other))


# Questions to a run that is not ready yet.


def prepared(clock: ManualClock, *scripts: FakeChild, prepare: Any, **options: Any) -> tuple[Overseer, RequestChannel]:
    """Return an overseer with a service that a function prepares, given the channel and the run."""

    async def check(run: Process) -> None:
        await prepare(channel, run)

    overseer = Overseer(clock=clock, launcher=ScriptedLauncher(clock, *scripts))
    of_channel = {name: options.pop(name) for name in ("on_demand", "idle_timeout") if name in options}
    options = {"ready": ready.check(check, timeout=None), "restart": ALWAYS, **options}
    service = overseer.add("server", "server", stdin="pipe", **options)
    channel = RequestChannel(service, send=lambda text: f"{text}\n", key_of=lambda line: line.split()[0], **of_channel)
    return overseer, channel


async def test_each_run_is_prepared_by_a_question() -> None:
    clock = ManualClock()
    asked: list[tuple[int, str]] = []

    async def prepare(channel: RequestChannel, run: Process) -> None:
        asked.append((run.number, await channel.ask("init", "init", run=run)))
        await channel.notify("initialized", run=run)

    script = FakeChild().answers(lambda line: Exit(code=3) if line == "crash" else line)

    async def scenario() -> None:
        overseer, channel = prepared(clock, script, prepare=prepare)
        async with overseer, channel:
            early = asyncio.create_task(channel.ask("early", "early"))
            await overseer["server"].start()
            assert await early == "early"
            with pytest.raises(RunEnded, match="exited with code 3"):
                await channel.ask("crash", "crash")
            assert await channel.ask("late", "late") == "late"
        assert asked == [(1, "init"), (2, "init")]

    await clock.run(scenario())


async def test_a_service_on_demand_is_prepared_before_its_first_question() -> None:
    """The question of the check keeps the service from being idle, and starts nothing."""
    clock = ManualClock()

    async def prepare(channel: RequestChannel, run: Process) -> None:
        await clock.sleep(10)
        assert await channel.ask("init", "init", run=run) == "init"

    async def scenario() -> None:
        overseer, channel = prepared(clock, FakeChild().answers(), prepare=prepare, on_demand=True, idle_timeout=1)
        async with overseer, channel:
            for key in ("a", "b"):
                assert await channel.ask(key, key, timeout=60) == key
                assert (await overseer["server"].wait()).reason.startswith("nothing was asked for 1 s")
        assert clock.now() == 22

    await clock.run(scenario())


async def test_the_end_of_a_run_ends_the_question_of_its_check() -> None:
    """The next run is prepared anew, by a question with the same key."""
    clock = ManualClock()
    answers: list[str] = []

    async def prepare(channel: RequestChannel, run: Process) -> None:
        answers.append(await channel.ask("init", "init", run=run))

    async def scenario() -> None:
        scripts = FakeChild().reads().exits(7), FakeChild().answers()
        overseer, channel = prepared(clock, *scripts, prepare=prepare)
        async with overseer, channel:
            await overseer["server"].start()
            assert await channel.ask("a", "a") == "a"
            assert (overseer["server"].restarts, channel.pending) == (1, 0)
        assert answers == ["init"]

    await clock.run(scenario())


async def test_a_check_that_asks_without_its_run_fails_at_once_with_what_to_pass() -> None:
    """The question would wait for the check, and the check for the question."""
    clock = ManualClock()

    async def prepare(channel: RequestChannel, _: Process) -> None:
        await channel.ask("init", "init")

    async def scenario() -> None:
        overseer, channel = prepared(clock, FakeChild().answers(), prepare=prepare, ready_timeout=3, restart=NEVER)
        async with overseer, channel:
            with pytest.raises(NotReady, match=r"asks its own service.*pass run="):
                await overseer["server"].start()

    await clock.run(scenario())


async def test_a_task_of_a_check_may_wait_until_the_service_is_ready() -> None:
    clock = ManualClock()
    tasks: list[asyncio.Task[Any]] = []

    async def prepare(channel: RequestChannel, _: Process) -> None:
        tasks.append(asyncio.create_task(channel.ask("a", "a")))
        await clock.sleep(1)

    async def scenario() -> None:
        overseer, channel = prepared(clock, FakeChild().answers(), prepare=prepare)
        async with overseer, channel:
            await overseer["server"].start()
            assert await tasks[0] == "a"

    await clock.run(scenario())


async def test_a_question_to_a_run_of_the_past_or_of_another_service_is_refused() -> None:
    async with served() as (service, channel):
        first = service.process
        assert first is not None
        service.signal(signal.SIGKILL)
        await service.wait_for(lambda status: status.restarts == 1)
        await service.ready()
        with pytest.raises(RunEnded, match=r"before it answered 1: was killed by SIGKILL"):
            await channel.ask(1, {"id": 1, "do": "pid"}, run=first)
        with pytest.raises(RunEnded, match="before it got a message"):
            await channel.notify({"do": "notice"}, run=first)
        with pytest.raises(SpecError, match="is no run of a service of this channel"):
            await channel.ask(1, {"id": 1, "do": "pid"}, run=Process("cat"))


LAST_WORDS = """
    import json, sys
    request = json.loads(sys.stdin.readline())
    notices = [json.dumps({"notice": n, "text": "x" * 2000}) for n in range(20)]
    print(*notices, json.dumps(request), sep="\\n", flush=True)
"""
"""It answers one question after twenty notices, and ends at once."""


async def test_answer_comes_before_the_end_of_its_run() -> None:
    """The host stands still until the program has ended, so that it finds answer and end together."""
    async with limit(60), Overseer() as overseer:
        service = overseer.add("server", *child(LAST_WORDS), stdin="pipe", restart=NEVER)
        async with channel_to(service) as channel:
            for key in range(20):
                await service.start()
                assert service.pid is not None
                asking = asyncio.ensure_future(channel.ask(key, {"id": key}))
                await asyncio.sleep(0)
                os.waitid(os.P_PID, service.pid, os.WEXITED | os.WNOWAIT)
                assert {"id": key} == await asking
                await service.wait()


async def test_a_channel_follows_the_instances_of_a_set() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().answers(lambda line: line))
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        echo = overseer.add_instances("echo", "echo", instances=1, stdin="pipe")
        channel = RequestChannel(echo, send=lambda text: f"{text}\n", key_of=lambda line: line)
        await echo.scale(2)
        await echo.start()
        lines = echo.lines()
        async with channel:

            async def askers() -> set[str]:
                keys = [str(key) for key in range(8)]
                assert keys == await asyncio.gather(*(channel.ask(key, key) for key in keys))
                return {lines.get_nowait().id for _ in keys}

            assert {"echo.0", "echo.1"} == await askers()
            await echo.scale(4)
            assert {"echo.0", "echo.1", "echo.2", "echo.3"} == await askers()
            await echo.scale(1)
            assert {"echo.0"} == await askers()
            await echo.scale(0)
            asked = asyncio.ensure_future(channel.ask("x", "x", 2))
            await clock.advance(3)
            with pytest.raises(TimeoutError, match="no instance to ask"):
                await asked
            asked = asyncio.ensure_future(channel.ask("y", "y"))
            await clock.advance(3)
            assert not asked.done()
            await echo.scale(1)
            assert "y" == await asked
            await echo.stop()
            waiting = asyncio.ensure_future(anext(channel))
            await clock.advance(1)
            assert not waiting.done()
            overseer.remove("echo")
            with pytest.raises(StopAsyncIteration):
                await waiting


async def test_a_question_that_no_instance_could_answer_goes_to_a_new_one() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().answers(lambda line: line), by_id={"echo.0": [FakeChild()]})
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        echo = overseer.add_instances("echo", "echo", instances=1, stdin="pipe", ready=ready.line("never"))
        starting = asyncio.ensure_future(echo.start())
        async with RequestChannel(echo, send=lambda text: f"{text}\n", key_of=lambda line: line) as channel:
            asked = asyncio.ensure_future(channel.ask("x", "x"))
            await clock.advance(1)
            launcher.script("echo.1", FakeChild().prints("never").answers(lambda line: line))
            await echo.scale(2)
            assert "x" == await asked
        starting.cancel()
        await asyncio.wait([starting])
