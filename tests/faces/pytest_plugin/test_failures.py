"""How soon a test fails when a service ends, and what its report shows; in real runs of pytest."""

from __future__ import annotations

import inspect

import pytest
import pytest_asyncio

SCOPES = (
    ("function", "class", "module", "package", "session")
    if "loop_scope" in inspect.signature(pytest_asyncio.fixture).parameters
    else ("function",)
)
"""The loop scopes of the installed pytest-asyncio."""


def run(suite: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    """Run one file of tests."""
    head = """
        import asyncio, os, signal, sys, time, pytest
        from aioverseer import Restart, Spec, ready
        from aioverseer.pytest_plugin import service_fixture
        from server import SERVER, ask
    """
    suite.makepyfile(test_it=head + test)
    return suite.runpytest_subprocess(*options)


def test_async_test_fails_at_once_when_its_server_dies(suite: pytest.Pytester) -> None:
    """The test awaits something else. The report has state, last lines and events of the service."""
    result = run(
        suite,
        """
        @pytest.mark.asyncio
        async def test_it(service_factory, free_port):
            service_factory("web", *SERVER, str(free_port), ready=ready.tcp(free_port))
            ask(free_port, b"die")
            await asyncio.sleep(1000)
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*await asyncio.sleep(1000)*",
            "*CriticalServiceEnded: critical service 'web' is finished: exited with code 3*",
            "*- service web -*",
            "web is finished for *s: exited with code 3",
            "last exit: code 3 after *s",
            "last 2 lines:",
            "  stdout: listening",
            "  stdout: told to die",
            "events:",
            "* +0.000 s  starting * is being started",
            "*running * is ready*",
            "*finished * exited with code 3",
        ]
    )


def test_end_of_a_critical_service_cancels_the_test(suite: pytest.Pytester) -> None:
    """In each loop scope of pytest-asyncio and in the plugin of anyio."""
    (suite.path / "__init__.py").touch()  # one scope is that of a package
    scopes = ("", *(f'(loop_scope="{scope}")' for scope in SCOPES[1:]))
    markers = [*(f"asyncio{scope}" for scope in scopes), "anyio"]
    result = run(
        suite,
        """
        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        async def wait_for_the_end(overseer):
            await overseer.add("web", "sleep", "100", critical=True, restart=Restart("never")).start()
            overseer["web"].signal(signal.SIGKILL)
            await asyncio.sleep(1000)
        """
        + "".join(
            f"""
        class Test{number}:
            @pytest.mark.{marker}
            async def test_it(self, overseer{", anyio_backend" if marker == "anyio" else ""}):
                await wait_for_the_end(overseer)
        """
            for number, marker in enumerate(markers)
        ),
    )
    result.assert_outcomes(failed=len(markers))
    result.stdout.fnmatch_lines(
        ["*CriticalServiceEnded*'web' is interrupted: was killed by SIGKILL*", "last exit: SIGKILL*"] * len(markers)
    )


def test_overseer_needs_asyncio(suite: pytest.Pytester) -> None:
    """The error of a trio test says so; that of a plain test names other fixtures."""
    result = run(
        suite,
        """
        @pytest.fixture
        def anyio_backend():
            return "trio"

        @pytest.fixture
        def anyio_backend_name():
            return "trio"

        @pytest.mark.anyio
        async def test_trio(anyio_backend, overseer):
            pass

        def test_plain(overseer):
            pass
        """,
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "*::test_trio: the fixture overseer needs asyncio, this test runs on trio*",
            "*::test_plain: the fixture overseer is for async tests, *; for this one use threaded_overseer or *",
        ]
    )


def test_plain_test_fails_at_its_end(suite: pytest.Pytester) -> None:
    """An error of its own is shown first."""
    result = run(
        suite,
        """
        def test_error(service_factory, free_port):
            web = service_factory("web", *SERVER, str(free_port), ready=ready.tcp(free_port))
            ask(free_port, b"die")
            web.wait()
            raise KeyError("mine")

        def test_none(service_factory, free_port):
            web = service_factory("web", *SERVER, str(free_port), ready=ready.tcp(free_port))
            ask(free_port, b"die")
            web.wait()
        """,
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*KeyError: 'mine'", "*CriticalServiceEnded*", "*- service web -*", "*CriticalServiceEnded*"]
    )


def test_error_of_a_client_that_comes_before_the_end_of_its_server_names_the_server(suite: pytest.Pytester) -> None:
    """The thread of the overseer is busy when the test fails."""
    result = run(
        suite,
        """
        import os, signal, threading
        from aioverseer import Alive

        def test_it(service_factory):
            begun, over = threading.Event(), threading.Event()

            def hold_up():
                begun.set()
                over.wait(5)

            web = service_factory("web", "sh", "-c", "echo the disk is full; exec sleep 100", ready=ready.line("full"),
                                  alive=Alive(ready.check(hold_up), every=0.01))
            begun.wait(5)
            os.kill(web.pid, signal.SIGKILL)
            threading.Timer(0.3, over.set).start()
            raise ConnectionResetError("mine")
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*ConnectionResetError: mine", "*CriticalServiceEnded: *'web'*SIGKILL*", "*the disk is full*"]
    )


def test_failed_test_shows_running_services(suite: pytest.Pytester) -> None:
    """The report has all services that the test uses, even by ``getfixturevalue``, and no others."""
    result = run(
        suite,
        """
        @service_fixture(scope="session")
        def wide():
            return Spec.of("wide", ["sleep", "100"])

        def test_it(wide):
            assert False

        def test_other():
            assert False

        def test_by_name(request):
            assert not request.getfixturevalue("wide")
        """,
    )
    result.assert_outcomes(failed=3)
    assert 2 == result.stdout.str().count("service wide")
    result.stdout.fnmatch_lines(["wide is running for *s: is ready*", "it has written nothing"])


def test_server_that_dies_before_it_is_ready_fails_the_test(suite: pytest.Pytester) -> None:
    """The report has its last lines, and no traceback of the plugin."""
    result = run(
        suite,
        """
        @service_fixture(scope="session")
        def web():
            code = "import sys; sys.exit('the disk is full')"
            return Spec.of("web", [sys.executable, "-c", code], ready=ready.tcp(1))

        def test_it(web):
            pass
        """,
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'web' is not ready: *exited with code 1*", "*the disk is full*"])
    assert "aexit" not in result.stdout.str()


def test_server_that_hangs_fails_the_test_in_time(suite: pytest.Pytester) -> None:
    """The limit is ``ready_timeout``. A server that ignores SIGTERM is killed."""
    result = run(
        suite,
        """
        from aioverseer import Stop

        STUBBORN = ["sh", "-c", "trap '' TERM; echo waiting for the disk; while :; do sleep 1000; done"]

        def test_it(service_factory, free_port):
            service_factory("web", *STUBBORN, ready=ready.tcp(free_port), ready_timeout=0.5, stop=Stop(timeout=0.1))

        def test_end(service_factory):
            service_factory("web", *STUBBORN, ready=ready.line("waiting"), stop=Stop(timeout=0.1))
        """,
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*NotReadyInTime: *'web' is not ready*",
            "*- service web -*",
            "web is fatal for *s: *not ready*",
            "its one line:",
            "  stdout: waiting for the disk",
            "events:",
            "* +0.000 s  starting * is being started",
            "*fatal *",
        ]
    )


@pytest.mark.parametrize(("action", "outcome"), [("stop", {}), ("warn", {"warnings": 1}), ("fail", {"errors": 1})])
def test_service_left_running_is_stopped_and_reported(
    suite: pytest.Pytester, action: str, outcome: dict[str, int]
) -> None:
    """The option decides about the report. Services started by the plugin do not count."""
    result = run(
        suite,
        """
        @pytest.mark.filterwarnings("default")
        def test_it(threaded_overseer, service_factory):
            threaded_overseer.add("forgotten", "sleep", "100").start()
            service_factory("own", "sleep", "100")
        """,
        "-o",
        f"aioverseer_left_running={action}",
    )
    result.assert_outcomes(passed=1, **outcome)
    assert (action != "stop") == ("has left running: forgotten" in result.stdout.str())


def test_unknown_value_of_the_option_is_refused(suite: pytest.Pytester) -> None:
    """No test runs."""
    result = run(suite, "", "-o", "aioverseer_left_running=shout")
    result.stderr.fnmatch_lines(["*aioverseer_left_running='shout' is unknown: use stop, warn, fail*"])


def test_logs_have_a_folder_for_each_test(suite: pytest.Pytester) -> None:
    """Names of tests may be long and have any characters; a test may change its folder."""
    result = run(
        suite,
        """
        @pytest.mark.parametrize("word", ["a/b", "a_b", "{c}", "x" * 300 + "1", "x" * 300 + "2", "\u00e4" * 150])
        def test_it(request, word, tmp_path, monkeypatch):
            monkeypatch.chdir(tmp_path)
            overseer = request.getfixturevalue("threaded_overseer")
            overseer.add("echo", "echo", word).start().wait()
        """,
        "--aioverseer-logs=logs",
    )
    result.assert_outcomes(passed=6)
    words = ["a/b", "a_b", "{c}", "x" * 300 + "1", "x" * 300 + "2", "\u00e4" * 150]
    assert sorted(f"{word}\n" for word in words) == sorted(
        path.read_text(encoding="utf-8") for path in suite.path.glob("logs/*/echo.log")
    )
    assert (suite.path / "logs" / "test_it.py_test_it_c_").is_dir()


def test_workers_have_log_folders_of_their_own(suite: pytest.Pytester) -> None:
    """The folder has the name of the worker."""
    result = run(
        suite,
        """
        @service_fixture(scope="session")
        def wide():
            return Spec.of("wide", ["sh", "-c", "echo $PYTEST_XDIST_WORKER; exec sleep 100"], ready=ready.line("gw"))

        @pytest.mark.parametrize("number", range(4))
        def test_it(wide, number):
            pass
        """,
        "--aioverseer-logs=logs",
        "-n",
        "2",
    )
    result.assert_outcomes(passed=4)
    found = {path.parent.name: path.read_text() for path in suite.path.glob("logs/*/wide.log")}
    assert {"session-gw0": "gw0\n", "session-gw1": "gw1\n"} == found


FAILED_STARTS = """
    BAD = [sys.executable, "-S", "-c", "print('the disk is full'); raise SystemExit(3)"]
    OPTIONS = {"ready": ready.line("up"), "restart": Restart("never")}
"""
"""The head of tests whose service ends before it is ready."""


@pytest.mark.parametrize(
    "test",
    [
        """
        def test_it(service_factory):
            service_factory("web", *BAD, **OPTIONS)  # here
        """,
        """
        def test_it(threaded_overseer):
            threaded_overseer.add("web", *BAD, **OPTIONS).start()  # here
        """,
        """
        @pytest.fixture
        def web(threaded_overseer):
            return threaded_overseer.add("web", *BAD, **OPTIONS).start()  # here

        def test_it(web):
            pass
        """,
        """
        @pytest.mark.asyncio
        async def test_it(overseer):
            await overseer.add("web", *BAD, **OPTIONS).start()  # here
        """,
        """
        import pytest_asyncio

        @pytest_asyncio.fixture
        async def web(overseer):
            overseer.add("web", *BAD, **OPTIONS)
            await overseer.start_all()  # here
            yield

        @pytest.mark.asyncio
        async def test_it(web):
            pass
        """,
        """
        @pytest.mark.asyncio
        async def test_it():
            from aioverseer import Overseer
            async with Overseer() as overseer:
                await overseer.add("web", *BAD, **OPTIONS).start()  # here
        """,
    ],
    ids=["factory", "threaded", "fixture", "async", "async fixture", "own overseer"],
)
def test_failed_start_shows_the_line_that_has_called_the_library(suite: pytest.Pytester, test: str) -> None:
    """Neither frames of the library nor errors that say the same again."""
    result = run(suite, inspect.cleandoc(FAILED_STARTS).replace("\n", "\n        ").join(["\n        ", "\n"]) + test)
    text = result.stdout.str()
    assert 1 == text.count(">  ")
    result.stdout.fnmatch_lines([">*# here", "E*the disk is full*"])
    for inner in ("aioverseer/", "_engine", "asyncio/", "The above exception", "During handling", "hidden"):
        assert inner not in text.partition("short test summary")[0].partition("Captured")[0].partition("= FAILURES")[2]
    report = [line for line in text.splitlines() if line.startswith(("E  ", ">  "))]
    assert len(report) <= 6


def test_error_of_a_task_keeps_its_own_traceback(suite: pytest.Pytester) -> None:
    """The cause is code of the user."""
    result = run(
        suite,
        """
        async def broken():
            raise KeyError("no such table")  # there

        @pytest.mark.asyncio
        async def test_it(overseer):
            never = ready.check(asyncio.Event().wait)
            await overseer.add_task("web", broken, ready=never, restart=Restart("never")).start()
        """,
    )
    result.stdout.fnmatch_lines(["*# there*", "E*KeyError: 'no such table'"])


def test_tests_after_the_end_of_a_session_server_fail_in_their_set_up(suite: pytest.Pytester) -> None:
    """Their bodies do not run, and neither do fixtures that use the server. The report says who ended, and when."""
    result = run(
        suite,
        """
        @service_fixture(scope="session")
        def web(free_port_factory):
            port = free_port_factory("web")
            return Spec.of("web", [*SERVER, str(port)], ready=ready.tcp(port))

        @pytest.fixture
        def client(web, free_port_factory):
            print("CONNECTS")
            return free_port_factory("web")

        def test_first(web, free_port_factory):
            ask(free_port_factory("web"), b"die")
            web.wait()

        def test_second(client):
            print("RUNS")

        @pytest.mark.asyncio
        async def test_third(web):
            print("RUNS")

        def test_other():
            pass
        """,
    )
    result.assert_outcomes(failed=1, errors=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_second*",
            "fixture 'web' is dead: at *:*:*, * s before this test, critical service 'web' is finished: *code 3*",
            "last lines:",
            "  told to die",
            "*- service web -*",
            "*ERROR at setup of test_third*",
        ]
    )
    assert "RUNS" not in result.stdout.str()
    assert "CONNECTS" not in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


def test_session_server_is_started_again_on_request(suite: pytest.Pytester) -> None:
    """With the fixtures that use it."""
    result = run(
        suite,
        """
        @service_fixture(scope="session", when_dead="restart")
        def web(free_port_factory):
            port = free_port_factory("web")
            return Spec.of("web", [*SERVER, str(port)], ready=ready.tcp(port))

        @pytest.fixture(scope="session")
        def pid(web):
            return web.pid

        def test_first(web, pid, free_port_factory):
            assert web.pid == pid
            ask(free_port_factory("web"), b"die")
            web.wait()

        @pytest.mark.parametrize("time", [1, 2])
        def test_second(web, pid, free_port_factory, time):
            assert web.pid == pid
            assert ask(free_port_factory("web"), b"hello") == b"HELLO"
        """,
    )
    result.assert_outcomes(failed=1, passed=2)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ('when_dead="retry"', "*when_dead='retry' is unknown*"),
        ('shared=True, when_dead="restart"', "*restart=Restart(*"),
    ],
)
def test_unknown_treatment_of_dead_servers_is_refused(suite: pytest.Pytester, options: str, hint: str) -> None:
    """When the fixture is made."""
    result = run(suite, f"\n        web = service_fixture({options})(lambda: None)\n")
    result.stdout.fnmatch_lines([hint])
