"""Programs on a terminal of their own."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from aioverseer import LineQueue, Overseer, Process, ProcessNotRunning, QueueShutDown, SpawnError, SpecError, State
from tests.support.programs import child, limit


def stream(process: Process) -> LineQueue[Any]:
    """The output of a streaming process."""
    assert process.stdout is not None
    return process.stdout


async def test_it_is_a_terminal_of_its_own_and_controls_the_program() -> None:
    """Input, output, errors; of the size that was asked for; /dev/tty is it; the errors come with the output."""
    code = """
    import os, sys
    print([os.isatty(n) for n in (0, 1, 2)], tuple(os.get_terminal_size()))
    print(os.ttyname(0) == os.ttyname(1) == os.ttyname(2), os.tcgetpgrp(0) == os.getpid() == os.getsid(0))
    with open("/dev/tty", "w") as tty:
        print("through /dev/tty", file=tty)
    print("error", file=sys.stderr)
    """
    process = Process(*child(code), pty=True, window_size=(132, 43))
    status = await process
    assert (True, None) == (status.ok, status.stderr)
    assert ["[True, True, True] (132, 43)", "True True", "through /dev/tty", "error"] == status.stdout


async def test_terminal_input_has_no_echo_and_ends_with_a_typed_end_of_file() -> None:
    """Also after an unfinished line."""
    async with Process("cat", pty=True, buffered=False, streaming=True) as process:
        await process.write("one\n")
        assert "one" == await stream(process).get()
        await process.write(b"two")
        await process.write_eof()
        async with limit(10, "the end"):
            assert (await process.wait()).ok
        assert "two" == await stream(process).get()
        with pytest.raises(QueueShutDown):
            await stream(process).get()
        with pytest.raises(ProcessNotRunning):
            await process.write("three")


@pytest.mark.parametrize("key", ["\n", "\r", "\x04"], ids=["newline", "return", "ctrl-d"])
async def test_one_end_of_file_is_typed_after_a_complete_line(key: str) -> None:
    """A second one would also end the next reader."""
    script = "read -r word; echo $word; cat; echo between; cat; echo over"
    async with Process("sh", "-c", script, pty=True, buffered=False, streaming=True) as process:
        await process.write("word\n")
        assert "word" == await stream(process).get()
        await process.write(f"text{key}")
        await process.write_eof()
        async with limit(10, "the end of the first"):
            seen = ""
            while not seen.endswith("between"):
                seen = await stream(process).get()
        await process.write("more\n")
        assert "more" == await stream(process).get()
        await process.write_eof()
        assert "over" == await stream(process).get()


async def test_control_c_reaches_the_program() -> None:
    """Typed, it is SIGINT to the foreground."""
    code = "import signal, sys; signal.signal(2, lambda *_: sys.exit(7)); print('up'); rest()"
    async with Process(*child(code), pty=True, buffered=False, streaming=True) as process:
        assert "up" == await stream(process).get()
        await process.write(b"\x03")
        async with limit(10, "its end"):
            assert 7 == (await process.wait()).exit_code


async def test_a_resize_signals_the_program() -> None:
    """By SIGWINCH."""
    code = """
    import os, signal
    signal.signal(signal.SIGWINCH, lambda *_: print(tuple(os.get_terminal_size())))
    print("up")
    while True: rest()
    """
    async with Overseer() as overseer:
        service = overseer.add("screen", *child(code), pty=True)
        lines = service.lines()
        await service.start()
        await lines.get()
        service.resize(100, 50)
        async with limit(10, "the new size"):
            line = await lines.get()
        assert "(100, 50)" == getattr(line, "text", None)
        with pytest.raises(SpecError, match=r"window_size=\(0, 50\) is no size"):
            service.resize(0, 50)


async def test_a_python_program_speaks_by_the_line_on_a_terminal() -> None:
    """Without -u and PYTHONUNBUFFERED; through a pipe its line would come with its end."""
    code = "import signal; print('hello'); signal.pause()"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [word for word in child(code) if word != "-u"]
    async with Process(*command, pty=True, env=environment, buffered=False, streaming=True) as process:
        async with limit(10, "the line"):
            assert "hello" == await stream(process).get()
        assert process.state is State.RUNNING


async def test_a_megabyte_comes_through_a_terminal_in_order_to_a_slow_reader() -> None:
    """The last words before the end too."""
    process = Process("seq", "150000", pty=True, buffered=False, streaming=True, queue_size=10)
    expected = 0
    await process.start()
    async for line in stream(process):
        expected += 1
        assert str(expected) == line
    assert (150000, True) == (expected, (await process).ok)


async def test_nobody_reading_holds_up_nobody_on_a_terminal() -> None:
    """A run that neither buffers nor streams discards the output."""
    async with limit(20, "the end"):
        assert (await Process("seq", "100000", pty=True, buffered=False)).ok


async def test_text_is_fed_to_a_terminal_with_its_end() -> None:
    """As through a pipe."""
    status = await Process("wc", "-l", pty=True, stdin="one\ntwo\n")
    assert (True, ["2"]) == (status.ok, [line.strip() for line in status.stdout or ()])


async def test_closing_the_terminal_before_the_exit_is_no_hangup() -> None:
    """The end of its output is not its end."""
    code = "import os, signal\nfor n in (0, 1, 2): os.close(n)\nsignal.sigtimedwait({10}, 0.2); os._exit(3)"
    assert 3 == (await Process(*child(code), pty=True)).exit_code


async def test_stopping_takes_the_tree_on_a_terminal() -> None:
    """The ladder reaches those in the background; nothing is left."""
    async with Process("sh", "-c", "sleep 100 & echo up; wait", pty=True, buffered=False, streaming=True) as process:
        assert "up" == await stream(process).get()
        status = await process.stop()
    assert (State.INTERRUPT, signal.SIGTERM) == (status.state, status.signal)


async def test_a_program_that_is_missing_is_an_error_also_on_a_terminal() -> None:
    """Although a shell comes before it."""
    with pytest.raises(SpawnError, match="there is no program 'no-such-program' on PATH"):
        await Process("no-such-program", pty=True).start()


async def test_wrappers_and_a_terminal_go_together() -> None:
    """Priority and mask are set, and it is still a terminal."""
    status = await Process("sh", "-c", "umask; nice; tty <&1 >/dev/null && echo tty", pty=True, umask=0o27, nice=5)
    assert ["0027", "5", "tty"] == status.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
async def test_another_user_has_the_terminal_too() -> None:
    """It is opened before the rights are given up."""
    status = await Process("sh", "-c", "id -un; test -t 0 && test -t 1 && echo tty", pty=True, user="nobody")
    assert ["nobody", "tty"] == status.stdout


def test_options_in_conflict_with_a_terminal_are_refused() -> None:
    """With the option and what to do."""
    with pytest.raises(SpecError, match=r"window_size=\(80, 24, 1\) is no size"):
        Process("true", pty=True, window_size=(80, 24, 1))  # type: ignore[arg-type]  # the types forbid it
    with pytest.raises(SpecError, match="with pty=True its input is the terminal"):
        Process("true", pty=True, stdin="inherit")


async def test_without_a_terminal_there_is_no_size() -> None:
    """And nothing to write to."""
    async with Process("sleep", "100") as process:
        with pytest.raises(SpecError, match="has no terminal: give it pty=True"):
            process.resize(80, 24)
        with pytest.raises(SpecError, match="has no pipe to write to"):
            await process.write_eof()


async def test_many_terminals_at_once() -> None:
    """Each has its own, while all of them are there."""
    processes = [Process("sh", "-c", "tty; read go", pty=True) for _ in range(20)]
    await asyncio.gather(*(process.start() for process in processes))
    for process in processes:
        await process.write("\n")
    statuses = await asyncio.gather(*processes)
    assert 20 == len({(status.stdout or [None])[0] for status in statuses})


async def test_empty_write_is_no_end_of_a_line() -> None:
    """The end of input is typed twice in the middle of a line."""
    async with Process("cat", pty=True, stdin="pipe", buffered=True) as process:
        await process.write(b"half")
        await process.write(b"")
        await process.write_eof()
        assert ["half"] == (await process).stdout


async def test_end_of_input_after_the_close_does_nothing() -> None:
    """The program may have ended meanwhile."""
    async with limit(20), Process("cat", pty=True, stdin="pipe") as process:
        process.close_stdin()
        await process.write_eof()
        await process.stop()
