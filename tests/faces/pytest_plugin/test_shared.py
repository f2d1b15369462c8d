"""One server for all workers of pytest-xdist, in real runs of pytest."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from aioverseer.pytest_plugin.folders import ServiceFolder

TESTS = """
    import os, signal, time, pytest
    from aioverseer import Spec, ready
    from aioverseer.pytest_plugin import service_fixture
    from server import SERVER, ask

    @pytest.fixture(scope="session")
    def port(free_port_factory):
        return free_port_factory("web")

    @service_fixture(scope="session", shared=True)
    def web(port):
        return Spec.of("web", [*SERVER, str(port)], ready=ready.tcp(port))
"""


@contextmanager
def pidfds(*pids: int) -> Generator[list[int]]:
    """Yield descriptors of processes, each readable once its process has ended."""
    with ExitStack() as stack:
        held: list[int] = []
        for pid in pids:
            held.append(os.pidfd_open(pid))
            stack.callback(os.close, held[-1])
        yield held


def ended(pidfds: Iterable[int]) -> bool:
    """Wait for the end of all, ten seconds for each."""
    return all(select.select([pidfd], [], [], 10)[0] for pidfd in pidfds)


def parent_of(pid: int) -> int:
    """Return the id of the parent process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_workers_share_a_server_and_the_last_one_stops_it(suite: pytest.Pytester) -> None:
    """Each worker sends a request. Checks of this suite find leftovers."""
    suite.makepyfile(
        TESTS
        + """
    @pytest.mark.parametrize("number", range(12))
    def test_it(web, port, number):
        assert ask(port, b"hello") == b"HELLO"
        with open("pids", "a") as file:
            file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {web.pid}\\n")
"""
    )
    suite.runpytest_subprocess("-n", "4").assert_outcomes(passed=12)
    lines = [line.split() for line in (suite.path / "pids").read_text().splitlines()]
    assert (12, 1) == (len(lines), len({pid for _, pid in lines}))
    assert len({worker for worker, _ in lines}) > 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(lines[0][1]), 0)


def test_server_that_dies_fails_the_tests_of_all_workers(suite: pytest.Pytester) -> None:
    """They fail at once, with the last lines of the server."""
    suite.makepyfile(
        TESTS
        + """
    @pytest.mark.parametrize("number", range(2))
    @pytest.mark.asyncio
    async def test_it(web, port, number):
        import asyncio
        try:
            ask(port, b"die")
        except OSError:
            pass
        await asyncio.sleep(1000)
"""
    )
    result = suite.runpytest_subprocess("-n", "2")
    outcome = result.parseoutcomes()
    assert 2 == outcome.get("failed", 0) + outcome.get("errors", 0)
    result.stdout.fnmatch_lines(["*'web' is finished: exited with code 3*", "*told to die*"])


def test_shared_server_that_is_not_ready_fails_the_test(suite: pytest.Pytester) -> None:
    """It works without workers, too."""
    suite.makepyfile(
        """
        from aioverseer import Spec, ready
        from aioverseer.pytest_plugin import service_fixture

        @service_fixture(scope="session", shared=True)
        def web():
            return Spec.of("web", ["sh", "-c", "echo the disk is full; exit 1"], ready=ready.tcp(1))

        def test_it(web):
            pass
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'web' is not ready*", "*the disk is full*"])


def test_killed_run_leaves_nothing(suite: pytest.Pytester) -> None:
    """Controller and workers are killed by SIGKILL. The keeper sees the end of their connections."""
    suite.makepyfile(
        TESTS
        + """
    @pytest.mark.parametrize("number", range(2))
    def test_it(web, number):
        with open("pids", "a") as file:
            file.write(f"{web.pid} ")
        time.sleep(1000)
"""
    )
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider"],
        cwd=suite.path,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    pids = suite.path / "pids"
    while not pids.exists() or len(pids.read_text().split()) < 2:
        assert run.poll() is None
    server = int(pids.read_text().split()[0])
    with pidfds(server, parent_of(server)) as held:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        assert ended(held)


def test_killed_keeper_fails_the_tests_at_once(suite: pytest.Pytester) -> None:
    """The report is the last one that the keeper has sent. The server ends as well."""
    suite.makepyfile(
        TESTS
        + """
    @pytest.mark.parametrize("number", range(2))
    @pytest.mark.asyncio
    async def test_it(web, number, tmp_path_factory):
        import asyncio, pathlib
        together = tmp_path_factory.getbasetemp().parent
        (together / str(number)).touch()
        while number == 1 and not (together / "0").exists() or number == 0 and not (together / "1").exists():
            await asyncio.sleep(0)
        if number == 0:
            pathlib.Path("pid").write_text(str(web.pid))
            keeper = int(pathlib.Path(f"/proc/{web.pid}/stat").read_text().rpartition(")")[2].split()[1])
            os.kill(keeper, signal.SIGKILL)
        await asyncio.sleep(1000)

    def test_later(web, port):
        assert ask(port, b"hello") == b"HELLO"
"""
    )
    result = suite.runpytest_subprocess("-n", "2")
    assert result.parseoutcomes()["failed"] >= 2
    result.stdout.fnmatch_lines(
        [
            "*CriticalServiceEnded: shared service 'web' is lost: process * has gone before them; was it killed? *",
            "*- service web -*",
            "web is running for *s: is ready*",
            "events:",
            "* +0.000 s  starting * is being started",
            "*running * is ready*",
            "shared by the workers of this run, kept by process *, which has gone: this is its last report",
        ]
    )
    with suppress(ProcessLookupError), pidfds(int((suite.path / "pid").read_text())) as held:
        assert ended(held)


def test_killed_worker_does_not_disturb_the_others(suite: pytest.Pytester) -> None:
    """The other worker keeps the server, and nothing is left at the end."""
    suite.makepyfile(
        TESTS
        + """
    def wait_for(name):
        while not os.path.exists(name):
            time.sleep(0.01)

    @pytest.mark.parametrize("number", range(6))
    def test_it(web, port, number):
        with open("pids", "a") as file:
            file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {web.pid}\\n")
        if number == 0:
            wait_for("other")
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        open("other", "w").close()
        wait_for("killed")
        assert ask(port, b"hello") == b"HELLO"
"""
    )
    suite.runpytest_subprocess("-n", "2").assert_outcomes(passed=5, failed=1)
    lines = [line.split() for line in (suite.path / "pids").read_text().splitlines()]
    assert 1 == len({pid for worker, pid in lines if worker in {"gw0", "gw1"}})
    for pid in {pid for _, pid in lines}:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_shared_server_has_reports_logs_and_options_of_any_other(suite: pytest.Pytester) -> None:
    """With and without workers."""
    suite.makepyfile(
        """
        from aioverseer import ready
        from aioverseer import Spec
        from aioverseer.pytest_plugin import service_fixture

        @service_fixture(scope="session", shared=True, containment="basic", name="web")
        def server():
            script = "echo first; echo second >&2; test -z $AIOVERSEER_GUARD || echo guarded; exec sleep 1000"
            return Spec.of("web", ["sh", "-c", script], ready=ready.line("second", stream="stderr"))

        def test_it(web):
            assert web.spec.id == "web"
            raise SystemError("mine")
        """
    )
    for options in ((), ("-n", "1")):
        result = suite.runpytest_subprocess("--aioverseer-logs=logs", *options)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            [
                "*SystemError: mine*",
                "*- service web -*",
                "web is running for *s: is ready*",
                "last 2 lines:",
                "  std*: *",
                "  std*: *",
                "events:",
                "* +0.000 s  starting * is being started",
                "*running * is ready*",
                "shared by the workers of this run, kept by process *",
            ]
        )
        result.stdout.no_fnmatch_line("*its last report*")
    log = (suite.path / "logs" / "shared" / "web.log").read_text().splitlines()
    assert ["first", "first", "second", "second"] == sorted(log)


def test_service_that_cannot_be_sent_to_the_keeper_is_refused(suite: pytest.Pytester) -> None:
    """The error comes before a process is started. Functions at the top of a module can be sent."""
    suite.makeconftest(
        """
        from aioverseer import Spec, ready
        from aioverseer.pytest_plugin import service_fixture

        async def is_there():
            pass

        @service_fixture(scope="session", shared=True)
        def fine():
            return Spec.of("fine", ["sleep", "100"], ready=ready.check(is_there))

        @service_fixture(shared=True)
        def closure():
            async def inner():
                pass
            return Spec.of("closure", ["sleep", "100"], ready=ready.check(inner))

        @service_fixture(shared=True, containment="everything")
        def wrong():
            return Spec.of("wrong", ["sleep", "100"])
        """
    )
    suite.makepyfile(
        """
        def test_fine(fine):
            assert fine.pid

        def test_closure(closure):
            pass

        def test_wrong(wrong):
            pass
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(
        ["*service 'closure' cannot be shared, as another process is to run it: *", "*containment='everything'*"]
    )


def test_modules_in_the_working_folder_do_not_reach_the_keeper(tmp_path: Path) -> None:
    """The command pytest does not put that folder on the import path, and neither may the keeper."""
    (tmp_path / "random.py").write_text("raise RuntimeError('a module of the user')")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        "from aioverseer import Spec, ready\n"
        "from aioverseer.pytest_plugin import service_fixture\n\n"
        "@service_fixture(scope='session', shared=True)\n"
        "def job(): return Spec.of('job', ['sh', '-c', 'echo up; exec sleep 100'], ready=ready.line('up'))\n\n"
        "def test_it(job): assert job.pid\n"
    )
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


FOLDER = """
    import os, subprocess, sys, time, pytest
    from pathlib import Path
    from aioverseer import Spec, ready
    from aioverseer.pytest_plugin import service_fixture
    from server import SERVER, ask

    def fill(folder):
        with open("calls", "a") as file:
            file.write(f"{folder}\\n")
        (folder / "data").write_text("filled")

    @pytest.fixture(scope="session")
    def port(free_port_factory):
        return free_port_factory("web")

    def wait_for(name):
        while not os.path.exists(name):
            time.sleep(0.01)
"""
"""The beginning of a suite whose server has a folder."""


def prepared_folders(suite: pytest.Pytester) -> list[Path]:
    """Return the folder of each call of ``fill``."""
    return [Path(line) for line in (suite.path / "calls").read_text().splitlines()]


def test_folder_of_a_shared_server_outlives_the_worker_that_came_first(suite: pytest.Pytester) -> None:
    """It is filled once, all workers get its path, and the last one to leave finds it removed."""
    suite.makepyfile(
        FOLDER
        + """
    @pytest.fixture
    def turn(request):
        number = request.node.callspec.params["number"]
        if number == 1:
            wait_for("up")
        yield
        open(f"left{number}", "w").close()

    @service_fixture(shared=True, prepare=fill)
    def web(turn, port, service_folder):
        assert isinstance(service_folder, Path)
        return Spec.of("web", [*SERVER, str(port)], cwd=service_folder, ready=ready.tcp(port))

    @pytest.mark.parametrize("number", range(2))
    def test_it(web, port, number):
        data = Path(web.spec.cwd, "data")
        assert data.read_text() == "filled"
        if number == 0:
            open("up", "w").close()
            wait_for("both")
        else:
            open("both", "w").close()
            wait_for("left0")
            assert data.read_text() == "filled"
            assert ask(port, b"hello") == b"HELLO"
            assert os.path.samefile(f"/proc/{web.pid}/cwd", data.parent)
"""
    )
    suite.runpytest_subprocess("-n", "2").assert_outcomes(passed=2)
    (folder,) = prepared_folders(suite)
    assert not folder.exists()


@pytest.mark.parametrize("shared", [False, True])
def test_each_scope_has_a_fresh_folder(suite: pytest.Pytester, shared: bool) -> None:
    """The same without workers, and without sharing. It is private."""
    suite.makepyfile(
        FOLDER
        + f"""
    @service_fixture(shared={shared}, prepare=fill)
    def web(port, service_folder, request):
        assert not service_folder.exists()
        return Spec.of("web", [*SERVER, str(port)], cwd=service_folder, ready=ready.tcp(port))

    @pytest.mark.parametrize("number", range(2))
    def test_it(web, port, number):
        folder = Path(web.spec.cwd)
        assert ["data"] == os.listdir(folder)
        (folder / "more").touch()
        assert ask(port, b"hello") == b"HELLO"
        assert 0o700 == os.stat(folder).st_mode & 0o777
"""
    )
    suite.runpytest_subprocess().assert_outcomes(passed=2)
    folders = prepared_folders(suite)
    assert 2 == len(folders)
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize("shared", [False, True])
def test_preparation_that_fails_fails_the_test_with_its_message(suite: pytest.Pytester, shared: bool) -> None:
    """Its kind and message are shown, and the output of a command. The service is not started."""
    suite.makepyfile(
        FOLDER
        + f"""
    def full(folder):
        fill(folder)
        raise LookupError("the disk is full")

    def command(folder):
        fill(folder)
        subprocess.run(["sh", "-c", "echo no such locale >&2; exit 7"], check=True, capture_output=True)

    def leave(folder):
        fill(folder)
        pytest.fail("that was it")

    def spec(id):
        return Spec.of(id, ["sh", "-c", "touch started; exec sleep 100"])

    @service_fixture(shared={shared}, prepare=full)
    def one(service_folder):
        return spec("one")

    @service_fixture(shared={shared}, prepare=command)
    def two(service_folder):
        return spec("two")

    @service_fixture(shared={shared}, prepare=leave)
    def three(service_folder):
        return spec("three")

    def test_one(one):
        pass

    def test_two(two):
        pass

    def test_three(three):
        pass
"""
    )
    result = suite.runpytest_subprocess()
    result.stdout.fnmatch_lines(
        ["*LookupError: the disk is full*", "*returned non-zero exit status 7.*", "*no such locale*", "*that was it*"]
    )
    if shared:
        result.stdout.fnmatch_lines(["*the folder of 'one' could not be prepared: *test_*.py:*"])
    assert 3 == sum(result.parseoutcomes().get(word, 0) for word in ("error", "errors", "failed"))
    folders = prepared_folders(suite)
    assert 3 == len(folders)
    assert not any(folder.exists() for folder in folders)
    assert not (suite.path / "started").exists()


def test_wrong_preparations_are_refused(suite: pytest.Pytester) -> None:
    """The errors say what to write."""
    suite.makepyfile(
        FOLDER
        + """
    async def later(folder):
        pass

    def test_coroutine():
        with pytest.raises(pytest.UsageError, match="prepare=.*later.* is no plain function: pass one that takes"):
            service_fixture(prepare=later)

    def test_path():
        with pytest.raises(pytest.UsageError, match="prepare='/data' is no plain function"):
            service_fixture(prepare="/data")

    def test_no_argument():
        with pytest.raises(pytest.UsageError, match="'web' does not use the folder .*: give it the argument `service_"):
            @service_fixture(prepare=fill)
            def web():
                pass

    @service_fixture(shared=True, prepare=lambda folder: None)
    def closure(service_folder):
        return Spec.of("closure", ["sleep", "100"])

    def test_closure(closure):
        pass
"""
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*service 'closure' cannot be shared, as another process is to run it: *lambda*"])


def test_two_servers_of_one_function_do_not_share_a_folder(suite: pytest.Pytester) -> None:
    """The second one fails, and the first one keeps its folder."""
    suite.makepyfile(
        FOLDER
        + """
    def one(service_folder, request):
        return Spec.of(request.fixturename, ["sleep", "100"], cwd=service_folder)

    first = service_fixture(shared=True, prepare=fill, name="first")(one)
    second = service_fixture(shared=True, prepare=fill, name="second")(one)

    def test_it(first, request):
        with pytest.raises(BaseException, match="is used by another service: two shared services"):
            request.getfixturevalue("second")
        assert ["data"] == os.listdir(first.spec.cwd)
"""
    )
    result = suite.runpytest_subprocess()
    assert 1 == result.parseoutcomes()["passed"]
    (folder,) = prepared_folders(suite)
    assert not folder.exists()


def test_folder_of_a_killed_keeper_is_removed(suite: pytest.Pytester) -> None:
    """The next keeper fills a fresh one at the same place, and nothing is left at the end."""
    suite.makepyfile(
        FOLDER
        + """
    import asyncio, signal

    @service_fixture(shared=True, prepare=fill)
    def web(service_folder):
        return Spec.of("web", ["sleep", "100"], cwd=service_folder)

    @pytest.mark.parametrize("number", range(2))
    @pytest.mark.asyncio
    async def test_it(web, number):
        assert ["data"] == os.listdir(web.spec.cwd)
        Path(web.spec.cwd, "more").touch()
        if number == 0:
            keeper = int(Path(f"/proc/{web.pid}/stat").read_text().rpartition(")")[2].split()[1])
            os.kill(keeper, signal.SIGKILL)
            await asyncio.sleep(1000)
"""
    )
    result = suite.runpytest_subprocess()
    assert (1, 1) == tuple(result.parseoutcomes().get(word, 0) for word in ("passed", "failed"))
    first, second = prepared_folders(suite)
    assert first == second
    assert not first.exists()


def test_folder_without_prepare_is_empty(tmp_path: Path) -> None:
    """It is removed at the end."""
    folder = ServiceFolder(path=tmp_path / "folder")
    with folder.made():
        folder.fill()
        assert [] == list(folder.path.iterdir())
    assert not folder.path.exists()
