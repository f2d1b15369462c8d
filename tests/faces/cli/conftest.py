"""Run the real command, and wait for what it prints."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[3]
LIMIT = 15.0
"""Seconds for a command that must end by itself."""


class Command:
    """A running ``aioverseer``, whose standard error goes to its standard output unless said otherwise.

    Warnings are errors. The debug mode of asyncio is off, as it logs each slow callback of a busy machine.
    """

    def __init__(self, *words: str, env: dict[str, str] | None = None, **options: Any) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "PORT"}}
        usual: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }
        self.popen = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "aioverseer", *words],
            env=environment | {"PYTHONPATH": str(ROOT)} | (env or {}),
            **(usual | options),
        )
        self.printed = ""

    def read_until(self, pattern: str, stream: IO[str] | None = None) -> re.Match[str]:
        """Read lines until one holds the pattern; fail at the end of the output."""
        stream = stream or self.popen.stdout
        assert stream is not None
        for line in stream:
            self.printed += line
            found = re.search(pattern, line)
            if found:
                return found
        pytest.fail(f"ended without {pattern!r}:\n{self.printed}", pytrace=False)

    def send(self, number: int) -> None:
        """Send a signal to the command alone, as a terminal does: the services have sessions of their own."""
        self.popen.send_signal(number)

    def finish(self) -> tuple[int, str, str]:
        """Wait for the end; return the exit code, the whole output and all errors."""
        out, err = self.popen.communicate(timeout=LIMIT)
        self.printed += out or ""
        return self.popen.returncode, self.printed, err or ""

    def close(self) -> None:
        """End the command if a failed test has left it running."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(2)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream is not None:
                stream.close()


def modules_after(words: list[str]) -> set[str]:
    """Return the modules that a fresh interpreter has imported for a command."""
    code = (
        "import sys; from aioverseer.cli import main\n"
        f"try: main({words!r})\n"
        "except SystemExit: pass\n"
        "print('MODULES', *sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.fixture
def command() -> Iterator[Callable[..., Command]]:
    """A function that starts the command with these arguments. Each command ends with the test."""
    commands: list[Command] = []

    def start(*words: str, **options: Any) -> Command:
        commands.append(Command(*words, **options))
        return commands[-1]

    yield start
    for one in commands:
        one.close()


@pytest.fixture
def procfile(tmp_path: Path) -> Callable[..., str]:
    """A function that writes a Procfile from the arguments of each service, and returns its path."""

    def write(**services: tuple[str, ...]) -> str:
        lines = [f"{name}: {shlex.join(words).replace('$', '$$')}\n" for name, words in services.items()]
        path = tmp_path / "Procfile"
        path.write_text("".join(lines), encoding="utf-8")
        return str(path)

    return write
