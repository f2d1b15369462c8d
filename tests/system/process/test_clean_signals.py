"""A program starts with an empty signal mask and default actions, whatever its host has blocked or ignores."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Overseer, Process, SpawnError, State, Status, ready
from aioverseer._system.containment.shim import client as shim_client
from aioverseer._system.host.path_lookup import find
from aioverseer._system.process import clean_signals
from aioverseer._system.process.clean_signals import CleanStart, held, inherited
from aioverseer._system.process.spawn import VARIABLE
from tests.support.programs import child, limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

BLOCKED = {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPIPE, signal.SIGTSTP, signal.SIGRTMIN + 1}
IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTOU, signal.SIGRTMIN + 2)

SHOW = child("print([line for line in open('/proc/self/status') if line[:6] in ('SigBlk', 'SigIgn', 'SigPnd')])")
PYTHON_IGNORES = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
OF_THE_C_LIBRARY = 1 << 31 | 1 << 32
"""Signals 32 and 33, which the threads of glibc keep for themselves: no program can use them, see signal(7)."""


@contextlib.contextmanager
def ignoring(*numbers: int) -> Generator[None]:
    """Ignore signals in this process."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def blocking(*numbers: int) -> Generator[None]:
    """Block signals in this thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.fixture(name="spawner", params=["pidfd", "asyncio"])
def spawner_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both spawners."""
    monkeypatch.setattr("aioverseer._system.process.spawn._wanted", lambda: request.param)


@pytest.fixture(name="tool", params=["env", "busybox"])
def tool_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the env of GNU coreutils, and without."""
    if request.param == "busybox":
        monkeypatch.setattr(clean_signals, "_env", lambda: None)


@pytest.fixture(name="host")
def host_fixture() -> Iterator[None]:
    """A host that blocks some signals and ignores others. It is as it was afterwards."""
    with blocking(*BLOCKED), ignoring(*IGNORED):
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        yield
        assert mask == signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert all(signal.getsignal(number) is signal.SIG_IGN for number in IGNORED)


def output(status: Status) -> list[str]:
    """Return the lines of a program."""
    return [str(line) for line in status.stdout or ()]


def signals_of(text: str) -> dict[str, int]:
    """Return the masks that a program has shown, without signals that Python or the C library ignores itself."""
    masks = {name: int(mask, 16) for name, mask in re.findall(r"(Sig\w+):\\t(\w+)", text)}
    assert masks
    return {**masks, "SigIgn": masks["SigIgn"] & ~(PYTHON_IGNORES | OF_THE_C_LIBRARY)}


NOTHING = {"SigPnd": 0, "SigBlk": 0, "SigIgn": 0}


@pytest.mark.parametrize(
    "options",
    [{}, {"cwd": "/"}, {"pty": True}, {"umask": 0o22, "nice": 1}, {"env": {}}, {"stdin": "x", "merge_stderr": True}],
    ids=lambda options: ", ".join(options) or "plain",
)
async def test_program_has_no_signal_blocked_or_ignored(
    options: dict[str, Any], host: None, spawner: None, tool: None
) -> None:
    """With each wrapper too."""
    async with limit(20):
        status = await Process(*SHOW, **options)
    assert NOTHING == signals_of("".join(output(status)))


def strict(way: str) -> object:
    """Return a level of containment; skipped where the system lacks it."""
    why = shim_client.missing_namespace() if way == "pidns" else shim_client.missing()
    return pytest.param(way, marks=pytest.mark.skipif(why is not None, reason=str(why)))


@pytest.mark.parametrize("level", ["guarded", strict("strict"), strict("pidns")])
@pytest.mark.parametrize("leftovers", ["kill", "keep"])
async def test_program_is_clean_at_each_level(level: Any, leftovers: Any, host: None) -> None:
    """And its stop needs no more than the first step."""
    if (level, leftovers) == ("pidns", "keep"):
        pytest.skip("impossible")
    async with limit(20), Overseer(containment=level) as overseer:
        service = overseer.add("show", *SHOW, leftovers=leftovers)
        await overseer.supervise("show")
        assert NOTHING == signals_of("".join(line.text for line in service.tail()))
        sleeper = overseer.add("sleeper", "sleep", "100", leftovers=leftovers)
        await sleeper.start()
        assert signal.SIGTERM == (await sleeper.stop()).signal


async def test_trial_of_a_namespace_ends_with_a_blocked_sigchld(host: None) -> None:
    """The shim waits for SIGCHLD, whatever it has inherited."""
    if (why := shim_client.missing_namespace()) is not None:
        pytest.skip(why)
    assert shim_client._trial.__wrapped__() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_directly_after_the_start_is_not_lost(number: int, spawner: None, tool: None) -> None:
    """It comes before the reset: the kernel keeps a signal that is blocked, ignored or not."""
    async with limit(20):
        for reset in (ignoring, blocking):
            with reset(number):
                for _ in range(5):
                    process = await Process("sleep", "100").start()
                    process.signal(number)
                    assert number == (await process).signal


@pytest.mark.parametrize("reset", [ignoring, blocking])
async def test_signals_of_the_host_stay_its_own(
    reset: Callable[[int], contextlib.AbstractContextManager[None]], spawner: None
) -> None:
    """A pending signal of the host is neither delivered nor lost by a spawn: a thread of it waits for it."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda *_: heard.append(1))
    try:
        with blocking(signal.SIGUSR2), reset(signal.SIGHUP):
            # To this thread: others of the host may not block it.
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)
            async with limit(20):
                assert (await Process("true")).ok
            assert {signal.SIGUSR2} == signal.sigpending()
            assert signal.SIGUSR2 == signal.sigwait({signal.SIGUSR2})
        assert [] == heard
    finally:
        signal.signal(signal.SIGUSR2, before)


async def test_command_of_a_probe_is_clean_too(host: None, tmp_path: Path) -> None:
    """It is started like a program."""
    seen = tmp_path / "seen"
    code = f"open({str(seen)!r}, 'w').write(str([*open('/proc/self/status')]))"
    async with limit(20), Overseer() as overseer:
        await overseer.add("web", "sleep", "100", ready=ready.command(*child(code))).start()
    assert {**NOTHING, "ShdPnd": 0}.items() >= {
        key: value for key, value in signals_of(seen.read_text()).items() if key in NOTHING
    }.items()


async def test_programs_of_a_thread_are_clean_too(host: None) -> None:
    """Each thread has a mask of its own, and only the main thread may set handlers."""
    found: list[str] = []

    def run() -> None:
        async def show() -> list[str]:
            return output(await Process(*SHOW))

        found.extend(asyncio.run(show()))

    thread = threading.Thread(target=run)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert NOTHING == signals_of("".join(found))


@pytest.mark.parametrize(
    ("words", "number"),
    [(("no-such-program",), errno.ENOENT), (("/etc/passwd",), errno.EACCES), (("./broken",), errno.ENOENT)],
)
async def test_what_cannot_be_started_is_refused_as_ever(
    words: tuple[str, ...], number: int, host: None, spawner: None, tmp_path: Path
) -> None:
    """The error of the system, not the exit code of a wrapper."""
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    async with limit(20):
        process = Process(*words, cwd=str(tmp_path))
        with pytest.raises(SpawnError) as raised:
            await process.start()
    assert number == raised.value.errno
    assert State.FATAL is process.state


async def test_program_with_an_equals_sign_is_run(host: None, tmp_path: Path) -> None:
    """By env(1) it would be taken for a variable."""
    program = tmp_path / "a=b"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    async with limit(20):
        assert ["ran"] == (await Process(str(program))).stdout


async def test_program_with_a_hyphen_is_run(host: None, tmp_path: Path) -> None:
    """By env(1) it would be taken for an option."""
    program = tmp_path / "-v"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    async with limit(20):
        path = f"{tmp_path}:{os.environ['PATH']}"
        assert ["ran"] == (await Process("-v", "true", extra_env={"PATH": path})).stdout


async def test_environment_is_as_given(host: None, tool: None) -> None:
    """The words in front add no variable."""
    async with limit(20):
        status = await Process("/usr/bin/env", env={"A": "b"})
    assert ["A"] == [line.partition("=")[0] for line in output(status) if not line.startswith("AIOVERSEER")]


async def test_descriptors_are_as_ever(spawner: None) -> None:
    """The one for the wait under an ignored SIGCHLD is closed before the program begins, and in the host."""
    before = os.listdir("/proc/self/fd")
    show = child("import os\nprint(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])")
    async with limit(20):
        with ignoring(signal.SIGCHLD):
            status = await Process(*show)
    assert ["[0, 1, 2]"] == status.stdout
    assert before == os.listdir("/proc/self/fd")


def test_nothing_is_put_before_a_program_of_a_usual_host() -> None:
    """No word, no spawn more."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests run under nohup
    try:
        assert frozenset() == inherited()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_env_of_busybox_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The trial shows whether an env can reset: one that cannot, one that says nothing, none."""
    real = find("env", os.environ.get("PATH"))
    assert real == clean_signals._env.__wrapped__()
    for text in ("exit 1", 'shift; exec "$@"', "sleep 0"):
        tool = tmp_path / "env"
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert clean_signals._env.__wrapped__() is None
    tool.unlink()
    assert clean_signals._env.__wrapped__() is None


def test_host_without_any_means_says_so_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Its programs run, and inherit."""
    monkeypatch.setattr(clean_signals, "_env", lambda: None)
    monkeypatch.setattr(sys, "executable", "")
    clean_signals._warn.cache_clear()
    for _ in range(2):
        assert [] == CleanStart(frozenset({signal.SIGHUP}), ["true"]).prefix
    assert ["install GNU coreutils"] == [record.message.rpartition("; ")[2] for record in caplog.records]


def test_overlapping_blocks_leave_the_mask_as_it_was() -> None:
    """As those of two tasks do, in any order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    one, other = held(frozenset({signal.SIGHUP})), held(frozenset({signal.SIGHUP, signal.SIGUSR2}))
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    other.__exit__(None, None, None)
    assert before == signal.pthread_sigmask(signal.SIG_BLOCK, ())


# --- an ignored SIGCHLD


async def test_no_program_is_said_not_to_have_started_with_an_ignored_sigchld(spawner: None) -> None:
    """However short it is; and its exit is the true one where the kernel remembers it."""
    async with limit(30):
        with ignoring(signal.SIGCHLD):
            statuses = await asyncio.gather(*(Process("sh", "-c", f"exit {code}") for code in range(30)))
            with pytest.raises(SpawnError, match="no program"):
                await Process("no-such-program").start()
    for code, status in enumerate(statuses):
        assert State.FINISHED is status.state
        assert status.exit_code in (code, None)
        assert status.error is None


async def test_child_that_another_part_has_reaped_at_once_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pidfd comes too late. Its exit is lost, and no group is signalled by its number."""
    if os.environ.get(VARIABLE) == "asyncio":
        pytest.skip("about the pidfd spawner")

    def gone(pid: int) -> int:
        os.waitpid(pid, 0)
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    signalled: list[int] = []
    monkeypatch.setattr("aioverseer._system.process.spawn_pidfd.os.pidfd_open", gone)
    monkeypatch.setattr("aioverseer._system.process.spawn_pidfd._has_pidfds", lambda: True)
    monkeypatch.setattr(os, "killpg", lambda pid, _: signalled.append(pid))
    async with limit(20):
        status = await Process("true")
        assert (State.FINISHED, None, None) == (status.state, status.exit_code, status.signal)
    assert "lost" in status.reason
    assert [] == signalled


@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("env", 10), PermissionError("seccomp")], ids=str)
def test_env_whose_trial_does_not_end_is_not_used(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, or where a sandbox forbids it."""

    def fail(*_words: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert clean_signals._env.__wrapped__() is None
