"""Servers that go into the background, below hosts that leave their block or are killed: how many daemons are left."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.host_tree import wait_for_ends

__all__ = ["ENDS", "PROGRAMS", "Result", "rounds_of"]

ENDS = ("the block is left", "SIGKILL")
"""Ways in which a host ends."""

HOST = """
import asyncio, json, signal, sys
from aioverseer import Overseer, Stop
from aioverseer._system.containment import cgroup
mechanism, way, plan = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
level = "strict" if mechanism in ("shim", "cgroup") else mechanism
if mechanism == "shim":
    cgroup.Tree.missing = lambda tree: "this test is about shims"
async def main():
    async with Overseer(containment=level) as overseer:
        quick = Stop(steps=[(signal.SIGTERM, 0.2), (signal.SIGKILL, 2)])
        services = [
            overseer.add(str(number), *words, cwd=cwd, stop=quick, drain_timeout=0.1)
            for number, (words, cwd) in enumerate(plan)
        ]
        lines = [service.lines() for service in services]
        await asyncio.gather(*(service.start() for service in services))
        for queue in lines:
            assert "up" == (await queue.get()).text
        print(overseer.containment.mechanism if overseer.containment.level == "strict" else level, flush=True)
        if way == "SIGKILL":
            await asyncio.Event().wait()
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server.

    Attributes:
        name: Its name.
        path: Where it is; None where it is not installed.
        command: Function that returns the command that starts it in the background, for a folder.
        prepare: Function that makes the content of a folder.
        at_once: How many of them run below one host.
    """

    name: str
    path: str | None
    command: Callable[[Path], str]
    prepare: Callable[[Path], None] = lambda _folder: None
    at_once: int = 10


@dataclass(slots=True, kw_only=True)
class Result:
    """How many daemons were started, and what was left of them, as command lines."""

    rounds: int = 0
    left: list[str] = field(default_factory=list)


def rounds_of(program: Program, mechanism: str, way: str, rounds: int) -> Result:
    """Let hosts with daemons end until enough daemons were started."""
    result = Result()
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # sockets need short paths
        os.chmod(place, 0o755)  # a server may have a user of its own
        # Two hosts at least, as there are two kinds.
        folders = [Path(place, str(number)) for number in range(min(-(-rounds // 2), program.at_once))]
        for folder in folders:
            folder.mkdir()
            program.prepare(folder)
        stays = True
        while result.rounds < rounds:
            # The leader ends in every second host. A killed host had no time to see that.
            stays = way == "SIGKILL" or not stays
            batch = folders[: rounds - result.rounds]
            result.left += _one_host(program, mechanism, way, batch, stays=stays)
            result.rounds += len(batch)
    return result


def _one_host(program: Program, mechanism: str, way: str, folders: list[Path], *, stays: bool) -> list[str]:
    after = " && exec sleep 600" if stays else ""
    plan = [
        (["sh", "-c", f"{program.command(folder)} >/dev/null 2>&1 </dev/null && echo up{after}"], str(folder))
        for folder in folders
    ]
    words = [sys.executable, "-c", HOST, mechanism, way, json.dumps(plan)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        try:
            assert mechanism == host.stdout.readline().strip(), f"{program.name} has not started"
            if way == "SIGKILL":
                before = _processes_in(folders)
                assert before
                host.kill()
                wait_for_ends(before, time.monotonic() + 1.0)
            host.wait(60)
        finally:
            host.kill()
    left = _processes_in(folders)
    found = [f"{pid} {_command(pid)}" for pid in left]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for_ends(left, time.monotonic() + 5.0)
    return found


def _processes_in(folders: list[Path]) -> list[int]:
    """Return the live processes that work in one of the folders, whatever their titles and environments are."""
    return [pid for pid, folder in _working_folders() if any(folder.is_relative_to(it) for it in folders)]


def _working_folders() -> Iterator[tuple[int, Path]]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError):  # it is gone, or a zombie
                yield int(name), Path(os.readlink(f"/proc/{name}/cwd"))


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def _redis(folder: Path) -> str:
    return f"redis-server --port 0 --unixsocket {folder}/socket --daemonize yes --dir {folder} --save ''"


def _prepare_nginx(folder: Path) -> None:
    Path(folder, "conf").write_text(
        f"user nobody nogroup; pid {folder}/pid; error_log {folder}/log; worker_processes 2; events {{}}\n"
        f"http {{ access_log off; server {{ listen unix:{folder}/socket; }} "
        + " ".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + " }\n",
        encoding="utf-8",
    )


def _nginx(folder: Path) -> str:
    # A socket of a server that was killed stays, and nginx does not take it over.
    return f"rm -f socket && nginx -c {folder}/conf -p {folder}"


def _nats(folder: Path) -> str:
    # It has no background mode of its own, so a shell gives it one.
    return f"setsid -f nats-server --addr 127.0.0.1 --port -1 --pid {folder}/pid"


def _pg_ctl() -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return str(found[-1]) if found else shutil.which("pg_ctl")


def _as_user() -> str:
    """Return the words before a command of PostgreSQL, which refuses to run as root."""
    if os.getuid() != 0:
        return ""
    with contextlib.suppress(KeyError):
        user = pwd.getpwnam("postgres")
        return f"setpriv --reuid={user.pw_uid} --regid={user.pw_gid} --clear-groups "
    return "setpriv --reuid=nobody --regid=nogroup --clear-groups "


def _prepare_postgres(folder: Path) -> None:
    folder.chmod(0o777)
    made = f"{_as_user()}{_pg_ctl()} initdb -D {folder}/data -o '--no-sync --auth=trust'"
    subprocess.run(shlex.split(made), cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _postgres(folder: Path) -> str:
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c shared_buffers=1MB -c max_connections=4"
    # A server that was killed leaves two lock files with its number. That may be another process by now, or a zombie
    # that nobody reaps, as in a container without an init: PostgreSQL takes both for a server that runs.
    start = f"{_pg_ctl()} start -w -t 60 -D {folder}/data -l {folder}/data/log -o '{options}'"
    return f"rm -f data/postmaster.pid .s.PGSQL.*.lock && {_as_user()}{start}"


PROGRAMS = (
    Program(name="redis", path=shutil.which("redis-server"), command=_redis),
    Program(name="nginx", path=shutil.which("nginx"), command=_nginx, prepare=_prepare_nginx),
    Program(name="postgres", path=_pg_ctl(), command=_postgres, prepare=_prepare_postgres, at_once=4),
    Program(name="nats", path=shutil.which("nats-server"), command=_nats),
)
"""Servers with a background mode."""
