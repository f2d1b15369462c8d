"""Processors, disks, the out-of-memory killer and capabilities of real programs."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
from typing import Any, Literal

import pytest

from aioverseer import Process, SpawnError, Spec, ready
from aioverseer._system.process import privileges
from aioverseer._system.process.command import spec_of_command
from aioverseer._system.process.wrappers import prefix_for
from tests.support.programs import child

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the options are those of Linux")
pytestmark = on_linux

READ_BACK = """
import json, os, subprocess
lines = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
    "oom_score_adj": int(open("/proc/self/oom_score_adj").read()),
    "cpus": sorted(os.sched_getaffinity(0)),
    "io": subprocess.run(["ionice"], capture_output=True, text=True).stdout.strip(),
    "ambient": int(lines["CapAmb"], 16),
    "effective": int(lines["CapEff"], 16),
    "no_new_privileges": int(lines["NoNewPrivs"]),
    "umask": os.umask(0),
    "leads": os.getpid() == os.getsid(0) == os.getpgrp(),
}))
"""
BIND = 1 << 10
PROGRAM = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
"""An interpreter that each user can execute."""


async def read_back(**options: Any) -> dict[str, Any]:
    """The state of the process as the program sees it."""
    status = await Process(PROGRAM, *child(READ_BACK)[1:], **options)
    assert (True, []) == (status.ok, status.stderr)
    assert status.stdout
    result: dict[str, Any] = json.loads(str(status.stdout[0]))
    return result


def spec(**options: Any) -> Spec:
    return Spec(id="web", argv=("true",), **options)


def one_cpu() -> int:
    return min(os.sched_getaffinity(0))


@pytest.mark.parametrize("level", ["basic", "guarded", "strict"])
async def test_a_program_has_what_was_asked_for_at_each_level(level: Literal["basic", "guarded", "strict"]) -> None:
    cpu = one_cpu()
    seen = await read_back(
        containment=level, oom_score_adj=900, cpus=[cpu], io_class="best-effort:6", no_new_privileges=True
    )
    expected = {"oom_score_adj": 900, "cpus": [cpu], "io": "best-effort: prio 6", "no_new_privileges": 1, "leads": True}
    assert expected == {name: seen[name] for name in expected}


@as_root
@pytest.mark.parametrize("level", ["basic", "strict"])
async def test_a_program_without_root_keeps_one_capability(level: Literal["basic", "strict"]) -> None:
    """With everything else at once: the user comes last, as the other changes may need its rights."""
    seen = await read_back(
        containment=level,
        user="nobody",
        umask=0o27,
        oom_score_adj=950,
        io_class="best-effort:3",
        no_new_privileges=True,
        ambient_capabilities=["net_bind_service"],
    )
    expected = {
        "ids": [65534] * 4,
        "umask": 0o27,
        "oom_score_adj": 950,
        "io": "best-effort: prio 3",
        "ambient": BIND,
        "effective": BIND,
        "no_new_privileges": 1,
    }
    assert expected == {name: seen[name] for name in expected}


@as_root
async def test_a_program_of_another_user_without_the_option_has_no_capability() -> None:
    seen = await read_back(user="nobody")
    assert (0, 0, 0) == (seen["ambient"], seen["effective"], seen["no_new_privileges"])


@as_root
async def test_a_program_with_a_capability_is_stopped_like_any_other() -> None:
    process = Process("sleep", "60", user="nobody", ambient_capabilities=["net_bind_service"], no_new_privileges=True)
    await process.start()
    assert signal.SIGTERM == (await process.stop()).signal


def test_no_option_adds_no_words() -> None:
    own = int(pathlib.Path("/proc/self/oom_score_adj").read_text("ascii"))
    assert [] == prefix_for(spec())
    assert [] == prefix_for(spec(oom_score_adj=own, cpus=[], ambient_capabilities=[]))


@as_root
def test_all_privileges_are_changed_in_one_call() -> None:
    words = prefix_for(spec(no_new_privileges=True, ambient_capabilities=["kill"]))
    assert ["--inh-caps=+kill", "--ambient-caps=+kill", "--no-new-privs"] == words[1:]


def capabilities(monkeypatch: pytest.MonkeyPatch, **sets: int) -> None:
    """Let the host have other capabilities."""
    monkeypatch.setattr(privileges, "_has", lambda field, number: bool(sets.get(field, 0) >> number & 1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"oom_score_adj": -1000}, "and a lower number needs the capability sys_resource"),
        ({"io_class": "realtime"}, "io_class='realtime': it needs the capability sys_nice"),
        ({"ambient_capabilities": ["net_raw"]}, "ambient_capabilities='net_raw': this host does not have it"),
        ({"cpus": [one_cpu(), 8191]}, "this host may not use processor 8191: it has "),
    ],
)
def test_what_is_impossible_is_refused_before_the_spawn(
    options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    capabilities(monkeypatch)
    with pytest.raises(SpawnError) as caught:
        prefix_for(spec(**options))
    assert "service 'web' cannot be started with" in str(caught.value)
    assert words in str(caught.value)


def test_a_host_with_the_capability_may_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities(monkeypatch, CapEff=1 << 24 | 1 << 23, CapAmb=1 << 13, CapBnd=1 << 13)
    assert prefix_for(spec(oom_score_adj=-1000, io_class="realtime", ambient_capabilities=["net_raw"]))


def test_a_host_that_is_not_root_passes_on_its_ambient_capabilities_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exec of setpriv would lose the others."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    capabilities(monkeypatch, CapEff=1 << 13, CapPrm=1 << 13, CapBnd=1 << 13)
    with pytest.raises(SpawnError, match="it cannot pass it on"):
        prefix_for(spec(ambient_capabilities=["net_raw"]))
    capabilities(monkeypatch, CapAmb=1 << 13)
    assert prefix_for(spec(ambient_capabilities=["net_raw"]))


@pytest.mark.parametrize(
    ("options", "tool"),
    [
        ({"oom_score_adj": 999}, "choom"),
        ({"cpus": [one_cpu()]}, "taskset"),
        ({"io_class": "idle"}, "ionice"),
        ({"no_new_privileges": True}, "setpriv"),
    ],
)
def test_a_missing_tool_is_named(options: dict[str, Any], tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioverseer._system.process.wrapper_tools.find", lambda *_args: None)
    with pytest.raises(SpawnError, match=rf"{next(iter(options))}=.*it needs the program {tool}\(1\)"):
        prefix_for(spec(**options))


def test_the_choice_of_the_host_is_left_as_it_is() -> None:
    """The attempt to use processors is made by a thread of its own."""
    before = os.sched_getaffinity(0)
    prefix_for(spec(cpus=[one_cpu()]))
    assert before == os.sched_getaffinity(0)


def test_a_command_on_behalf_of_a_program_has_its_privileges() -> None:
    ours = spec(ready=ready.command("true"), no_new_privileges=True, ambient_capabilities=["net_raw"], cpus=[0])
    command = spec_of_command(ours, ("true",), role="probe")
    assert (True, ("net_raw",), ()) == (command.no_new_privileges, command.ambient_capabilities, command.cpus)
