"""``aioverseer run``: one command with its own input, output and exit code, restarted by a policy."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioverseer.cli import main
from tests.support.programs import child

Start = Callable[..., Any]


def separate() -> dict[str, Any]:
    """Options that give standard error a pipe of its own."""
    return {"stderr": subprocess.PIPE}


def test_output_and_errors_are_passed_on_unchanged(command: Start) -> None:
    """There is no prefix and no message; a line may have any length and any bytes."""
    code = "import sys; sys.stdout.buffer.write(b'\\xff' * 40000 + b'\\n'); sys.stderr.write('err\\n')"
    running = command("run", "--", *child(code), stderr=subprocess.PIPE)
    assert running.popen.stdout.buffer.read() == b"\xff" * 40000 + b"\n"
    assert running.popen.stderr.read() == "err\n"
    assert running.popen.wait() == 0


def test_command_reads_our_standard_input(command: Start) -> None:
    """A program in a pipeline can be supervised."""
    running = command("run", "--", "cat", stdin=subprocess.PIPE, **separate())
    out, err = running.popen.communicate("through\n", timeout=10)
    assert (running.popen.returncode, out, err) == (0, "through\n", "")


@pytest.mark.parametrize(
    ("code", "expected"),
    [("raise SystemExit(7)", 7), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137)],
)
def test_exit_code_is_that_of_the_command(command: Start, code: str, expected: int) -> None:
    """After a signal the code is 128 plus its number, as in a shell."""
    exit_code, _, err = command("run", "--restart", "never", "--", *child(code), **separate()).finish()
    assert exit_code == expected
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("interpreter", "expected"), [("/no/such/interpreter", 127), ("/etc/passwd", 126)])
def test_broken_first_line_has_the_exit_code_of_a_shell(
    command: Start, tmp_path: Path, interpreter: str, expected: int
) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{interpreter}\n")
    script.chmod(0o755)
    exit_code, _, err = command("run", "--max-restarts", "1", "--", "./script", cwd=tmp_path, **separate()).finish()
    assert exit_code == expected
    assert "aioverseer | script: gave up: " in err


def test_failure_is_restarted(command: Start, tmp_path: Path) -> None:
    """Messages have the given name; the exit code is that of the last run."""
    code = "import os, sys; n = len(os.listdir('.')); open(str(n), 'x').close(); sys.exit(n < 1)"
    running = command("run", "--name", "job", "--", *child(code), cwd=tmp_path, **separate())
    exit_code, out, err = running.finish()
    assert (exit_code, out) == (0, "")
    first, second = err.splitlines()
    assert first.startswith("aioverseer | job: exited with code 1; restarts in 0.1 s (4 of 5 ")
    assert second.startswith("aioverseer | job: started with pid ")


def test_exit_code_after_giving_up_is_that_of_the_last_run(command: Start) -> None:
    """The message counts the restarts."""
    code, _, err = command("run", "--max-restarts", "1", "--", *child("raise SystemExit(9)"), **separate()).finish()
    assert code == 9
    assert "gave up: exited with code 9, and its 1 restart within" in err


TELLS = """
import os, signal, sys
def tell(number, _):
    os.write(1, signal.Signals(number).name.encode() + b'\\n')
    sys.exit(0)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, tell)
print('ready', flush=True)
rest()
"""
"""Prints the name of the first signal, and exits with 0.

The name and its newline are one write, as a message of the command must not come between them: both have one pipe.
"""

KEEPS_ON = """
import os, signal
def tell(number, _):
    os.write(1, signal.Signals(number).name.encode() + b'\\n')
for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
    signal.signal(number, tell)
print('ready', flush=True)
while True:
    rest()
"""
"""Prints the name of each signal but SIGTERM, and goes on."""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
)
def test_signal_is_handed_on_as_it_is_and_decides_the_exit_code(command: Start, number: int, code: int) -> None:
    """The program itself exits with 0, and is not restarted."""
    running = command("run", "--restart", "always", "--", *child(TELLS))
    running.read_until("ready")
    running.send(number)
    assert running.finish()[0] == code
    assert signal.Signals(number).name in running.printed.splitlines()
    assert "a stop was asked for; exited with code 0" in running.printed


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "sigterm", "15"])
def test_signal_of_the_stop_can_be_chosen(command: Start, name: str) -> None:
    running = command("run", "--stop-signal", name, "--", *child(TELLS))
    running.read_until("ready")
    running.send(signal.SIGINT)
    assert running.finish()[0] == 130
    assert "SIGTERM" in running.printed.splitlines()


def test_time_of_the_stop_can_be_chosen(command: Start) -> None:
    """SIGKILL follows the signal that was handed on."""
    running = command("run", "--stop-timeout", "0.2", "--", *child(KEEPS_ON))
    running.read_until("ready")
    running.send(signal.SIGINT)
    assert running.finish()[0] == 130
    assert "was killed by SIGKILL" in running.printed


def test_second_ctrl_c_kills(command: Start) -> None:
    """The first one is with the program."""
    running = command("run", "--stop-timeout", "60", "--", *child(KEEPS_ON))
    running.read_until("ready")
    running.send(signal.SIGINT)
    running.read_until("SIGINT")
    time.sleep(0.15)  # two signals within 0.1 s count as one
    running.send(signal.SIGINT)
    assert running.finish()[0] == 130
    assert "was killed by SIGKILL" in running.printed


def test_all_that_a_wrapper_started_gets_the_signal(command: Start) -> None:
    """A shell waits for its program, and both get the signal, as from a terminal."""
    script = shlex.join(child(TELLS)) + "; echo bye"
    running = command("run", "--", "sh", "-c", f"trap : INT; {script}")
    running.read_until("ready")
    running.send(signal.SIGINT)
    assert running.finish()[0] == 130
    assert running.printed.splitlines().count("SIGINT") == 1


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH])
def test_other_signals_are_passed_on_without_a_stop(command: Start, number: signal.Signals) -> None:
    """They are for the program."""
    running = command("run", "--", *child(KEEPS_ON))
    running.read_until("ready")
    running.send(number)
    running.read_until(number.name)
    running.send(signal.SIGTERM)
    assert running.finish()[0] == 143


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the state of a process is read from /proc")
def test_ctrl_z_suspends_the_command_too(command: Start) -> None:
    """Both go on when a shell continues this process."""

    def state(pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]

    running = command(
        "run", "--", *child("import os; print(os.getpid(), flush=True); " + KEEPS_ON.strip()), process_group=0
    )
    # A group of its own: the kernel discards SIGTSTP where no shell can continue the group; see setpgid(2).
    pid = int(running.read_until(r"^(\d+)$")[1])
    running.read_until("ready")
    running.send(signal.SIGTSTP)
    os.waitid(os.P_PID, running.popen.pid, os.WSTOPPED | os.WNOWAIT)
    deadline = time.monotonic() + 10
    while state(pid) != "T":  # SIGSTOP was sent before, but takes a moment on another processor
        assert time.monotonic() < deadline
    assert state(running.popen.pid) == "T"
    running.send(signal.SIGCONT)
    running.send(signal.SIGUSR1)
    running.read_until("SIGUSR1")
    running.send(signal.SIGTERM)
    assert running.finish()[0] == 143


@pytest.mark.parametrize("words", [["yes"], ["sh", "-c", "yes; exit 3"]])
def test_reader_that_goes_ends_the_command_as_in_a_shell(command: Start, words: list[str]) -> None:
    """As with ``| head -1``: nothing is restarted, and nothing is said about it."""
    running = command("run", "--", *words, **separate())
    running.read_until("y")
    running.popen.stdout.close()
    assert [line for line in running.popen.stderr if "roken pipe" not in line] == []
    assert running.popen.wait() == 141


def test_program_that_fails_without_a_reader_is_not_restarted(command: Start) -> None:
    """Python has an exception in place of SIGPIPE."""
    running = command("run", "--", *child("[print(n) for n in iter(int, 1)]"), **separate())
    running.read_until("0")
    running.popen.stdout.close()
    err = running.popen.stderr.read()
    assert err.count("BrokenPipeError") == 1
    assert "aioverseer" not in err
    assert running.popen.wait() == 141


BYTES = b"a\r\nb\n\r\nc\0\xff\x1b[1m\r" + bytes(range(256)) * 300


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"])
@pytest.mark.parametrize("log", [(), ("--log-dir", "logs")], ids=["inherited", "logged"])
def test_every_byte_is_passed_on_as_it_is(
    command: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes, log: tuple[str, ...]
) -> None:
    """No end of a line is changed, added or lost; standard error stays apart."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bytes"
    file.write_bytes(BYTES + end)
    running = command("run", *log, "--", "sh", "-c", 'cat "$0"; cat "$0" >&2', str(file), text=False, **separate())
    assert running.popen.communicate(timeout=10) == (BYTES + end, BYTES + end)


def test_output_of_both_streams_keeps_its_order(command: Start) -> None:
    """Also where both go to one file."""
    code, out, _ = command("run", "--", "sh", "-c", "for n in 1 2 3 4 5; do echo o$n; echo e$n >&2; done").finish()
    assert (code, out.split()) == (0, [f"{stream}{n}" for n in range(1, 6) for stream in "oe"])


def test_slow_reader_loses_nothing(command: Start) -> None:
    """The command waits for the reader, as in a shell."""
    running = command("run", "--", *child("import sys; sys.stdout.write('x' * 3_000_000)"), **separate())
    with pytest.raises(subprocess.TimeoutExpired):
        running.popen.wait(0.5)
    assert running.finish()[:2] == (0, "x" * 3_000_000)


def test_terminal_is_one_for_the_command_too(command: Start) -> None:
    """A prompt without a newline appears at once, and the command knows that it may draw."""
    master, slave = os.openpty()
    try:
        code = "import os; print([os.isatty(n) for n in range(3)]); print(input('name? '))"
        running = command("run", "--", *child(code), stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        shown = b""
        while b"name? " not in shown:
            shown += os.read(master, 4096)
        assert b"[True, True, True]" in shown
        os.write(master, b"Ada\n")
        while b"Ada\r\nAda" not in shown:
            shown += os.read(master, 4096)
        assert running.popen.wait(15) == 0
    finally:
        os.close(master)


def test_nothing_is_written_to_a_descriptor_closed_at_our_start(command: Start) -> None:
    """Its number may belong to another file of this process."""
    running = command("run", "--", "echo", "unseen", stdout=None, preexec_fn=lambda: os.close(1), **separate())
    assert running.finish() == (0, "", "")


def test_impossible_program_is_refused_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is not retried; the exit codes are those of a shell."""
    plain = tmp_path / "plain"
    plain.touch()
    for program, code, message in (
        ("no-such-program", 127, "there is no program 'no-such-program' on PATH: install it"),
        (str(tmp_path / "none"), 127, "none': mend the path, or install"),
        (str(plain), 126, "may not be executed: make it executable (chmod +x)"),
        (str(tmp_path), 126, "is a folder: name the program in it"),
    ):
        assert main(["run", "--", program]) == code
        assert message in capfd.readouterr().err


def test_missing_interpreter_has_the_exit_code_of_a_shell(command: Start, tmp_path: Path) -> None:
    """Only the kernel finds this out, when the script is started."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    script.chmod(0o755)
    code, _, err = command("run", "--restart", "never", "--", str(script), **separate()).finish()
    assert code == 127
    assert "mend its #! line" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "two dashes go before the command: aioverseer run -- python3 server.py"),
        (["run", "--"], "two dashes go before the command"),
        (["run", "ls", "-l"], "two dashes go before the command: aioverseer run -- ls -l"),
        (["run", "ls", "--", "-l"], "two dashes go before the command: aioverseer run -- ls -l"),
    ],
)
def test_wrong_command_line_is_refused(capfd: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    """The usage, the mistake, and exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    err = capfd.readouterr().err
    assert err.startswith("Usage: aioverseer run [OPTIONS] -- COMMAND [ARG]...\n")
    assert message in err


@pytest.mark.parametrize("words", [["--name", " x", "--", "ls"], ["--", "ls", "\0"]])
def test_invalid_value_shows_the_message_of_the_library(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    """There is no traceback."""
    assert main(["run", *words]) == 2
    assert capfd.readouterr().err.startswith("aioverseer: ")


def test_later_double_dashes_belong_to_the_command(command: Start) -> None:
    """Only the first two dashes are removed."""
    code = "import sys; print(sys.argv[1:])"
    _, out, _ = command("run", "--", *child(code, "--name", "--", "-x"), **separate()).finish()
    assert out == "['--name', '--', '-x']\n"


@pytest.mark.parametrize(("options", "written"), [((), "part\n"), (("--restart", "on-failure"), "part\npart\n")])
def test_command_with_a_file_as_output_is_not_restarted(
    command: Start, tmp_path: Path, options: tuple[str, ...], written: str
) -> None:
    """A second run would add to the output of the first; an option asks for it all the same."""
    once = "echo part; [ -e again ] && exit 0; touch again; exit 3"
    with (tmp_path / "dump").open("w") as file:
        code, _, _ = command(
            "run", *options, "--", "sh", "-c", once, cwd=tmp_path, stdout=file, stderr=subprocess.PIPE
        ).finish()
    assert written == (tmp_path / "dump").read_text()
    assert (0 if options else 3) == code
