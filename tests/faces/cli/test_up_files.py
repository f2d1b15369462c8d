"""``aioverseer up`` on files that say more than a Procfile: real runs, with real services."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import child

Start = Callable[..., Any]
READY = "print('ready', flush=True); "
FOR_EVER = READY + "import signal; signal.pause()"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """A function that writes an aioverseer.toml of tables of options, and returns its path."""

    def write(text: str = "", **services: Mapping[str, str]) -> str:
        for name, options in services.items():
            text += f"[services.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in options.items())
        path = tmp_path / "aioverseer.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def run(code: str, *arguments: str) -> str:
    """Return a command in TOML that runs Python code."""
    return json.dumps([*child(code), *arguments])


def test_order_and_instances(command: Start, write: Callable[..., str]) -> None:
    """Instances have names of their own, as wide as the longest one."""
    file = write(
        db={"command": run(READY + "import time; time.sleep(0.3)"), "ready": '{ line = "ready" }'},
        web={"command": run("import sys; print(sys.argv[1])", "{index}"), "after": '"db"', "instances": "1"},
    )
    code, out, _ = command("up", "-f", file, "web=2").finish()
    assert code == 0, out
    assert "web.0      | 0\n" in out
    assert "web.1      | 1\n" in out
    assert out.index("db         | ready") < out.index("| web.0: started")


def test_file_is_found_in_a_folder_above(command: Start, write: Callable[..., str], tmp_path: Path) -> None:
    """Its services run in its folder, and their readiness is read from bytes."""
    write(a={"command": run("import os; print(os.getcwd())")})
    inner = tmp_path / "src" / "deep"
    inner.mkdir(parents=True)
    code, out, _ = command("up", cwd=inner).finish()
    assert (0, True) == (code, f"a          | {tmp_path}\n" in out)


def test_profile_and_settings_change_the_run(command: Start, write: Callable[..., str]) -> None:
    code = "import os; print(os.environ['ONE'], os.environ['TWO'])"
    text = '[profiles.loud.services.a]\nextra_env = { ONE = "loud", TWO = "loud" }\n'
    file = write(text, a={"command": run(code), "extra_env": '{ ONE = "soft" }'})
    _, out, _ = command("up", file, "--profile", "loud", "-s", "a.extra_env.TWO=set").finish()
    assert "a          | loud set\n" in out


def test_end_of_a_critical_service_ends_all(command: Start, write: Callable[..., str]) -> None:
    """The exit code is 1, and the message says which one it was."""
    file = write(
        a={"command": run("import sys; sys.exit(3)"), "critical": "true", "restart": '"never"', "after": '"b"'},
        b={"command": run(FOR_EVER), "ready": '{ line = "ready" }'},
    )
    code, out, _ = command("up", file).finish()
    assert code == 1
    assert "aioverseer | critical service 'a' is finished: exited with code 3" in out
    assert "b: a stop was asked for; was killed by SIGTERM" in out


def test_signal_stops_a_critical_service_with_its_own_code(command: Start, write: Callable[..., str]) -> None:
    running = command("up", write(a={"command": run(FOR_EVER), "critical": "true"}))
    running.read_until(r"\| ready")
    running.send(signal.SIGTERM)
    assert running.finish()[0] == 143


def test_ladder_and_policy_of_the_file_hold_unless_overridden(command: Start, write: Callable[..., str]) -> None:
    code = "import sys, signal; signal.signal(signal.SIGINT, lambda *_: sys.exit('got it')); " + FOR_EVER
    file = write(a={"command": run(code), "stop": '{ signal = "SIGINT" }', "restart": "{ max_restarts = 1 }"})
    running = command("up", "--stop-timeout", "5", file)
    running.read_until(r"\| ready")
    running.send(signal.SIGTERM)
    assert running.finish()[0] == 143
    assert "a          | got it" in running.printed


def test_all_problems_are_shown_and_nothing_is_started(command: Start, write: Callable[..., str]) -> None:
    file = write(a={"command": '["true"]', "redy": "1"}, b={"command": '["true"]', "nice": "99"})
    code, out, _ = command("up", file).finish()
    assert code == 2
    assert len(re.findall(r"^\S*aioverseer\.toml:\d+:\d+: services", out, re.MULTILINE)) == 2
    assert "started" not in out


def test_file_of_another_supervisor_runs_as_it_is(command: Start, tmp_path: Path) -> None:
    """A key that is lost is reported by ``check``."""
    path = tmp_path / "supervisord.conf"
    path.write_text(f"[program:a]\ncommand={sys.executable} -c \"print('hello')\"\nautorestart=false\nstartsecs=0\n")
    code, out, _ = command("up", str(path)).finish()
    assert code == 0, out
    assert "a          | hello\n" in out


def test_log_dir_overrides_the_logs_of_the_overseer(command: Start, write: Callable[..., str], tmp_path: Path) -> None:
    file = write('[overseer]\nlog = { path = "mine/{id}.log" }\n', a={"command": run("print('kept')")})
    assert command("up", file, "--log-dir", "theirs", cwd=tmp_path).finish()[0] == 0
    assert (tmp_path / "theirs" / "a.log").read_text() == "kept\n"
    assert not (tmp_path / "mine").exists()


def test_readiness_of_all_is_reported_to_systemd(command: Start, write: Callable[..., str], tmp_path: Path) -> None:
    """In a unit of Type=notify, as ``export systemd-up`` writes it; the services do not inherit the socket."""
    path = tmp_path / "notify"
    code = "import os; print(os.environ.get('NOTIFY_SOCKET'), flush=True); " + FOR_EVER
    file = write(a={"command": run(code), "ready": '{ line = "ready" }'})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(10)
        running = command("up", file, env={"NOTIFY_SOCKET": str(path)})
        while b"READY=1" not in systemd.recv(4096):
            pass
    running.send(signal.SIGTERM)
    assert running.finish()[0] == 143
    assert "a          | None\n" in running.printed


def test_option_without_its_package_is_refused_with_the_file(
    command: Start, write: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "watchdog.py").write_text("raise ImportError", encoding="utf-8")
    file = write(a={"command": '["true"]', "watch": '["."]'})
    code, out, _ = command("up", file, env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"}).finish()
    assert code == 2
    assert "aioverseer.toml: service 'a': watch needs the package watchdog: pip install 'aioverseer[watch]'" in out


@pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")
def test_restart_by_a_change_names_the_file(command: Start, write: Callable[..., str], tmp_path: Path) -> None:
    """While the service runs, and in a backoff."""
    pytest.importorskip("watchdog", reason="an extra")
    app = tmp_path / "app.py"
    app.write_text(FOR_EVER, encoding="utf-8")
    options = {
        "command": json.dumps([sys.executable, "app.py"]),
        "watch": '{ paths = ["app.py"], debounce = 0.02 }',
        "restart": "{ backoff = { min = 60.0, max = 60.0, jitter = false } }",
        "ready": '{ line = "ready" }',
    }
    running = command("up", write(a=options))
    running.read_until(r"a: started")
    app.write_text(READY + "raise SystemExit(3)", encoding="utf-8")
    running.read_until(r"\| a: is restarted, as app\.py has changed")
    running.read_until(r"\| a: exited with code 3; restarts in 60 s")
    app.write_text(FOR_EVER, encoding="utf-8")
    running.read_until(r"\| a: is restarted, as app\.py has changed")
    running.read_until(r"\| a: started")
    running.send(signal.SIGTERM)
    assert running.finish()[0] == 143


def test_dependency_that_failed_is_explained(command: Start, write: Callable[..., str]) -> None:
    """With its exit code, and the name of the service that waited once in the line. A hook's failure has our prefix."""
    file = write(
        '[[hooks]]\non = "fatal"\nrun = ["false"]\n',
        a={"command": run("raise SystemExit(4)"), "restart": '"never"'},
        b={"command": '["true"]', "after": '{ a = "success" }'},
        c={"command": '["true"]', "cwd": '"nodir"', "restart": '"never"'},
    )
    code, out, _ = command("up", file).finish()
    assert code == 1
    assert "aioverseer | b: cannot be started: it waited for 'a' to end as a success, which exited with code 4\n" in out
    assert "aioverseer | b failed: cannot be started: it waited for" in out
    assert "aioverseer | c: cannot be started: its working folder" in out
    assert re.search(
        r"^aioverseer \| hook false failed for event \d+ \(b is fatal\): exited with code 1$", out, re.MULTILINE
    )
