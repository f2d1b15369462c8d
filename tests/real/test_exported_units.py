"""Exported units under a real manager of systemd: order, sockets, timers, limits, the end of all, and ``up`` itself.

The manager of a user runs in namespaces and cgroups of its own. It takes half a minute.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aioverseer import Every, Restart, Spec, listen, ready
from tests.support.exports import exported

MANAGER = next((path for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if os.path.exists(path)), None)
ROOT = Path(__file__).parents[2]
CGROUPS = [Path("/sys/fs/cgroup", part) for part in ("", "unified", "systemd")]
pytestmark = [
    pytest.mark.skipif(not os.environ.get("AIOVERSEER_LONG"), reason="half a minute: set AIOVERSEER_LONG=1"),
    pytest.mark.skipif(MANAGER is None or shutil.which("unshare") is None, reason="systemd is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and cgroups need root"),
    pytest.mark.timeout(120),
]

INSIDE = """
for part in $CGROUPS; do echo $$ > $part/cgroup.procs; done
exec unshare --pid --fork --mount --mount-proc --cgroup --kill-child sh -c '
    mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system
    (exec setsid sh -c "$COMMANDS" > "$FOLDER/said" 2>&1) &
    exec "$MANAGER" --user --unit="$UNIT" --log-target=null & wait %2'
"""
"""The manager is not the first process there: as that it would take itself for the manager of the system."""

WEB = """
import os, signal, socket, sys
held = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with open(sys.argv[1], "a") as stream:
    stream.write(repr([*sys.argv[2:], os.environ["LISTEN_FDNAMES"], os.environ["TEXT"]]) + "\\n")
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
notify.send(b"READY=1")
while True:
    held.accept()[0].sendall(b"hello")
"""

MIGRATED = "open('migrated', 'w')"
ANSWER = "s = socket.socket(fileno=3); s.accept()[0].sendall(b'on demand'); s.accept()"
UNTIL = "until {condition}; do sleep 0.1; done"
LISTENS = UNTIL.format(condition="test -S runtime/systemd/private")
STATE = "systemctl --user show -p ActiveState -p Result"
Manager = Callable[[str, str], str]


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    """Return a function that starts a unit below ``units/``, runs commands beside the manager, and ends it."""
    (tmp_path / "runtime").mkdir()
    (tmp_path / "units").mkdir()
    mine = [part / "aioverseer-export" for part in CGROUPS if (part / "cgroup.procs").exists()]

    def run(unit: str, commands: str) -> str:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(tmp_path / "runtime"),
            "SYSTEMD_UNIT_PATH": f"{tmp_path}/units:",
            "CGROUPS": " ".join(map(str, mine)),
            "COMMANDS": f"cd {tmp_path}; {LISTENS}; {commands}\nsystemctl --user exit",
            "FOLDER": str(tmp_path),
            "MANAGER": MANAGER or "",
            "UNIT": unit,
        }
        for part in mine:
            part.mkdir(exist_ok=True)
        try:
            subprocess.run(["sh", "-c", INSIDE], env=environ, check=False, timeout=60)
        except subprocess.TimeoutExpired:
            pytest.fail((tmp_path / "said").read_text())
        finally:
            for part in mine:
                remove(part)
        return (tmp_path / "said").read_text()

    return run


def remove(cgroup: Path) -> None:
    """Remove an empty cgroup with all below it, once the kernel has let its last process go."""
    deadline = time.monotonic() + 10
    for folder in sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True):
        folder.rmdir()
    while cgroup.exists():
        try:
            cgroup.rmdir()
        except OSError:
            assert time.monotonic() < deadline, f"{cgroup} is not empty"


def free_ports(number: int) -> list[int]:
    """Return ports that are free now."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in held]


def test_units_run_as_the_file_says(manager: Manager, tmp_path: Path) -> None:
    server, web, demand = free_ports(3)
    script = tmp_path / "web.py"
    script.write_text(WEB)
    python = sys.executable
    files = exported(
        "systemd",
        Spec.of("db", [python, "-m", "http.server", str(server), "--bind", "127.0.0.1"], ready=ready.tcp(server)),
        Spec.of(
            "migrate",
            [
                python,
                "-c",
                f"import urllib.request as u; u.urlopen('http://127.0.0.1:{server}'); {MIGRATED}",
            ],
            after="db",
            restart=Restart("never"),
        ),
        Spec.of(
            "web",
            [python, str(script), "webs", "i={index}", "$HOME %h 'q' ;"],
            instances=2,
            listen={"http": listen.tcp(web)},
            after={"db": "ready", "migrate": "success"},
            ready=ready.notify(),
            extra_env={"TEXT": 'a  b%c $d "e"'},
        ),
        Spec.of(
            "demand",
            [
                python,
                "-c",
                f"import socket; {ANSWER}",
            ],
            listen={"x": listen.tcp(demand)},
            on_demand=True,
        ),
        Spec.of("tick", ["/bin/sh", "-c", "echo tick >> ticks"], schedule=Every(0.5)),
        Spec.of("crash", ["/bin/sh", "-c", "echo crash >> crashes; exit 3"], restart=Restart(max_restarts=2)),
        Spec.of(
            "vital",
            ["/bin/sh", "-c", "until test -e enough; do sleep 0.1; done; exit 3"],
            critical=True,
            restart=Restart(max_restarts=0),
        ),
        path=str(tmp_path / "aioverseer.toml"),
    ).files
    for name, text in files.items():
        (tmp_path / "units" / name).write_text(text)
    said = manager(
        "shop.target",
        "\n".join([
            UNTIL.format(condition="systemctl --user is-active shop-web@0.service shop-web@1.service > /dev/null"),
            UNTIL.format(condition="test -e ticks && test $(wc -l < ticks) -ge 8"),
            UNTIL.format(condition="systemctl --user is-failed shop-crash.service > /dev/null"),
            *(f"bash -c 'cat < /dev/tcp/127.0.0.1/{port}'; echo" for port in (web, demand)),
            "touch enough",
            UNTIL.format(condition="systemctl --user is-failed shop-vital.service > /dev/null"),
            UNTIL.format(condition="! systemctl --user is-active shop.target > /dev/null"),
            UNTIL.format(condition='test -z "$(systemctl --user list-jobs --no-legend)"'),
            *(f"{STATE} {unit} | sort" for unit in ("shop-web@0", "shop-db", "shop-migrate")),
        ]),
    )  # fmt: skip
    lines = [line for line in said.splitlines() if line]
    assert lines[:2] == ["hello", "on demand"]
    # Exit code 143 of the web is a success.
    assert lines[2:] == ["ActiveState=inactive", "Result=success"] * 3
    assert (tmp_path / "crashes").read_text() == "crash\n" * 3
    assert (tmp_path / "migrated").exists()
    assert sorted((tmp_path / "webs").read_text().splitlines()) == [
        repr([f"i={index}", "$HOME %h 'q' ;", "http", 'a  b%c $d "e"']) for index in range(2)
    ]


def test_up_reports_to_systemd_and_ends_as_a_success(manager: Manager, tmp_path: Path) -> None:
    loop = "trap 'touch bye; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    (tmp_path / "aioverseer.toml").write_text(
        f'name = "shop"\n[services.web]\ncommand = ["sh", "-c", "{loop}"]\nready = {{ line = "up" }}\n'
    )
    command = [sys.executable, "-m", "aioverseer", "export", "systemd-up", "-o", "units"]
    subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, stdout=subprocess.DEVNULL
    )
    said = manager(
        "shop.service",
        "\n".join([
            UNTIL.format(condition="systemctl --user is-active shop.service > /dev/null"),
            "systemctl --user show -P StatusText shop.service",
            "systemctl --user stop shop.service",
            f"{STATE} shop.service | sort",
        ]),
    )  # fmt: skip
    assert said.split() == ["1", "of", "1", "ready", "ActiveState=inactive", "Result=success"]
    assert (tmp_path / "bye").exists()
