"""Errors of a spawn: a sentence with the service, the value and a remedy, and nothing is left."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import pathlib
import signal
import sys
from typing import Any

import pytest

from aioverseer import Process, SpawnError, State
from aioverseer._system.process import spawn_asyncio, spawn_errors, spawn_pidfd
from aioverseer._system.process.did_you_mean import hint_for_path
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer.core.options.spec import Spec
from tests.support.programs import child


def script(folder: pathlib.Path, text: str, *, mode: int = 0o755) -> str:
    """Write an executable file and return its path."""
    path = folder / "script"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("text", "mode", "number", "words"),
    [
        ("#!/no/such/interpreter\n", 0o755, errno.ENOENT, "the interpreter in its first line is not"),
        ("\x7fnot a program", 0o755, errno.ENOEXEC, "is no program that this system can run"),
        ("#!/bin/sh\n", 0o644, errno.EACCES, "may not be executed"),
    ],
)
async def test_a_broken_file_has_its_own_message(
    tmp_path: pathlib.Path, text: str, mode: int, number: int, words: str
) -> None:
    """Each kind has the errno of the system, too."""
    process = Process(script(tmp_path, text, mode=mode), id="web")
    with pytest.raises(SpawnError, match=words) as caught:
        await process.start()
    assert (number, True) == (caught.value.errno, "'web'" in str(caught.value))
    assert (State.FATAL, caught.value) == (process.state, process.status().error)


async def test_a_missing_program_or_folder_is_named(tmp_path: pathlib.Path) -> None:
    """A program by name, a program by path, a working folder and a file for standard input have different messages."""
    for process, words in (
        (Process("no-such-program"), "no program 'no-such-program' on PATH"),
        (Process("./no-such-program"), "no file './no-such-program'"),
        (Process("/bin/sleep 60"), "(arguments are separate: pass '/bin/sleep', '60')"),
        (Process("true", cwd="/no/such/folder"), "cwd='/no/such/folder' cannot be entered"),
        (Process("true", stdin=tmp_path / "none"), "none'"),
        (Process("true", cwd=script(tmp_path, "")), "cannot be entered"),
    ):
        with pytest.raises(SpawnError, match=words):
            await process.start()
        status = await process
        assert (State.FATAL, None) == (status.state, status.pid)
        with pytest.raises(SpawnError, match=words):
            await process.start()


async def test_too_long_arguments_have_their_own_message() -> None:
    """It names the limit of the system."""
    with pytest.raises(SpawnError, match="too long for this system"):
        await Process("true", "x" * 4_000_000).start()


async def test_a_lack_of_descriptors_has_its_own_message() -> None:
    """It names the limit to raise, and later launches work."""
    code = """
    import asyncio, os, resource
    from aioverseer import Process, SpawnError
    async def main():
        await Process("true")
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        seen = set()
        while True:
            try:
                process = await Process("true").start()
                break
            except SpawnError as error:
                seen.add(str(error))
                os.close(held.pop())
        print(len(seen), all("ulimit -n" in text for text in seen), (await process).ok)
    asyncio.run(main())
    """
    root = str(pathlib.Path(__file__).parents[3])
    status = await Process(*_unisolated(code), extra_env={"PYTHONPATH": root})
    assert (["1 True True"], []) == (status.stdout, status.stderr)


def _unisolated(code: str) -> tuple[str, ...]:
    return (sys.executable, *(word for word in child(code)[1:] if word not in ("-I", "-S")))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
async def test_wrappers_change_the_child_before_its_program() -> None:
    """User, groups, umask, priority and limits are those of the child when its program begins."""
    code = """
    import json, os, resource
    mask = os.umask(0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(json.dumps([os.getuid(), os.getgid(), os.getgroups(), mask, os.nice(0), limits, os.getsid(0) == os.getpid()]))
    """
    wanted: dict[str, Any] = {"user": "65534:65533", "extra_groups": [7, 8], "umask": 0o27, "nice": 5}
    # The interpreter of a developer may lie where nobody else may look.
    program = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else sys.executable
    status = await Process(program, *child(code)[1:], rlimits={"nofile": (100, 200)}, **wanted)
    assert status.ok, status
    assert [65534, 65533, [7, 8], 0o27, 5, [100, 200], True] == json.loads(str((status.stdout or [""])[0]))


async def test_a_missing_program_is_an_error_with_a_wrapper_too() -> None:
    """It is no exit code 127 of the wrapper."""
    with pytest.raises(SpawnError, match="no program 'no-such-program' on PATH"):
        await Process("no-such-program", umask=0o22).start()
    with pytest.raises(SpawnError, match="cannot be entered"):
        await Process("true", umask=0o22, cwd="/no/such/folder").start()


async def test_options_for_root_are_refused_before_the_spawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the option and the value."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"user": "root"}, "user='root'"),
        ({"extra_groups": [0]}, "extra_groups=\\(0,\\)"),
        ({"user": "nobody-of-this-name"}, "no user 'nobody-of-this-name'"),
        ({"user": "root:no-such-group"}, "no group 'no-such-group'"),
        ({"nice": -20}, "nice=-20"),
    ]
    for options, words in cases:
        with pytest.raises(SpawnError, match=words):
            await Process("true", **options).start()


async def test_a_missing_wrapper_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without util-linux lacks it."""
    monkeypatch.setattr("aioverseer._system.process.wrapper_tools.find", lambda *_args: None)
    with pytest.raises(SpawnError, match="it needs the program prlimit"):
        await Process("true", rlimits={"core": 0}).start()


async def test_children_have_no_pipes_of_asyncio_and_need_no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a new session, no PIPE, and no argument that makes CPython fork."""
    seen: list[dict[str, Any]] = []
    spawn = asyncio.create_subprocess_exec

    async def spy(*words: str, **options: Any) -> asyncio.subprocess.Process:
        seen.append(options)
        return await spawn(*words, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spy)
    await Process("cat", stdin=b"x", umask=0o77, nice=10)
    assert [True] == [options["start_new_session"] for options in seen]
    assert set(seen[0]) == {"executable", "stdin", "stdout", "stderr", "cwd", "env", "pass_fds", "start_new_session"}
    assert asyncio.subprocess.PIPE not in (seen[0]["stdin"], seen[0]["stdout"], seen[0]["stderr"])


async def test_a_child_inherits_no_descriptor_of_the_host() -> None:
    """It has three, and one more that lists the folder."""
    others = [Process("sleep", "100", stdin="pipe") for _ in range(3)]
    for other in others:
        await other.start()
    status = await Process(*child("import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"))
    assert ["[0, 1, 2, 3]"] == status.stdout
    for other in others:
        await other.stop(kill=True)


@pytest.mark.parametrize("system", ["pidfd and group", "pidfd", "neither"])
async def test_signals_go_to_the_group_of_a_live_child_only(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds with and without pidfds, and on kernels whose pidfds cannot signal a group."""
    sent: list[tuple[str, int]] = []
    kill, killpg, by_pidfd = os.kill, os.killpg, signal.pidfd_send_signal

    def spy_kill(pid: int, number: int) -> None:
        sent.append(("kill", pid))
        kill(pid, number)

    def spy_killpg(pgid: int, number: int) -> None:
        sent.append(("killpg", pgid))
        killpg(pgid, number)

    def without_group(pidfd: int, number: int, info: None = None, flags: int = 0) -> None:
        if flags:
            raise OSError(errno.EINVAL, "no such flag")
        by_pidfd(pidfd, number, info, flags)

    monkeypatch.setattr(os, "kill", spy_kill)
    monkeypatch.setattr(os, "killpg", spy_killpg)
    if system == "pidfd":
        monkeypatch.setattr(signal, "pidfd_send_signal", without_group)
    if system == "neither":
        # asyncio's own watcher keeps its pidfd: only ours is taken away.
        monkeypatch.setattr(spawn_asyncio, "pidfd_of", lambda _pid: None)
        monkeypatch.setattr(spawn_pidfd, "_has_pidfds", lambda: False)
    real = await SystemLauncher().launch(Spec(id="sleeper", argv=("sleep", "100")), capture=False)
    real.signal(signal.SIGTERM)
    assert signal.SIGTERM == (await real.wait()).signal
    expected = [] if system == "pidfd and group" else [("killpg", real.pid)]
    assert expected == sent
    for leader_only in (False, True):
        with pytest.raises(ProcessLookupError):
            real.signal(signal.SIGTERM, leader_only=leader_only)
    real.sweep()
    real.close()
    assert expected == sent


@pytest.mark.parametrize("whose", ["nobody", "init", "host", "group of the host"])
async def test_a_wrong_process_id_is_never_signalled(whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never 0, init, the host or its group."""
    monkeypatch.setattr(spawn_asyncio, "pidfd_of", lambda _pid: None)
    monkeypatch.setattr(spawn_pidfd, "_has_pidfds", lambda: False)
    real = await SystemLauncher().launch(Spec(id="sleeper", argv=("sleep", "100")), capture=False)
    pid = {"nobody": 0, "init": 1, "host": os.getpid(), "group of the host": os.getpgrp()}[whose]
    monkeypatch.setattr(real, "pid", pid)
    with pytest.raises(ProcessLookupError):
        real.signal(signal.SIGURG)
    monkeypatch.undo()
    real.signal(signal.SIGKILL)
    await real.wait()
    real.close()


def test_missing_program_in_a_removed_folder_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host still runs in that folder."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert " (it was looked for as 'bin/app')" == hint_for_path(Spec.of("web", ["bin/app"]))


def test_program_without_its_loader_was_built_for_another_system(tmp_path: pathlib.Path) -> None:
    """The kernel says ENOENT, as for a missing interpreter. A file that may not be read tells no more."""
    program = tmp_path / "elf"
    program.write_bytes(b"\x7fELF")
    for path in (program, tmp_path / "missing"):
        assert "it was built for another system" in spawn_errors._no_interpreter(str(program), str(path))
