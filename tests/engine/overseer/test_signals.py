"""Signals of the host: left alone by default; with ``handle_signals`` they end the block."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aioverseer import Overseer, OverseerError
from tests.support.host_program import ROOT, run_host

SIGNALS = [signal.SIGINT, signal.SIGTERM]
ENDS = {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 143}
"""The ordinary effect of each signal, as an exit code of the host."""
LOOPS = {"asyncio": "asyncio.run(main())", "uvloop": "import uvloop\nuvloop.run(main())"}
APART = 0.15
"""Seconds between two signals, more than those within which several signals are one request."""

WAITS = "await asyncio.Event().wait()"
SWALLOWS_ONCE = """
try:
    await asyncio.Event().wait()
except asyncio.CancelledError:
    print("swallowed", flush=True)
await asyncio.Event().wait()
"""
SWALLOWS_ALWAYS = """
while True:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("swallowed", flush=True)
"""
SLEEPS = "time.sleep(100)"
IS_BUSY = "while True: pass"


def host(body: str, *, argv: str = "", before: str = "", after: str = "", loop: str = "asyncio") -> str:
    """Return a host whose block runs three services and then the body.

    Args:
        body: The code of the block.
        argv: The arguments of the services, with their options.
        before: The code before the block.
        after: The code after the block, in the same function.
        loop: The event loop.
    """
    parts = {
        "before": textwrap.indent(before, " " * 4),
        "body": textwrap.indent(textwrap.dedent(body), " " * 8),
        "after": textwrap.indent(after, " " * 4),
    }
    return (
        "import time\nasync def main():\n{before}\n    async with Overseer(handle_signals=True) as overseer:\n"
        "        await running(overseer, {argv})\n{body}\n{after}\n{run}\n"
    ).format(argv=argv, run=LOOPS[loop], **parts)


def sending(*numbers: signal.Signals, gap: float = APART) -> Callable[[subprocess.Popen[str]], None]:
    """Return a function that sends signals to a host until it has ended."""

    def send(program: subprocess.Popen[str]) -> None:
        for number in numbers:
            program.send_signal(number)
            try:
                program.wait(gap)
            except subprocess.TimeoutExpired:
                continue
            return

    return send


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("body", [WAITS, "await overseer.supervise_all()", "await overseer['s1'].wait()"])
def test_signal_ends_the_block_and_has_its_ordinary_effect(number: signal.Signals, body: str, loop: str) -> None:
    """The services are stopped, and the code after the block is not reached."""
    code, lines = run_host(host(body, after="print('after')", loop=loop), during=sending(number))
    assert (code, lines[-1]) == (ENDS[number], "up")


@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_of_the_host_are_restored_before_the_effect(number: signal.Signals) -> None:
    """The effect comes after the clean-up."""
    code, lines = run_host(
        f"""
        def handlers():
            return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        before = handlers()
        async def main():
            inside = handlers()
            try:
                async with Overseer(handle_signals=True) as overseer:
                    assert inside != handlers()
                    await running(overseer)
                    await asyncio.Event().wait()
            except (KeyboardInterrupt, SystemExit) as error:
                states = {{str(overseer[id].state) for id in overseer}}
                print(repr(error), states, inside == handlers(), asyncio.current_task().cancelling())
                print("received", overseer.received_signal.name)
        asyncio.run(main())
        print("restored", before == handlers(), {number.name!r})
        """,
        during=sending(number),
    )
    effect = "KeyboardInterrupt()" if number is signal.SIGINT else "SystemExit(143)"
    assert code == 0
    assert lines[-3:] == [
        f"{effect} {{'interrupted'}} True 0",
        f"received {number.name}",
        f"restored True {number.name}",
    ]


@pytest.mark.parametrize("gap", [APART, 0.03])
def test_second_signal_kills(gap: float) -> None:
    """Also when signals come so fast that no two of them are a tenth of a second apart."""
    begun = time.monotonic()
    code, _ = run_host(host(WAITS, argv="*DEAF, stop=Stop(timeout=60)"), during=sending(*SIGNALS * 50, gap=gap))
    assert -code in SIGNALS  # one more signal may come when Python is ending
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("body", [SWALLOWS_ONCE, SWALLOWS_ALWAYS, SLEEPS, IS_BUSY])
def test_block_that_does_not_end_is_ended_by_further_signals(body: str, number: signal.Signals, loop: str) -> None:
    """The signal after the one that has killed has its effect at once; a task that still goes on takes one more."""
    code, _ = run_host(host(body, loop=loop), during=sending(*[number] * 20, gap=0.5))
    assert code in (ENDS[number], -number)  # one more signal may come when Python is ending


def test_signal_after_the_kill_has_its_effect_at_once() -> None:
    """The third signal raises where the main thread is: here it is the code of the block itself."""
    body = """
    try:
        time.sleep(100)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise
    """
    code, lines = run_host(host(body), during=sending(*[signal.SIGINT] * 3, gap=0.5))
    assert (code, lines[-1]) == (-signal.SIGINT, "interrupted")


@pytest.mark.parametrize(
    ("name", "install"),
    [
        ("of the process", "signal.signal(signal.SIGTERM, mine)"),
        ("of the loop", "asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, mine)"),
    ],
)
def test_handler_of_the_application_is_called_after_the_clean_up(name: str, install: str) -> None:
    """The block ends quietly, and the application goes on. The handler is called by the next signal too."""
    code, lines = run_host(
        f"""
        async def main():
            overseer = Overseer(handle_signals=True)
            def mine(*_):
                print("mine", {{str(overseer[id].state) for id in overseer}})
            {install}
            async with overseer:
                await running(overseer)
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            print("after", asyncio.current_task().cancelling())
            signal.raise_signal(signal.SIGTERM)
            for _ in range(3):
                await asyncio.sleep(0)
        asyncio.run(main())
        """,
        during=sending(signal.SIGTERM),
    )
    assert code == 0
    assert lines[-3:] == ["mine {'interrupted'}", "after 0", "mine {'interrupted'}"], name


def test_ignored_signal_ends_the_block_all_the_same() -> None:
    """The application has asked for it; nothing comes out of the block."""
    before = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code, lines = run_host(host(WAITS, before=before, after="print('after')"), during=sending(signal.SIGTERM))
    assert (code, lines[-1]) == (0, "after")


def test_error_of_the_block_is_the_cause() -> None:
    """It is not lost."""
    body = """
    try:
        await asyncio.Event().wait()
    finally:
        raise ValueError("while it ended")
    """
    code, lines = run_host(
        host(body).replace("asyncio.run(main())", "")
        + "try:\n    asyncio.run(main())\nexcept KeyboardInterrupt as error:\n    print(repr(error.__cause__))\n",
        during=sending(signal.SIGINT),
    )
    assert (code, lines[-1]) == (0, "ValueError('while it ended')")


def test_signal_during_the_start_ends_the_block() -> None:
    """A service that never becomes ready does not hold it up."""
    code, lines = run_host(
        """
        from aioverseer import ready
        async def main():
            async with Overseer(handle_signals=True) as overseer:
                late = overseer.add("late", "sh", "-c", "echo up; exec sleep 100", ready=ready.line("never"))
                lines = late.lines()
                starting = asyncio.create_task(overseer.start_all())
                await lines.get()
                print("up", flush=True)
                await starting
        asyncio.run(main())
        """,
        during=sending(signal.SIGTERM),
    )
    assert (code, lines[-1]) == (143, "up")


def test_signal_before_the_block_ends_it() -> None:
    """It comes while the overseer is being entered."""
    code, lines = run_host(
        """
        async def main():
            asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)
            async with Overseer(handle_signals=True) as overseer:
                print("inside")
                await asyncio.Event().wait()
        asyncio.run(main())
        """
    )
    assert (code, lines) == (143, ["inside"])


def test_first_signal_during_the_stop_has_its_effect_after_it() -> None:
    """The block has ended by itself, and a deaf program is being stopped; the second signal kills."""

    def while_it_stops(program: subprocess.Popen[str]) -> None:
        assert program.stdout is not None
        assert program.stdout.readline() == "stopping\n"
        sending(signal.SIGTERM, signal.SIGTERM)(program)

    body = """
    async def spy():
        async for event in overseer.events():
            if event.state is State.STOPPING:
                print("stopping", flush=True)
                return
    spying = asyncio.create_task(spy())
    await asyncio.sleep(0)
    """
    code, _ = run_host(host(body, argv="*DEAF, stop=Stop(timeout=60)"), during=while_it_stops)
    assert code == 143


def test_block_of_another_task_is_cancelled_too() -> None:
    """Code that uses the services inside of ``overseer.body()``."""
    code, lines = run_host(
        host(
            """
            async def use():
                with overseer.body():
                    try:
                        await asyncio.Event().wait()
                    finally:
                        print("cancelled", flush=True)
            user = asyncio.create_task(use())
            await asyncio.Event().wait()
            """
        ),
        during=sending(signal.SIGTERM),
    )
    assert (code, lines[-1]) == (143, "cancelled")


def test_body_in_the_block_itself_changes_nothing() -> None:
    code, lines = run_host(
        host("with overseer.body():\n    await asyncio.Event().wait()"), during=sending(signal.SIGTERM)
    )
    assert (code, lines[-1]) == (143, "up")


def test_overseer_entered_elsewhere_ends_with_the_signal() -> None:
    """Entering and leaving happen in tasks of their own, as in fixtures."""
    code, lines = run_host(
        """
        async def main():
            overseer = Overseer(handle_signals=True)
            await asyncio.create_task(overseer.__aenter__())
            await running(overseer)
            try:
                with overseer.body():
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                print("cancelled", flush=True)
            await asyncio.create_task(overseer.__aexit__(None, None, None))
        asyncio.run(main())
        """,
        during=sending(signal.SIGTERM),
    )
    assert (code, lines[-1]) == (143, "cancelled")


def test_nested_overseers_end_one_after_the_other() -> None:
    """The inner one first: its programs may need those of the outer one."""
    code, lines = run_host(
        """
        async def report(overseer):
            async for event in overseer.events():
                if event.state is State.INTERRUPT:
                    print(overseer.name, event.id, flush=True)
        async def main():
            async with Overseer(name="outer", handle_signals=True) as outer:
                outer.add("db", "sleep", "100")
                await outer.start_all()
                async with Overseer(name="inner", handle_signals=True) as inner:
                    tasks = [asyncio.create_task(report(one)) for one in (outer, inner)]
                    await running(inner)
                    await asyncio.Event().wait()
                await asyncio.Event().wait()
        asyncio.run(main())
        """,
        during=sending(signal.SIGTERM),
    )
    assert code == 143
    assert sorted(lines[-4:-1]) == ["inner s0", "inner s1", "inner s2"]
    assert lines[-1] == "outer db"


def test_loop_that_ended_without_leaving_keeps_no_signal() -> None:
    """An overseer that nobody can stop any more does not swallow Ctrl-C."""

    def after_its_loop(program: subprocess.Popen[str]) -> None:
        assert program.stdout is not None
        assert program.stdout.readline() == "loop is over\n"
        program.send_signal(signal.SIGINT)

    code, lines = run_host(
        """
        import time
        async def main():
            overseer = await Overseer(handle_signals=True).__aenter__()
            await running(overseer)
            return overseer
        overseer = asyncio.run(main())
        try:
            print("loop is over", flush=True)
            while True:  # Python handles a signal that comes just before a system call after that call
                time.sleep(0.05)
        except KeyboardInterrupt:
            print("interrupted")
        """,
        during=after_its_loop,
    )
    assert (code, lines[-1]) == (0, "interrupted")


def test_fork_of_the_host_has_its_own_signals() -> None:
    """A worker of multiprocessing can be terminated; the parent's services go on."""
    code, lines = run_host(
        host(
            """
            import time
            hear, tell = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.write(tell, b"up")
                time.sleep(100)
                os._exit(0)
            os.read(hear, 2)
            os.kill(pid, signal.SIGTERM)
            ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            await asyncio.sleep(0.05)
            print("worker", ended, overseer["s0"].state, overseer.received_signal)
            """
        )
    )
    assert (code, lines[-1]) == (0, "worker -15 running None")


def test_signals_of_the_host_are_left_alone_by_default() -> None:
    """Without being asked the library installs nothing: the host's own handler gets the signal (B11)."""
    code, lines = run_host(
        """
        async def main():
            got = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, got.set)
            before = signal.getsignal(signal.SIGINT)
            async with Overseer() as overseer:
                assert signal.getsignal(signal.SIGINT) is before
                await running(overseer)
                await got.wait()
                print("mine", overseer["s0"].state, overseer.received_signal)
        asyncio.run(main())
        """,
        during=lambda host: host.send_signal(signal.SIGTERM),
    )
    assert (code, lines[-1]) == (0, "mine running None")


def test_signal_handling_outside_of_the_main_thread_is_refused() -> None:
    """Where Python has no signal handlers, ``handle_signals`` says so when entered, and nothing is left."""

    async def use() -> str:
        try:
            async with Overseer(handle_signals=True):
                return "entered"
        except OverseerError as error:
            return str(error)

    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(use())))
    thread.start()
    thread.join()
    assert "main thread" in found[0]


@pytest.mark.parametrize("call", ["overseer.supervise_all()", "overseer.supervise('db')"])
@pytest.mark.parametrize("by", ["signal", "critical"])
def test_stop_keeps_the_order_although_a_call_is_cancelled(by: str, call: str) -> None:
    """A call that has started services does not stop them at once when the block ends."""
    code, lines = run_host(
        f"""
        async def main():
            overseer = Overseer(handle_signals=True)
            overseer.add("db", "sleep", "100", restart=Restart("never"))
            slow = "trap 'sleep 0.2; exit' TERM; while :; do sleep 0.01; done"
            overseer.add("web", "sh", "-c", slow, after="db")
            overseer.add("job", "sleep", "100", critical=True, restart=Restart("never"))
            try:
                async with overseer:
                    events = overseer.events()
                    async def end():
                        await asyncio.gather(*[overseer[id].wait_for(State.RUNNING) for id in ("web", "job")])
                        if {by!r} == "critical":
                            overseer.signal("job", signal.SIGKILL)
                        else:
                            signal.raise_signal(signal.SIGINT)
                    task = asyncio.create_task(end())
                    if "all" not in {call!r}:
                        starting = asyncio.create_task(overseer.start_all())
                    await {call}
                    await asyncio.Event().wait()
            finally:
                print(*[f"{{e.id}} {{e.state}}" for e in [e async for e in events]], sep=", ")
        try:
            asyncio.run(main())
        except (KeyboardInterrupt, CriticalServiceEnded) as error:
            print(type(error).__name__)
        """
    )
    assert (code, lines[-1]) == (0, {"signal": "KeyboardInterrupt", "critical": "CriticalServiceEnded"}[by])
    events = lines[-2].split(", ")
    assert events.index("web interrupted") < events.index("db stopping")


def test_closed_terminal_stops_all_services(tmp_path: Path) -> None:
    """By their ladders; the host ends with the code of SIGHUP."""
    saved = tmp_path / "saved"
    code = f"""
    import asyncio, fcntl, os, sys, termios
    from aioverseer import Overseer, ready
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    async def main():
        async with Overseer(handle_signals=True) as overseer:
            script = "trap 'echo saved > {saved}; exit' TERM; echo up; while :; do sleep 0.01; done"
            await overseer.add("web", "sh", "-c", script, ready=ready.line("up")).start()
            os.write(1, b"up")
            await asyncio.Event().wait()
    asyncio.run(main())
    """
    terminal, theirs = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    ) as host:
        os.close(theirs)
        assert b"up" == os.read(terminal, 2)
        os.close(terminal)
        assert 129 == host.wait(20)
    assert saved.exists()


@pytest.mark.parametrize("how", ["ignored", "own handler", "no terminal"])
def test_hangup_is_left_alone(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ``nohup``, of a daemon that reads its files again, and outside of a terminal."""
    monkeypatch.setattr(os, "isatty", lambda _descriptor: how != "no terminal")
    action = {"ignored": signal.SIG_IGN, "own handler": print, "no terminal": signal.SIG_DFL}[how]

    async def main() -> None:
        async with Overseer(handle_signals=True):
            assert action is signal.getsignal(signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, action)  # type: ignore[arg-type]  # it is not called
    try:
        asyncio.run(main())
        assert action is signal.getsignal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_hangup_is_given_back_by_several_overseers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inner one finds the handler of the outer one."""
    monkeypatch.setattr(os, "isatty", lambda _descriptor: True)

    async def main() -> None:
        async with Overseer(handle_signals=True):
            outer = signal.getsignal(signal.SIGHUP)
            async with Overseer(handle_signals=True):
                assert signal.getsignal(signal.SIGHUP) not in (outer, signal.SIG_DFL)
            assert outer is signal.getsignal(signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        asyncio.run(main())
        assert signal.SIG_DFL is signal.getsignal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
