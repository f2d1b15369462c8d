"""The launcher and its children: errors, wrappers, descriptors, signals and leftovers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from typing import Any

import pytest

from aioverseer import Process, SpawnError, Spec, State
from aioverseer._system.containment import sweep
from aioverseer._system.process import child as launched
from aioverseer._system.process import loop_resources, spawn_pidfd
from aioverseer._system.process.child import SystemChild
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.process.wrappers import prefix_for
from tests.support.programs import child, limit
from tests.support.spawners import pidfd_only, watch_spawns

ROOT = str(pathlib.Path(__file__).parents[3])
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
SLEEPER = ("sleep", "100")
PROGRAM = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
"""An interpreter that every user may run. That of a developer may be in a private folder."""


def spec(*argv: str, **options: Any) -> Spec:
    """A service named web."""
    return Spec(id="web", argv=argv, **options)


async def finished(real: SystemChild) -> Any:
    """Reap the child and close it."""
    async with limit(10, "the end of the child"):
        exit = await real.wait()
    real.sweep()
    real.close()
    return exit


async def killed(real: SystemChild) -> None:
    """Kill the child."""
    real.signal(signal.SIGKILL)
    assert signal.SIGKILL == (await finished(real)).signal


def unisolated(code: str, *args: str) -> tuple[str, ...]:
    """The command line of a host, which may import the library."""
    return (sys.executable, *(word for word in child(code, *args)[1:] if word not in ("-I", "-S")))


# --- errors


def make(folder: pathlib.Path, name: str, text: str, mode: int = 0o755) -> str:
    """Write a file and return its path."""
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_each_error_has_its_sentence_and_leaves_nothing(
    tmp_path: pathlib.Path, wrapped: bool, capture: bool
) -> None:
    """It has the service, the value and a remedy, errno and filename of the system. No descriptor stays open."""
    plain = make(tmp_path, "plain", "#!/bin/sh\n", 0o644)
    cases: list[tuple[Spec, int, str]] = [
        (spec("no-such"), errno.ENOENT, "there is no program 'no-such' on PATH: install it"),
        (spec("no-such", env={}), errno.ENOENT, "there is no program 'no-such' on PATH: install it"),
        (spec(f"{tmp_path}/none"), errno.ENOENT, f"there is no file '{tmp_path}/none'"),
        (spec("./none", cwd=str(tmp_path)), errno.ENOENT, "there is no file './none'"),
        (spec(plain), errno.EACCES, f"'{plain}' may not be executed: make it executable"),
        (spec("true", cwd="/no/such"), errno.ENOENT, "its working folder cwd='/no/such' cannot be entered"),
        (spec("true", stdin=tmp_path / "none"), errno.ENOENT, f"stdin='{tmp_path}/none': No such file"),
        (spec(str(tmp_path)), errno.EACCES, "may not be executed, as it is a folder"),
        (spec(f"{plain}/x"), errno.ENOTDIR, "Not a directory"),
        (spec("true", cwd=plain), errno.ENOTDIR, f"cwd='{plain}' cannot be entered"),
        (spec(make(tmp_path, "i", "#!/no/such\n")), errno.ENOENT, "the interpreter in its first line is not"),
    ]
    if not wrapped:  # a wrapper finds out itself, and exits with 126 or 127
        cases += [
            (spec(make(tmp_path, "t", "\x7fbroken")), errno.ENOEXEC, "it may lack a #! line"),
            (spec(make(tmp_path, "s", "echo script\n")), errno.ENOEXEC, "it may lack a #! line"),
            (spec("true", "x" * 200_000), errno.E2BIG, "pass them in a file"),
            (spec("true", extra_env={"BIG": "x" * 200_000}), errno.E2BIG, "too long for this system"),
            (spec("true", "\ud800"), errno.EINVAL, "surrogates not allowed"),
        ]
    before = sorted(os.listdir("/proc/self/fd"))
    for case, number, words in cases:
        wanted = case.updated(umask=0o22) if wrapped else case
        with pytest.raises(SpawnError) as caught:
            await SystemLauncher().launch(wanted, capture=capture)
        error = caught.value
        assert (number, True) == (error.errno, str(error).startswith("service 'web' cannot be started"))
        assert words in str(error)
        assert isinstance(error.filename, str)
    assert before == sorted(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("options", [{}, {"stdin": "pipe"}, {"stdin": "x", "merge_stderr": True}])
async def test_a_host_without_descriptors_leaks_none(options: dict[str, Any]) -> None:
    """With 0, 1, 2, ... descriptors left the launch fails and closes what it opened, until there are enough."""
    code = """
    import asyncio, json, os, resource, sys
    from aioverseer import Process, SpawnError
    async def main():
        options = json.loads(sys.argv[1])
        await Process("true")
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
        held = []
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        failures = 0
        while True:
            process = Process("true", **options)
            try:
                await process.start()
                break
            except SpawnError as error:
                failures += 1
                assert error.errno == 24 and "raise the limit (ulimit -n)" in str(error), error
            spare = []
            for _ in range(failures - 1):
                spare.append(os.dup(0))  # OSError when one has leaked
            try:
                os.dup(0)
                sys.exit("one too many")
            except OSError:
                pass
            for descriptor in spare:
                os.close(descriptor)
            os.close(held.pop())
        print((await process).ok, failures > 3)
    asyncio.run(main())
    """
    status = await Process(*unisolated(code, json.dumps(options)), extra_env={"PYTHONPATH": ROOT})
    assert (["True True"], []) == (status.stdout, status.stderr)


async def test_the_launcher_goes_on_after_a_failure() -> None:
    """The queue admits the next launch."""
    launcher = SystemLauncher()
    results = await asyncio.gather(
        *(launcher.launch(spec(name), capture=True) for name in ("true", "no-such", "true", "no-such")),
        return_exceptions=True,
    )
    assert [SystemChild, SpawnError] * 2 == [type(result) for result in results]
    for result in results:
        if isinstance(result, SystemChild):
            assert 0 == (await finished(result)).code


async def test_a_full_process_table_has_its_own_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The errors are EAGAIN and ENOMEM, and the program is not at fault."""

    async def refuse(*_words: str, **_options: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    with pytest.raises(SpawnError, match=r"no room for another process .* see ulimit -u"):
        await SystemLauncher().launch(spec("true"), capture=True)


# --- wrappers, PATH and descriptors


READ_BACK = """
import json, os, resource, signal
mask = os.umask(0)
print(json.dumps({
    "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
    "groups": sorted(os.getgroups()),
    "umask": mask,
    "nice": os.nice(0),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "leads": os.getpid() == os.getsid(0) == os.getpgrp(),
}))
"""


async def read_back(**options: Any) -> dict[str, Any]:
    """The state of the process as the program sees it."""
    status = await Process(PROGRAM, *child(READ_BACK)[1:], **options)
    assert (True, []) == (status.ok, status.stderr)
    assert status.stdout
    result: dict[str, Any] = json.loads(str(status.stdout[0]))
    # The program may be an older Python, for which RLIM_INFINITY is -1.
    return {**result, "core": [value % 2**64 for value in result["core"]]}


@as_root
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"user": 65534}, {"ids": [65534] * 4, "groups": [65534]}),
        ({"user": "nobody"}, {"ids": [65534] * 4, "groups": [65534]}),
        ({"user": "nobody:7"}, {"ids": [65534, 65534, 7, 7]}),
        ({"user": "54321:65533"}, {"ids": [54321, 54321, 65533, 65533], "groups": []}),
        ({"user": "nobody", "extra_groups": [7, 8]}, {"ids": [65534] * 4, "groups": [7, 8]}),
        ({"extra_groups": [7]}, {"ids": [0, 0, 0, 0], "groups": [7]}),
        ({"umask": 0}, {"umask": 0}),
        ({"umask": 0o777, "nice": 7}, {"umask": 0o777, "nice": 7}),
        ({"nice": -5}, {"nice": -5}),
        ({"rlimits": {"nofile": 50, "core": (0, -1)}}, {"nofile": [50, 50], "core": [0, 2**64 - 1]}),
        ({"rlimits": {"core": (0, resource.RLIM_INFINITY)}}, {"core": [0, 2**64 - 1]}),
        (
            {"user": "nobody", "umask": 0o27, "nice": -1, "rlimits": {"nofile": (64, 4096)}},
            {"ids": [65534] * 4, "umask": 0o27, "nice": -1, "nofile": [64, 4096]},
        ),
    ],
)
async def test_wrappers_change_what_was_asked_for_and_nothing_else(
    options: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The rest is as in a child without options, and the program itself leads the session."""
    usual, seen = await asyncio.gather(read_back(), read_back(**options))
    unnamed = {"groups"} if "user" in options and "groups" not in expected else set[str]()
    assert {**usual, **expected, **{name: seen[name] for name in unnamed}} == seen
    assert seen["leads"]


async def test_the_shell_of_a_wrapper_does_not_interpret_the_arguments() -> None:
    """Blanks, quotes, dollars and options arrive unchanged, and the pid is that of the program."""
    words = ("-n", "a b", "$HOME", '"', "'", "", "*", "--", "-c")
    process = Process(*child("import os, sys; print(os.getpid(), sys.argv[1:])", *words), umask=0o22, nice=3)
    status = await process
    assert [f"{process.pid} {list(words)}"] == status.stdout


def test_without_a_change_there_is_no_wrapper() -> None:
    """An option that the host meets already needs none either."""
    assert [] == prefix_for(spec("true"))
    assert [] == prefix_for(spec("true", nice=os.getpriority(os.PRIO_PROCESS, 0)))
    assert [] == prefix_for(spec("true", user=os.geteuid()))


@as_root
async def test_a_host_that_is_not_root_refuses_before_the_spawn() -> None:
    """The error has the option, the value and the reason. Permitted changes are made."""
    code = """
    import asyncio, os, resource
    from aioverseer import SpawnError, Spec
    from aioverseer._system.process.launcher import SystemLauncher
    async def main():
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
        resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
        os.chdir("/")  # nobody may not look into the folder of whoever runs the tests
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        for options in (
            {"user": "root"}, {"user": 12345}, {"extra_groups": ["root"]}, {"nice": own - 3},
            {"rlimits": {"nofile": 300}}, {"rlimits": {"nofile": (100, -1)}},
        ):
            try:
                await SystemLauncher().launch(Spec(id="web", argv=("true",), **options), capture=False)
                print("started", options)
            except SpawnError as error:
                print(error.errno, str(error).partition("with ")[2])
        for options in ({"user": 65534}, {"nice": min(own + 3, 19)}, {"rlimits": {"nofile": (50, 200)}}, {"umask": 0}):
            real = await SystemLauncher().launch(Spec(id="web", argv=("true",), **options), capture=False)
            print((await real.wait()).code)
            real.close()
    asyncio.run(main())
    """
    status = await Process(*unisolated(code), extra_env={"PYTHONPATH": ROOT})
    assert [
        "1 user='root': only root may run a program as another user",
        "1 user=12345: only root may run a program as another user",
        "1 extra_groups=('root',): only root may run a program as another user",
        f"1 nice={os.getpriority(os.PRIO_PROCESS, 0) - 3}: only root may make a program more urgent than the host",
        "1 rlimits['nofile']=300: the hard limit of the host is 200, and only root may raise it",
        "1 rlimits['nofile']=(100, -1): the hard limit of the host is 200, and only root may raise it",
        "0",
        "0",
        "0",
        "0",
    ] == status.stdout
    assert [] == status.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"user": "root"}, "user='root': only root may run a program as another user"),
        ({"extra_groups": [0]}, "extra_groups=(0,): only root"),
        ({"nice": -20}, "nice=-20: only root may make a program more urgent than the host"),
        ({"rlimits": {"nofile": (1, 5)}}, None),
        ({"rlimits": {"nofile": (1, 7)}}, "rlimits['nofile']=(1, 7): the hard limit of the host is 6"),
        ({"rlimits": {"nofile": -1}}, "rlimits['nofile']=-1: the hard limit of the host is 6"),
        ({"user": "no-such-user"}, "there is no user 'no-such-user' on this system"),
        ({"user": "root:no-such-group"}, "there is no group 'no-such-group' on this system"),
        ({"extra_groups": ["no-such-group"]}, "there is no group 'no-such-group' on this system"),
    ],
)
def test_options_for_root_are_refused_by_name(
    options: dict[str, Any], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, by a simulated user, so that root may run the test."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (0, 0) if kind == resource.RLIMIT_NICE else (5, 6))
    if words is None:
        assert prefix_for(spec("true", **options))
        return
    with pytest.raises(SpawnError) as caught:
        prefix_for(spec("true", **options))
    assert words in str(caught.value)


def test_the_limit_of_priority_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """RLIMIT_NICE allows a host that is not root exactly so much, and no limit allows everything."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for limit_of_host, nice, refused in ((25, -5, False), (25, -6, True), (resource.RLIM_INFINITY, -20, False)):
        monkeypatch.setattr(resource, "getrlimit", lambda _kind, soft=limit_of_host: (soft, soft))
        with pytest.raises(SpawnError) if refused else contextlib.nullcontext():
            assert prefix_for(spec("true", nice=nice))


@pytest.mark.parametrize(
    ("options", "tool"),
    [
        ({"umask": 0}, "sh"),
        ({"nice": os.getpriority(os.PRIO_PROCESS, 0) - 1}, "nice"),
        ({"rlimits": {"core": 0}}, "prlimit"),
        ({"extra_groups": [1]}, "setpriv"),
    ],
)
def test_a_missing_tool_is_named(options: dict[str, Any], tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the option that needs it, too."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("aioverseer._system.process.wrapper_tools.find", lambda *_args: None)
    with pytest.raises(SpawnError, match=rf"{next(iter(options))}=.*it needs the program {tool}\(1\)"):
        prefix_for(spec("true", **options))


async def test_no_option_makes_cpython_fork(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Every spawn starts a session and has no PIPE and no argument that needs a fork."""
    seen: list[dict[str, Any]] = []
    spawn = asyncio.create_subprocess_exec

    async def spy(*words: str, **options: Any) -> asyncio.subprocess.Process:
        seen.append(options)
        return await spawn(*words, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spy)
    wishes: list[dict[str, Any]] = [
        {},
        {"stdin": "pipe"},
        {"stdin": "inherit"},
        {"stdin": b"x", "merge_stderr": True},
        {"stdin": pathlib.Path("/dev/null"), "cwd": str(tmp_path), "env": {"A": "b"}},
        {"umask": 0o77, "nice": 10, "rlimits": {"core": 0}},
    ]
    if os.geteuid() == 0:
        wishes.append({"user": "nobody", "extra_groups": (7,)})
    for wish in wishes:
        for capture in (False, True):
            await finished(await SystemLauncher().launch(spec("true", **wish), capture=capture))
    assert len(wishes) * 2 == len(seen)
    for options in seen:
        assert {"executable", "stdin", "stdout", "stderr", "cwd", "env", "pass_fds", "start_new_session"} == set(
            options
        )
        assert options["start_new_session"] is True
        assert asyncio.subprocess.PIPE not in (options["stdin"], options["stdout"], options["stderr"])


@pytest.mark.parametrize("path", ["{0}/folder:{0}/plain:{0}/first:{0}/second", "second:{0}/first", ":{0}/first", "{0}"])
async def test_a_program_is_found_as_exec_finds_it(tmp_path: pathlib.Path, path: str) -> None:
    """The search skips folders and other files, and relative folders of PATH start from the working folder."""
    (tmp_path / "folder" / "tool").mkdir(parents=True)
    for name, mode in (("plain", 0o644), ("first", 0o755), ("second", 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text(f"#!/bin/sh\necho {name} $0\n")
        (tmp_path / name / "tool").chmod(mode)
    options: dict[str, Any] = {"cwd": str(tmp_path), "env": {"PATH": path.format(tmp_path)}}
    expected: list[str] | int | None
    try:
        expected = subprocess.run(["tool"], capture_output=True, text=True, check=True, **options).stdout.splitlines()
    except OSError as error:
        expected = error.errno
    try:
        process = await Process("tool", **options).start()
        found: object = (await process).stdout
    except SpawnError as error:
        found = error.errno
    assert expected == found


@pytest.mark.parametrize("options", [{}, {"stdin": "pipe"}, {"merge_stderr": True}, {"umask": 0o22, "nice": 3}])
async def test_a_child_has_its_three_descriptors_and_no_other(options: dict[str, Any]) -> None:
    """Pipes and children of the host make no difference."""
    others = [await SystemLauncher().launch(spec(*SLEEPER, stdin="pipe"), capture=True) for _ in range(5)]
    code = """
    import os
    links = {n: f"/proc/self/fd/{n}" for n in range(99)}
    print({n: os.readlink(link).split(":")[0] for n, link in links.items() if os.path.lexists(link)})
    """
    status = await Process(*child(code), **options)
    stdin = "pipe" if options.get("stdin") else "/dev/null"
    assert [str({0: stdin, 1: "pipe", 2: "pipe"})] == status.stdout
    for other in others:
        await killed(other)


async def test_each_launch_has_an_iteration_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One launcher, many, or lone Processes that may not share: all of them have one queue."""
    monkeypatch.setattr(loop_resources, "_SHARED", 1)
    iteration = 0
    at: list[int] = []

    async def count() -> None:
        nonlocal iteration
        while True:
            iteration += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    watch_spawns(monkeypatch, before=lambda: at.append(iteration))
    shared = SystemLauncher()
    ends = await asyncio.gather(
        *(Process("true", launcher=shared).wait() for _ in range(20)), *(Process("true").wait() for _ in range(20))
    )
    counter.cancel()
    assert [True] * 40 == [end.ok for end in ends]
    assert 40 == len(set(at)) == len(at)
    del shared
    gc.collect()
    assert not loop_resources._all


@pidfd_only  # the other one takes some iterations, in which the next program is looked for
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_program_may_be_moved_while_its_launch_is_queued(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """PATH is searched after the wait."""
    monkeypatch.setattr(loop_resources, "_SHARED", 1)
    for folder, program in (("first", "true"), ("second", "false")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "moved").symlink_to(str(shutil.which(program)))
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}:{os.environ['PATH']}")
    spawned = 0

    def move() -> None:
        nonlocal spawned
        spawned += 1
        if spawned == 2:  # all others are still in the queue
            (tmp_path / "first" / "moved").unlink()

    watch_spawns(monkeypatch, after=move)
    async with limit(20):
        ended = await asyncio.gather(*(Process("moved") for _ in range(4)))
    assert [0, 0, 1, 1] == [status.exit_code for status in ended]


@pidfd_only  # with the other one, several are in the middle of a spawn
async def test_a_queued_launch_has_no_descriptors_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each spawn, only earlier programs have descriptors."""
    found: list[int] = []
    watch_spawns(monkeypatch, before=lambda: found.append(len(os.listdir("/proc/self/fd"))))
    processes = [Process(*SLEEPER, stdin="pipe") for _ in range(30)]
    await asyncio.gather(*(process.start() for process in processes))
    # Four for each that lives, its pidfd among them; three more in the middle of a spawn, the ends for the child; and
    # from the second one on the epoll that watches all of them, and the file that tells the last pid.
    assert found[-1] - found[0] <= 29 * 4 + 2
    assert found[0] <= found[-1] - 28 * 4
    await asyncio.gather(*(process.stop(kill=True) for process in processes))


# --- signals and leftovers


class Spy:
    """Records every signal, and sends it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[str, int, int]] = []
        self._patch = monkeypatch
        self._take(os, "kill")
        self._take(os, "killpg")
        self._take(signal, "pidfd_send_signal")

    def _take(self, module: Any, name: str) -> None:
        real = getattr(module, name)

        def spy(whom: int, number: int, *rest: Any) -> None:
            # The sweep signals other processes, and has its own tests.
            if sys._getframe(1).f_globals["__name__"] != sweep.__name__:
                self.sent.append((name, whom, number))
            real(whom, number, *rest)

        self._patch.setattr(module, name, spy)

    def numbers(self) -> set[int]:
        """The pids and groups that were signalled by their number."""
        return {whom for name, whom, _ in self.sent if name != "pidfd_send_signal"}


def take_away(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Take a feature away from the system."""
    if what == "pidfd_open":
        # asyncio keeps the pidfds of its own watcher.
        real = os.pidfd_open

        def ours_only(pid: int, flags: int = 0) -> int:
            if sys._getframe(1).f_globals["__name__"] in (launched.__name__, spawn_pidfd.__name__):
                raise OSError(errno.EPERM, "not in this container")
            return real(pid, flags)

        monkeypatch.setattr(os, "pidfd_open", ours_only)
        monkeypatch.setattr(spawn_pidfd, "_has_pidfds", lambda: False)
    elif what in ("group flag", "pidfd_send_signal"):
        send = signal.pidfd_send_signal

        def old(pidfd: int, number: int, info: None = None, flags: int = 0) -> None:
            if what == "pidfd_send_signal":
                raise OSError(errno.ENOSYS, "before 5.1")
            if flags:
                raise OSError(errno.EINVAL, "before 6.9")
            send(pidfd, number, info, flags)

        monkeypatch.setattr(signal, "pidfd_send_signal", old)


SYSTEMS = ["nothing", "group flag", "pidfd_send_signal", "pidfd_open"]

PAIR = """
import os, signal
numbers = {signal.SIGUSR1, signal.SIGUSR2}
# Waited for and not handled: a signal that comes just before pause() would find nobody awake to handle it.
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
who = "leader" if os.fork() else "other"
os.write(1, b"up\\n")
while True:
    os.write(1, f"{who} {signal.sigwait(numbers).value}\\n".encode())
"""


@pytest.mark.parametrize("lacking", SYSTEMS)
async def test_signals_reach_the_group_or_the_leader_on_every_kernel(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other number is signalled, and after the exit nothing is sent."""
    take_away(monkeypatch, lacking)
    spy = Spy(monkeypatch)
    process = Process(*child(PAIR), streaming=True)
    await process.start()
    assert process.stdout is not None
    assert ["up", "up"] == [await process.stdout.get() for _ in range(2)]
    process.signal(signal.SIGUSR1)
    assert {"leader 10", "other 10"} == {await process.stdout.get(), await process.stdout.get()}
    process.signal(signal.SIGUSR2, scope="leader")
    assert "leader 12" == await process.stdout.get()
    await process.stop()
    assert [] == [text async for text in process.stdout]
    assert spy.numbers() <= {process.pid}
    assert bool(spy.numbers()) == (lacking != "nothing")


@pytest.mark.parametrize("lacking", SYSTEMS)
async def test_nothing_is_sent_after_the_exit(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process id may belong to another process by then."""
    take_away(monkeypatch, lacking)
    real = await SystemLauncher().launch(spec("true"), capture=False)
    assert 0 == (await real.wait()).code
    spy = Spy(monkeypatch)
    for leader_only in (False, True):
        with pytest.raises(ProcessLookupError):
            real.signal(signal.SIGTERM, leader_only=leader_only)
    real.sweep()  # there is no group of this number any more
    assert set() == spy.numbers()
    real.close()
    real.close()
    with pytest.raises(ProcessLookupError):
        real.signal(signal.SIGTERM)
    assert set() == spy.numbers()


@pytest.mark.parametrize("lacking", SYSTEMS)
async def test_leftovers_of_the_leader_are_swept_on_every_kernel(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader is reaped and its group is killed. A process that has left the group is found by its marker."""
    take_away(monkeypatch, lacking)
    code = """
    import os, signal, sys
    r, w = os.pipe()
    for number in range(3):
        if os.fork() == 0:
            if number == 0:
                os.setsid()
            os.write(1, f"{os.getpid()}\\n".encode())
            os.write(w, b"x")
            signal.pause()
    for _ in range(3):
        os.read(r, 1)
    """
    status = await Process(*child(code), drain_timeout=0.2)
    assert status.stdout is not None
    pids = sorted(int(str(text)) for text in status.stdout)
    assert 3 == len(pids)
    alive = [pid for pid in pids if alive_now(pid)]
    assert [] == alive


def alive_now(pid: int) -> bool:
    """Whether a process exists and is not dying."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            state = file.read().rpartition(")")[2].split()[0]
        with open(f"/proc/{pid}/status") as file:
            pending = [int(text.split()[1], 16) for text in file if text.startswith(("SigPnd:", "ShdPnd:"))]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX" and not any(mask & 1 << signal.SIGKILL - 1 for mask in pending)


async def test_leftovers_of_short_programs_are_swept() -> None:
    """Of many programs, most are reaped before the launcher can open a pidfd for them."""
    ends = await asyncio.gather(*(Process("sh", "-c", "sleep 100 & echo $!") for _ in range(60)))
    pids = [int(str((end.stdout or ["0"])[0])) for end in ends]
    assert 60 == len(set(pids))
    assert [] == [pid for pid in pids if alive_now(pid)]


async def test_a_group_that_has_a_leader_is_not_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process id of an ended child may be reused for the leader of another group."""
    take_away(monkeypatch, "pidfd_open")
    stranger = await SystemLauncher().launch(spec(*SLEEPER), capture=False)
    real = await SystemLauncher().launch(spec("true"), capture=False)
    await real.wait()
    monkeypatch.setattr(real, "pid", stranger.pid)
    spy = Spy(monkeypatch)
    real.sweep()
    assert [] == spy.sent
    await killed(stranger)
    real.close()


@pytest.mark.parametrize("whose", ["nobody", "every process", "init", "host", "group of the host"])
@pytest.mark.parametrize("verb", ["group", "leader", "sweep"])
async def test_a_process_id_that_can_only_be_a_mistake_is_never_signalled(
    whose: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never 0, -1, init, the host or its group."""
    take_away(monkeypatch, "pidfd_open")
    real = await SystemLauncher().launch(spec(*SLEEPER), capture=False)
    numbers = {"nobody": 0, "every process": -1, "init": 1, "host": os.getpid(), "group of the host": os.getpgrp()}
    spy = Spy(monkeypatch)
    with monkeypatch.context() as wrong:
        wrong.setattr(real, "pid", numbers[whose])
        if verb == "sweep":
            real.sweep()
        else:
            with pytest.raises(ProcessLookupError, match="is no child of this host"):
                real.signal(signal.SIGURG, leader_only=verb == "leader")
    assert [] == spy.sent
    await killed(real)


async def test_a_leader_that_has_left_its_group_is_reached() -> None:
    """Signals to the group miss it, and a signal to the leader alone reaches it."""
    code = """
    import os, signal
    if os.fork() == 0:
        os.setpgid(0, 0)
        print(os.getpid())
        signal.pause()
    signal.pause()
    """
    process = Process(*child(code), streaming=True, drain_timeout=0.05)
    await process.start()
    assert process.stdout is not None
    other = int(await process.stdout.get())
    assert (os.getsid(other), os.getpgid(other)) == (process.pid, other)
    assert State.INTERRUPT is (await process.stop()).state
    # Level "basic" of containment sweeps the whole session; a group is all that this layer knows.
    with contextlib.suppress(ProcessLookupError):
        os.kill(other, signal.SIGKILL)


async def test_a_refused_signal_is_reported_and_the_ladder_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The host may not signal a program of another user. A warning names the program, and nothing is raised."""
    process = await Process(*SLEEPER, id="web").start()
    real = signal.pidfd_send_signal

    def refuse(pidfd: int, number: int, info: None = None, flags: int = 0) -> None:
        if number in (signal.SIGTERM, signal.SIGCONT):
            raise PermissionError(errno.EPERM, "not yours")
        real(pidfd, number, info, flags)

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    stopping = asyncio.ensure_future(process.stop())
    await asyncio.sleep(0)
    assert "web may not be sent SIGTERM" in caplog.text
    assert State.STOPPING is process.state
    with pytest.raises(PermissionError):
        process.signal(signal.SIGTERM)
    await process.stop(kill=True)
    assert signal.SIGKILL == (await stopping).signal


async def test_a_normal_run_causes_no_warning_of_asyncio() -> None:
    """No transport and no pipe is left to the garbage collector in debug mode."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (await Process("cat", stdin="x")).ok
        process = await Process(*SLEEPER, stdin="pipe", streaming=True).start()
        await process.stop()
    loop.set_debug(False)
