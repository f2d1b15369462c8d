"""The placement of listening sockets: descriptors and variables in the program, whatever stands before it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from aioverseer import SpawnError, Spec
from aioverseer._system.containment.shim import client as shim
from aioverseer._system.process import listen_fds
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.process.listen_fds import placement_of
from aioverseer.abc import ReadinessChannels
from tests.support.programs import child, limit

PROGRAM = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
"""An interpreter that every user may run."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
strict = pytest.mark.skipif(shim.missing() is not None, reason="there is no shim")
pidns = pytest.mark.skipif(shim.missing_namespace() is not None, reason="there is no pid namespace")

SHOW = """
import json, os, socket, sys
names = ("LISTEN_FDS", "LISTEN_FDNAMES")
opened = [number for number in range(100) if os.path.exists(f"/proc/self/fd/{number}")]
print(json.dumps({
    "variables": [os.environ.get(name) for name in names],
    "pid": os.environ.get("LISTEN_PID") == str(os.getpid()),
    "has_pid": "LISTEN_PID" in os.environ,
    "ports": [socket.socket(fileno=number).getsockname()[1] for number in range(3, 3 + int(sys.argv[1]))],
    "open": opened,
    "stdin": os.readlink("/proc/self/fd/0").partition(":")[0],
    "words": sys.argv[2:],
}))
"""


@pytest.fixture(name="sockets")
def sockets_fixture() -> Iterator[list[socket.socket]]:
    """Four listening sockets of the host."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]


def named(sockets: list[socket.socket], count: int) -> dict[str, int]:
    """The first sockets, by names."""
    return {f"s{place}": opened.fileno() for place, opened in enumerate(sockets[:count])}


async def shown(
    sockets: Mapping[str, int], *, words: tuple[str, ...] = (), announced: bool = True, **options: Any
) -> dict[str, Any]:
    """Return the findings of a program that gets sockets."""
    spec = Spec.of("web", [PROGRAM, "-c", SHOW, str(len(sockets)), *words], **options)
    channels = ReadinessChannels(sockets=sockets, announces_sockets=announced)
    launcher = SystemLauncher()
    real = await launcher.launch(spec, capture=True, channels=channels)
    output, over = bytearray(), asyncio.Event()
    assert real.stdout is not None
    real.stdout.attach(output.extend, over.set, blocked=lambda: False)
    async with limit(20, "the program"):
        assert 0 == (await real.wait()).code
        real.stdout.drain()
    real.sweep()
    real.close()
    await launcher.close()
    found: dict[str, Any] = json.loads(output)
    return found


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stdin": "pipe"},
        {"pty": True},
        {"umask": 0o22, "nice": 1},
        {"extra_env": {"LISTEN_FDS": "9", "LISTEN_FDNAMES": "x", "LISTEN_PID": "1"}},
        {"env": {"PATH": os.environ["PATH"]}},
        pytest.param({"user": "nobody"}, marks=as_root),
        pytest.param({"user": "nobody", "stdin": "pipe"}, marks=as_root),
        pytest.param({"containment": "guarded"}),
        pytest.param({"containment": "strict"}, marks=strict),
        pytest.param({"containment": "pidns"}, marks=pidns),
    ],
    ids=str,
)
async def test_program_gets_its_sockets(sockets: list[socket.socket], count: int, options: dict[str, Any]) -> None:
    """Each has its place, its name and its process id, and nothing else is open."""
    found = await shown(named(sockets, count), **options)
    assert [str(count), ":".join(f"s{place}" for place in range(count))] == found["variables"]
    assert found["pid"]
    assert [opened.getsockname()[1] for opened in sockets[:count]] == found["ports"]
    assert [0, 1, 2, *range(3, 3 + count)] == found["open"]
    assert ("pipe" if options.get("stdin") else "/dev/pts/" if "pty" in options else "/dev/null") in found[
        "stdin"
    ] + "/"


@pytest.mark.parametrize("count", [1, 3])
async def test_arguments_pass_through_the_words(sockets: list[socket.socket], count: int) -> None:
    words = ("-n", "a b", "$HOME", "'\"`", "*", "")
    assert list(words) == (await shown(named(sockets, count), words=words))["words"]


@pytest.mark.parametrize("count", [1, 2])
async def test_sockets_that_arguments_name_are_not_announced(sockets: list[socket.socket], count: int) -> None:
    found = await shown(named(sockets, count), announced=False)
    assert ([None, None], False) == (found["variables"], found["has_pid"])
    assert [opened.getsockname()[1] for opened in sockets[:count]] == found["ports"]


async def test_without_a_fit_shell_python_places_them(
    sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen_fds, "_shell", lambda: None)
    words = placement_of(Spec.of("web", ["serve"]), named(sockets, 2), announced=True).words
    assert sys.executable == words[0]
    found = await shown(named(sockets, 3))
    assert ["3", "s0:s1:s2"] == found["variables"]
    assert [opened.getsockname()[1] for opened in sockets[:3]] == found["ports"]
    assert (True, [0, 1, 2, 3, 4, 5]) == (found["pid"], found["open"])


async def test_python_places_sockets_whose_numbers_are_wanted(sockets: list[socket.socket]) -> None:
    """A redirection of a shell would overwrite one before it has been moved."""
    low = {f"s{place}": number for place, number in enumerate(reversed([opened.fileno() for opened in sockets]))}
    words = placement_of(Spec.of("web", ["serve"]), {"a": 3, "b": 4}, announced=True).words
    assert sys.executable == words[0]
    found = await shown(low)
    assert [opened.getsockname()[1] for opened in reversed(sockets)] == found["ports"]


def test_the_shell_is_tried_where_there_is_no_bash(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    listen_fds._takes_two_digits.cache_clear()  # asked once in a process
    dash = os.path.realpath("/bin/sh").endswith("dash")
    assert (None if dash else ["/bin/sh"]) == listen_fds._shell()  # the choice itself


async def test_a_missing_program_is_an_error_and_no_exit_code(sockets: list[socket.socket]) -> None:
    for count in (1, 2):
        with pytest.raises(SpawnError, match="there is no program 'no-such' on PATH"):
            await SystemLauncher().launch(
                Spec.of("web", ["no-such"]), capture=False, channels=ReadinessChannels(sockets=named(sockets, count))
            )


def test_sockets_of_the_host_are_not_announced_to_programs() -> None:
    """Neither plain programs nor those with variables of their own get the variables of systemd for the host."""
    host = """
    import asyncio, os, sys
    from aioverseer import Process
    async def main():
        for options in ({}, {"extra_env": {"A": "1"}}, {"env": {**os.environ}}):
            print((await Process("env", **options)).stdout)
        os.environ["LISTEN_FDNAMES"] = "late"
        print((await Process("env")).stdout)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="x", LISTEN_PIDFDID="1")
    asyncio.run(main())
    """
    words = [sys.executable, *(word for word in child(host)[1:] if word not in ("-I", "-S"))]
    output = _run(words)
    assert [False, False, True, False] == ["LISTEN_FDS=" in line for line in output]
    assert [False, False, True, False] == ["LISTEN_FDNAMES=" in line for line in output]


def _run(words: list[str]) -> list[str]:
    root = pathlib.Path(__file__).parents[3]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30, cwd=root)
    return done.stdout.splitlines()
