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

# Code on one line, as a Procfile needs it.
READY = "print('ready', flush=True); "
FOR_EVER = READY + "import signal; signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "[signal.pause() for _ in iter(int, 1)]"
)


def separate() -> dict[str, Any]:
    """Options that give standard error a pipe of its own."""
    return {"stderr": subprocess.PIPE}


def test_output_is_prefixed_and_messages_go_to_standard_error(command: Start, procfile: Write) -> None:
    """Both streams of a service go to standard output; the last line needs no newline."""
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
    messages = [re.sub(r"\d+", "N", line) for line in err.splitlines()]
    assert sorted(messages) == [
        "aioverseer     | a: exited with code N",
        "aioverseer     | a: started with pid N",
        "aioverseer     | longer_than_us: exited with code N",
        "aioverseer     | longer_than_us: started with pid N",
    ]


def test_lines_and_messages_come_once_and_in_order(command: Start, procfile: Write) -> None:
    """Two services write 20,000 lines each; the end of a service comes after its lines."""
    flood = child("for n in range(20000): print(n)")
    code, out, _ = command("up", procfile(a=flood, b=flood)).finish()
    assert code == 0
    for name in "ab":
        mine = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert mine == [f"{name}          | {n}" for n in range(20000)]
        assert out.index(f"| {name}: started") < out.index(f"{name}          | 0\n")
        assert out.index(f"{name}          | 19999") < out.index(f"| {name}: exited")


def test_pieces_of_a_long_line_are_marked(command: Start, procfile: Write) -> None:
    """Pieces have 16 KiB; nothing is lost."""
    _, out, _ = command("up", procfile(a=child("print('x' * 40000)")), **separate()).finish()
    heads = [line[:13] for line in out.splitlines()]
    assert heads == ["a          | ", "a          + ", "a          + "]
    assert "".join(line[13:] for line in out.splitlines()) == "x" * 40000


def test_bytes_are_passed_on_unchanged(command: Start, procfile: Write) -> None:
    """The encodings of the service and of this process do not matter."""
    file = procfile(a=child("import sys; sys.stdout.buffer.write(b'\\xff\\xfe \\xc3\\xa4\\n')"))
    running = command("up", file, env={"LC_ALL": "C", "PYTHONUTF8": "0"}, **separate())
    out = running.popen.stdout.buffer.read()
    assert out == b"a          | \xff\xfe \xc3\xa4\n"
    assert running.popen.wait() == 0


def test_failure_ends_nothing_else_and_is_reported_at_the_end(command: Start, procfile: Write) -> None:
    """The exit code is 1, and each failed service has a closing line."""
    file = procfile(bad=child("raise SystemExit(3)"), good=child("import sys; sys.stdin.read(); print('done')"))
    code, out, _ = command("up", "--restart", "never", file).finish()
    assert code == 1
    assert "good       | done\n" in out
    assert out.splitlines()[-1] == "aioverseer | bad failed: exited with code 3 (finished, 0 restarts)"


def test_failures_are_restarted_and_recovery_is_a_success(command: Start, procfile: Write, tmp_path: Path) -> None:
    """The last line of a run comes before the message about its end."""
    code = "import os, sys; n = len(os.listdir('.')); open(str(n), 'x').close(); sys.exit(f'run {n}' if n < 3 else 0)"
    exit_code, out, _ = command("up", procfile(a=child(code))).finish()
    assert exit_code == 0
    shown = [line.partition("| ")[2] for line in out.splitlines() if "started" not in line]
    assert [re.sub(r"in [\d.]+ s.*", "", line) for line in shown] == [
        "run 1",
        "a: exited with code 1; restarts ",
        "run 2",
        "a: exited with code 1; restarts ",
        "a: exited with code 0",
    ]


def test_service_is_given_up_after_the_last_restart(command: Start, procfile: Write) -> None:
    """With ``--max-restarts 1`` there are two runs."""
    code, out, _ = command("up", "--max-restarts", "1", procfile(a=child("raise SystemExit(3)"))).finish()
    assert code == 1
    assert out.count("started with pid") == 2
    assert "a failed: gave up: exited with code 3, and its 1 restart within" in out


def test_missing_program_ends_no_other_service(command: Start, procfile: Write) -> None:
    """The message says what to do."""
    file = procfile(a=("no-such-program",), b=child("print('fine')"))
    code, out, _ = command("up", "--max-restarts", "0", file).finish()
    assert code == 1
    assert "b          | fine\n" in out
    assert "there is no program 'no-such-program' on PATH: install it" in out


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, "stopping 2 services; press Ctrl-C again to kill them"),
        (signal.SIGTERM, 143, "received SIGTERM: stopping 2 services"),
        (signal.SIGHUP, 129, "killed by SIGTERM"),
    ],
)
def test_signal_stops_all_services(command: Start, procfile: Write, number: int, code: int, message: str) -> None:
    """Ctrl-C, kill, and a closed terminal."""
    running = command("up", procfile(a=child(FOR_EVER), b=child(FOR_EVER)))
    for _ in range(2):
        running.read_until(r"\| ready")
    running.send(number)
    assert running.finish()[0] == code
    assert message in running.printed
    assert running.printed.count("a stop was asked for; was killed by SIGTERM") == 2
    assert "failed" not in running.printed


def test_second_ctrl_c_kills(command: Start, procfile: Write) -> None:
    """A program that ignores SIGTERM is killed before its ladder is over."""
    running = command("up", procfile(a=child(STUBBORN)))
    running.read_until(r"\| ready")
    running.send(signal.SIGINT)
    running.read_until("stopping 1 service; press Ctrl-C again to kill it")
    begun = time.monotonic()
    time.sleep(0.15)  # two signals within 0.1 s count as one
    running.send(signal.SIGINT)
    code, out, _ = running.finish()
    assert code == 130
    assert "was killed by SIGKILL" in out
    assert time.monotonic() - begun < 5


def test_ctrl_c_works_while_nobody_reads_standard_output(command: Start, procfile: Write) -> None:
    """Messages are still shown, and the end comes within a limit."""
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
def test_slow_reader_loses_nothing(command: Start, procfile: Write) -> None:
    """It begins to read after the services have ended; far more is queued than the pipe holds."""
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


def test_lines_that_nobody_could_show_in_time_are_counted(command: Start, procfile: Write) -> None:
    """The rest of ended programs is bounded. Shown and dropped lines are all lines.

    Each pipe holds several times what one read takes, as a queue without room accepts one read more.
    """
    names = "abcdef"
    code = "import fcntl, os; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20); os.write(1, bytes([10]) * 300000)"
    writers = dict.fromkeys(names, child(code))
    read, write = os.pipe()
    with open(read, encoding="utf-8") as reader:
        try:
            running = command("up", procfile(**writers), stdout=write, stderr=subprocess.PIPE)
        finally:
            os.close(write)
        ended: set[str] = set()
        while ended != set(names):
            ended.add(running.read_until(r"(.): exited with code 0", running.popen.stderr)[1])
        shown = len(reader.read().splitlines())
    exit_code, _, err = running.finish()
    dropped = [int(n) for n in re.findall(r"(\d+) lines dropped: ", running.printed + err)]
    assert (exit_code, 300_000 * len(names)) == (0, shown + sum(dropped))
    assert dropped


def test_closed_standard_output_stops_all_without_messages(command: Start, procfile: Write) -> None:
    """As with ``| head -1``."""
    file = procfile(a=child("[print(n) for n in iter(int, 1)]"), b=child(FOR_EVER))
    running = command("up", file, **separate())
    running.read_until("a .*0")
    running.popen.stdout.close()
    # The last message comes before the end of standard error.
    err = running.popen.stderr.read()
    assert running.popen.wait() == 141
    assert [line for line in err.splitlines() if "started with pid" not in line] == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_full_device_stops_all_with_a_message(command: Start, procfile: Write) -> None:
    """The exit code is 1."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        running = command("up", procfile(a=child(FOR_EVER)), stdout=full, stderr=subprocess.PIPE)
        code, _, err = running.finish()
    assert code == 1
    assert f"cannot be written: {os.strerror(errno.ENOSPC)}; stopping all services" in err


def test_nothing_is_written_to_a_descriptor_closed_at_our_start(command: Start, procfile: Write) -> None:
    """Its number may belong to another file of this process."""
    file = procfile(a=child("print('unseen')"))
    code, _, err = command("up", file, stdout=None, preexec_fn=lambda: os.close(1), **separate()).finish()
    assert code == 0
    assert "a: exited with code 0" in err


def on_terminal(command: Start, file: str, **options: Any) -> str:
    """Return the output of the command on a terminal."""
    master, slave = os.openpty()
    try:
        running = command("up", file, stdout=slave, stderr=subprocess.PIPE, **options)
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while chunk := os.read(master, 4096):
                shown += chunk
        assert running.finish()[0] == 0
    finally:
        os.close(master)
    return shown.decode().replace("\r\n", "\n")


def test_colours_are_for_terminals(command: Start, procfile: Write) -> None:
    """Each name has its colour, the same in each run; NO_COLOR switches colours off."""
    file = procfile(a=child("print(1)"), b=child("print(2)"))
    shown = sorted(on_terminal(command, file).splitlines())
    colours = dict(re.findall(r"\x1b\[0;(\d+)m([ab]) +\| \x1b\[0m[12]", "\n".join(shown)))
    assert sorted(colours.values()) == ["a", "b"]
    assert sorted(on_terminal(command, file).splitlines()) == shown
    assert "\x1b" not in on_terminal(command, file, env={"NO_COLOR": "1"})


def test_services_read_the_null_device(command: Start, procfile: Write) -> None:
    """Our own standard input is a pipe."""
    running = command("up", procfile(a=child("import sys; print(repr(sys.stdin.read()))")), stdin=subprocess.PIPE)
    running.read_until("a .*''")
    assert running.finish()[0] == 0


def test_services_run_in_the_folder_of_the_file(command: Start, procfile: Write, tmp_path: Path) -> None:
    """The Procfile of the current folder is found without an argument."""
    procfile(a=child("import os; print(os.getcwd())"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for options in ({"cwd": tmp_path}, {"cwd": elsewhere}):
        words = ["up"] if options["cwd"] == tmp_path else ["up", "../Procfile"]
        _, out, _ = command(*words, **options, **separate()).finish()
        assert out == f"a          | {tmp_path}\n"


def test_variables_come_from_the_environment(command: Start, tmp_path: Path) -> None:
    """A value with blanks stays one argument."""
    file = tmp_path / "Procfile"
    file.write_text("a: printf '[%s]' ${THIS_ONE} ${NOT_THAT:-default}\n", encoding="utf-8")
    _, out, _ = command("up", str(file), env={"THIS_ONE": "one two"}, **separate()).finish()
    assert out == "a          | [one two][default]\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"Procfile: does not exist; write it, or name another file"),
        ("a folder", r"Procfile: is a folder; name the file in it"),
        (b"a: caf\xe9\n", r"Procfile:1:7: byte 7 is not UTF-8; save the file as UTF-8"),
        (b"# nothing\n", r"Procfile: there is no service in it"),
        (b"\na: x | y\n", r"Procfile:2: a: 'x \| y' holds '\|', and there is no shell here"),
    ],
)
def test_unreadable_file_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | str | None, message: str
) -> None:
    """One line says what to do; the exit code is 2."""
    file = tmp_path / "Procfile"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        file.mkdir()
    assert main(["up", str(file)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(rf".*{message}.*\n", err)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The message has the error of the system."""
    file = tmp_path / "Procfile"
    file.touch(mode=0)
    assert main(["up", str(file)]) == 2
    assert "cannot be read: Permission denied" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Commands:"),
        (["upp"], "No such command 'upp'"),
        (["up", "--max-restarts", "-1"], "'-1' is no number of restarts: pass 0 or more, or 'unlimited'"),
        (["up", "--restart", "often"], "'often' is not one of 'on-failure', 'always', 'never', 'on-abnormal'"),
        (["up", "a", "b"], "one file at a time, not a b"),
        (["up", "--rest", "never"], "--rest"),
    ],
)
def test_wrong_command_line_is_refused(capfd: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    """The usage, the mistake, and exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    err = capfd.readouterr().err
    assert err.startswith("Usage: aioverseer")
    assert message in err


def test_version_and_help(capfd: pytest.CaptureFixture[str]) -> None:
    """Both go to standard output with exit code 0."""
    for words, message in ((["--version"], f"aioverseer {__version__}\n"), (["up", "--help"], "PYTHONUNBUFFERED")):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 0
        assert message in capfd.readouterr().out


def free_port() -> int:
    """Return a port that is unused at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_example_crashes_recovers_and_ends_well(command: Start, tmp_path: Path) -> None:
    """Waits are shortened; the client still lives seconds longer than the worker."""
    for name, seconds in {"Procfile": 1, "server.py": 1, "worker.py": 0.1, "client.py": 0.5}.items():
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("time.sleep(1)", f"time.sleep({seconds})"), encoding="utf-8")
    running = command("up", "Procfile", cwd=tmp_path, env={"SERVER_PORT": str(free_port())})
    code, out, _ = running.finish()
    assert code == 0, out
    for message in (
        r"server     \| serves http://127\.0\.0\.1:\d+\n",
        r"worker     \| job 1 has crashed me\n(?s:.*)aioverseer \| worker: exited with code 1; restarts in",
        r"worker     \| job 2 has crashed me\n(?s:.*)aioverseer \| worker: exited with code 1; restarts in",
        r"worker     \| job 3 is done\n(?s:.*)worker     \| has done its work\n(?s:.*)worker: exited with code 0",
        r"client     \| request 6: the server says 'hello'\n",
        r"client     \| told it to quit: it says 'good bye'\n(?s:.*)client: exited with code 0",
        r"server     \| has served enough\n(?s:.*)server: exited with code 0",
    ):
        assert re.search(message, out), f"{message}\n{out}"


def test_example_says_what_to_do_if_its_port_is_taken(command: Start) -> None:
    """The example ends by itself."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without listening: connections are refused at once
        port = taken.getsockname()[1]
        file = str(EXAMPLES / "Procfile")
        code, out, _ = command("up", "--max-restarts", "1", file, env={"SERVER_PORT": str(port)}).finish()
    assert code == 1
    message = (
        f"server     | port {port} is taken: choose another one, for example SERVER_PORT={port + 1} aioverseer up ...\n"
    )
    assert out.count(message) == 2
    for name in ("server", "worker", "client"):
        assert f"{name} failed: gave up: exited with code 1" in out
