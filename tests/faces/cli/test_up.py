"""``aioverseer up``: real runs of the command, with real services."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioverseer import __version__
from aioverseer.cli import main
from tests.support.programs import child

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"

Start = Callable[..., Any]
Write = Callable[..., str]

# One line, so that it can stand in a Procfile.
READY = "print('ready', flush=True); "
FOR_EVER = READY + "import signal; signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "[signal.pause() for _ in iter(int, 1)]"
)


def separate() -> dict[str, Any]:
    """Standard error is read on its own."""
    return {"stderr": subprocess.PIPE}


def test_output_is_prefixed_and_news_go_to_standard_error(command: Start, procfile: Write) -> None:
    """Both streams of a service come to standard output; the last line needs no newline."""
    file = procfile(
        a=child("import sys; print('out'); print('err', file=sys.stderr)"),
        longer_than_us=child("print('last', end='')"),
    )
    code, out, err = command("up", file, **separate()).finish()
    assert code == 0
    assert sorted(out.splitlines()) == [
        "a              | err",
        "a              | out",
        "longer_than_us | last",
    ]
    news = [re.sub(r"\d+", "N", line) for line in err.splitlines()]
    assert sorted(news) == [
        "aioverseer     | a: exited with code N",
        "aioverseer     | a: started with pid N",
        "aioverseer     | longer_than_us: exited with code N",
        "aioverseer     | longer_than_us: started with pid N",
    ]


def test_everything_comes_once_and_in_order(command: Start, procfile: Write) -> None:
    """Two services that flood us; each one's lines, then its end."""
    flood = child("for n in range(20000): print(n)")
    code, out, _ = command("up", procfile(a=flood, b=flood)).finish()
    assert code == 0
    for name in "ab":
        mine = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert mine == [f"{name}          | {n}" for n in range(20000)]
        assert out.index(f"| {name}: started") < out.index(f"{name}          | 0\n")
        assert out.index(f"{name}          | 19999") < out.index(f"| {name}: exited")


def test_a_line_that_is_too_long_comes_in_pieces_that_say_so(command: Start, procfile: Write) -> None:
    """Pieces of 16 KiB; nothing is lost."""
    _, out, _ = command("up", procfile(a=child("print('x' * 40000)")), **separate()).finish()
    heads = [line[:13] for line in out.splitlines()]
    assert heads == ["a          | ", "a          + ", "a          + "]
    assert "".join(line[13:] for line in out.splitlines()) == "x" * 40000


def test_bytes_are_passed_on_as_they_are(command: Start, procfile: Write) -> None:
    """Whatever the encoding, and whatever ours."""
    file = procfile(a=child("import sys; sys.stdout.buffer.write(b'\\xff\\xfe \\xc3\\xa4\\n')"))
    running = command("up", file, env={"LC_ALL": "C", "PYTHONUTF8": "0"}, **separate())
    out = running.popen.stdout.buffer.read()
    assert out == b"a          | \xff\xfe \xc3\xa4\n"
    assert running.popen.wait() == 0


def test_one_failure_ends_nothing_else_and_is_told_at_the_end(command: Start, procfile: Write) -> None:
    """The exit code is 1, with one line for each that failed."""
    file = procfile(bad=child("raise SystemExit(3)"), good=child("import sys; sys.stdin.read(); print('done')"))
    code, out, _ = command("up", "--restart", "never", file).finish()
    assert code == 1
    assert "good       | done\n" in out
    assert out.splitlines()[-1] == "aioverseer | bad failed: exited with code 3 (finished, 0 restarts)"


def test_failures_are_restarted_and_a_recovery_is_a_good_end(command: Start, procfile: Write, tmp_path: Path) -> None:
    """The line that it dies with comes before the news of its death."""
    code = "import os, sys; n = len(os.listdir('.')); open(str(n), 'x').close(); sys.exit(f'run {n}' if n < 3 else 0)"
    exit_code, out, _ = command("up", procfile(a=child(code))).finish()
    assert exit_code == 0
    told = [line.partition("| ")[2] for line in out.splitlines() if "started" not in line]
    assert [re.sub(r"in [\d.]+ s.*", "", line) for line in told] == [
        "run 1",
        "a: exited with code 1; restarts ",
        "run 2",
        "a: exited with code 1; restarts ",
        "a: exited with code 0",
    ]


def test_it_gives_up(command: Start, procfile: Write) -> None:
    """After as many restarts as are allowed."""
    code, out, _ = command("up", "--max-restarts", "1", procfile(a=child("raise SystemExit(3)"))).finish()
    assert code == 1
    assert out.count("started with pid") == 2
    assert "a failed: gave up: exited with code 3, and its 1 restarts" in out


def test_a_program_that_is_not_there(command: Start, procfile: Write) -> None:
    """The others go on, and the message says what to do."""
    file = procfile(a=("no-such-program",), b=child("print('fine')"))
    code, out, _ = command("up", "--max-restarts", "0", file).finish()
    assert code == 1
    assert "b          | fine\n" in out
    assert "there is no program 'no-such-program' on PATH: install it" in out


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (signal.SIGINT, 130, "stopping 2 services; press Ctrl-C again to kill them"),
        (signal.SIGTERM, 143, "received SIGTERM: stopping 2 services"),
        (signal.SIGHUP, 129, "killed by SIGTERM"),
    ],
)
def test_a_signal_stops_all(command: Start, procfile: Write, number: int, code: int, told: str) -> None:
    """Ctrl-C, kill, and a terminal that is closed."""
    running = command("up", procfile(a=child(FOR_EVER), b=child(FOR_EVER)))
    for _ in range(2):
        running.read_until(r"\| ready")
    running.send(number)
    assert running.finish()[0] == code
    assert told in running.printed
    assert running.printed.count("a stop was asked for; was killed by SIGTERM") == 2
    assert "failed" not in running.printed


def test_a_second_ctrl_c_kills(command: Start, procfile: Write) -> None:
    """A program that ignores SIGTERM does not hold us up for the time of its ladder."""
    running = command("up", procfile(a=child(STUBBORN)))
    running.read_until(r"\| ready")
    running.send(signal.SIGINT)
    running.read_until("stopping 1 service; press Ctrl-C again to kill it")
    begun = time.monotonic()
    time.sleep(0.15)  # two within a tenth of a second are one wish
    running.send(signal.SIGINT)
    code, out, _ = running.finish()
    assert code == 130
    assert "was killed by SIGKILL" in out
    assert time.monotonic() - begun < 5


def test_ctrl_c_works_while_nobody_reads_standard_output(command: Start, procfile: Write) -> None:
    """The news are shown all the same, and the end comes within a bound."""
    file = procfile(writer=child("print('lost', flush=True); " + FOR_EVER), quick=child("print('lost')"))
    read, write = os.pipe()
    try:
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, bytes(4096))
        os.set_blocking(write, True)
        running = command("up", file, stdout=write, stderr=subprocess.PIPE)
        running.read_until("quick: exited with code 0", running.popen.stderr)
        running.send(signal.SIGINT)
        code, _, err = running.finish()
    finally:
        os.close(read)
        os.close(write)
    assert code == 130
    assert "stopping 1 service; " in err
    assert "nobody reads standard output: the rest of it is not shown" in err


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="pipes cannot be made small here")
def test_a_slow_reader_loses_nothing(command: Start, procfile: Write) -> None:
    """It begins to read when the services have ended already, and far more is waiting than the pipe holds."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    with open(read, encoding="utf-8") as reader:
        try:
            running = command(
                "up", procfile(a=child("for n in range(2000): print(n)")), stdout=write, stderr=subprocess.PIPE
            )
        finally:
            os.close(write)
        running.read_until("a: exited with code 0", running.popen.stderr)
        assert reader.read() == "".join(f"a          | {n}\n" for n in range(2000))
    assert running.finish()[0] == 0


def test_a_closed_standard_output_stops_all_quietly(command: Start, procfile: Write) -> None:
    """As with ``| head -1``."""
    file = procfile(a=child("[print(n) for n in iter(int, 1)]"), b=child(FOR_EVER))
    running = command("up", file, **separate())
    running.read_until("a .*0")
    running.popen.stdout.close()
    # Everything that is told is told before.
    err = running.popen.stderr.read()
    assert running.popen.wait() == 141
    assert [line for line in err.splitlines() if "started with pid" not in line] == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_a_full_disk_is_told(command: Start, procfile: Write) -> None:
    """And stops all."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        running = command("up", procfile(a=child(FOR_EVER)), stdout=full, stderr=subprocess.PIPE)
        code, _, err = running.finish()
    assert code == 1
    assert f"cannot be written: {os.strerror(errno.ENOSPC)}; stopping all services" in err


def test_closed_standard_streams_are_nobody_elses(command: Start, procfile: Write) -> None:
    """A descriptor that was closed before us may be something of ours: nothing is written to it."""
    file = procfile(a=child("print('unseen')"))
    code, _, err = command("up", file, stdout=None, preexec_fn=lambda: os.close(1), **separate()).finish()
    assert code == 0
    assert "a: exited with code 0" in err


def on_terminal(command: Start, file: str, **options: Any) -> str:
    """What the command shows on a terminal."""
    master, slave = os.openpty()
    try:
        running = command("up", file, stdout=slave, stderr=subprocess.PIPE, **options)
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: nobody has it open any more
            while chunk := os.read(master, 4096):
                shown += chunk
        assert running.finish()[0] == 0
    finally:
        os.close(master)
    return shown.decode().replace("\r\n", "\n")


def test_colours_are_for_terminals(command: Start, procfile: Write) -> None:
    """One for each name, the same each time; none where NO_COLOR is set."""
    file = procfile(a=child("print(1)"), b=child("print(2)"))
    shown = sorted(on_terminal(command, file).splitlines())
    colours = dict(re.findall(r"\x1b\[0;(\d+)m([ab]) +\| \x1b\[0m[12]", "\n".join(shown)))
    assert sorted(colours.values()) == ["a", "b"]
    assert sorted(on_terminal(command, file).splitlines()) == shown
    assert "\x1b" not in on_terminal(command, file, env={"NO_COLOR": "1"})


def test_services_read_nothing(command: Start, procfile: Write) -> None:
    """Their standard input is the null device, whatever ours is."""
    running = command("up", procfile(a=child("import sys; print(repr(sys.stdin.read()))")), stdin=subprocess.PIPE)
    running.read_until("a .*''")
    assert running.finish()[0] == 0


def test_services_run_in_the_folder_of_the_file(command: Start, procfile: Write, tmp_path: Path) -> None:
    """And the file of this folder is found without a name."""
    procfile(a=child("import os; print(os.getcwd())"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for options in ({"cwd": tmp_path}, {"cwd": elsewhere}):
        words = ["up"] if options["cwd"] == tmp_path else ["up", "../Procfile"]
        _, out, _ = command(*words, **options, **separate()).finish()
        assert out == f"a          | {tmp_path}\n"


def test_variables_come_from_the_environment(command: Start, tmp_path: Path) -> None:
    """A value with blanks is one argument."""
    file = tmp_path / "Procfile"
    file.write_text("a: printf '[%s]' ${THIS_ONE} ${NOT_THAT:-default}\n", encoding="utf-8")
    _, out, _ = command("up", str(file), env={"THIS_ONE": "one two"}, **separate()).finish()
    assert out == "a          | [one two][default]\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"there is no .*/Procfile: write one, a line 'name: command' for each service"),
        ("a folder", r"Procfile is a folder: name the file in it: aioverseer up .*/Procfile/Procfile"),
        (b"a: caf\xe9\n", r"Procfile is no UTF-8 text \(byte 7\)"),
        (b"# nothing\n", r"Procfile: there is no service in it"),
        (b"\na: x | y\n", r"Procfile:2: a: 'x \| y' holds '\|', and there is no shell here"),
    ],
)
def test_a_file_that_cannot_be_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | str | None, told: str
) -> None:
    """One line that says what to do, and exit code 2."""
    file = tmp_path / "Procfile"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        file.mkdir()
    assert main(["up", str(file)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(rf"aioverseer: .*{told}.*\n", err)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same."""
    file = tmp_path / "Procfile"
    file.touch(mode=0)
    assert main(["up", str(file)]) == 2
    assert "cannot be read (Permission denied)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "up|run"),
        (["down"], "invalid choice: 'down'"),
        (["up", "--max-restarts", "-1"], "'-1' is no number of restarts: pass 0 or more, or 'unlimited'"),
        (["up", "--restart", "often"], "invalid choice: 'often'"),
        (["up", "a", "b"], "not understood: b"),
        (["up", "--rest", "never"], "not understood: --rest"),
    ],
)
def test_a_command_line_that_is_wrong(capfd: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    """Usage, what is wrong, and exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    err = capfd.readouterr().err
    assert err.startswith("usage: aioverseer")
    assert told in err


def test_version_and_help(capfd: pytest.CaptureFixture[str]) -> None:
    """They go to standard output, and are a success."""
    for words, told in ((["--version"], f"aioverseer {__version__}\n"), (["up", "--help"], "PYTHONUNBUFFERED")):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 0
        assert told in capfd.readouterr().out


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_example_crashes_recovers_and_ends_well(command: Start, tmp_path: Path) -> None:
    """By itself, with shorter waits than a reader of it has; the client still outlasts the worker by seconds."""
    for name, seconds in {"Procfile": 1, "server.py": 1, "worker.py": 0.1, "client.py": 0.5}.items():
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("time.sleep(1)", f"time.sleep({seconds})"), encoding="utf-8")
    running = command("up", "Procfile", cwd=tmp_path, env={"PORT": str(free_port())})
    code, out, _ = running.finish()
    assert code == 0, out
    for told in (
        r"server     \| serves http://127\.0\.0\.1:\d+\n",
        r"worker     \| job 1 has crashed me\n(?s:.*)aioverseer \| worker: exited with code 1; restarts in",
        r"worker     \| job 2 has crashed me\n(?s:.*)aioverseer \| worker: exited with code 1; restarts in",
        r"worker     \| job 3 is done\n(?s:.*)worker     \| has done its work\n(?s:.*)worker: exited with code 0",
        r"client     \| request 6: the server says 'hello'\n",
        r"client     \| told it to quit: it says 'good bye'\n(?s:.*)client: exited with code 0",
        r"server     \| has served enough\n(?s:.*)server: exited with code 0",
    ):
        assert re.search(told, out), f"{told}\n{out}"


def test_the_example_says_what_to_do_when_its_port_is_taken(command: Start) -> None:
    """And ends in a bounded time."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: the others are refused at once
        port = taken.getsockname()[1]
        file = str(EXAMPLES / "Procfile")
        code, out, _ = command("up", "--max-restarts", "1", file, env={"PORT": str(port)}).finish()
    assert code == 1
    told = f"server     | port {port} is taken: choose another one, for example PORT={port + 1} aioverseer up ...\n"
    assert out.count(told) == 2
    for name in ("server", "worker", "client"):
        assert f"{name} failed: gave up: exited with code 1" in out
