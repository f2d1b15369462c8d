"""``aioverseer run``: one command with its own input, output and exit code, restarted by a policy."""

from __future__ import annotations

import signal
import subprocess
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_stops_the_command_and_decides_the_exit_code(command: Start, number: int, code: int) -> None:
    """The program itself exits with 0."""
    text = """
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print('ready', flush=True)
        rest()
    """
    running = command("run", "--", *child(text))
    running.read_until("ready")
    running.send(number)
    assert running.finish()[0] == code
    assert "a stop was asked for; exited with code 0" in running.printed


def test_closed_standard_output_stops_the_command(command: Start) -> None:
    """As with ``| head -1``."""
    running = command("run", "--", *child("[print(n) for n in iter(int, 1)]"), **separate())
    running.read_until("0")
    running.popen.stdout.close()
    assert running.popen.stderr.read() == ""
    assert running.popen.wait() == 141


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
    assert err.startswith("usage: aioverseer run [--restart WHEN]")
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
