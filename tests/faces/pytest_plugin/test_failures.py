"""What a failing test tells of its services, and how soon; in real runs of pytest."""

from __future__ import annotations

import inspect

import pytest
import pytest_asyncio

SCOPES = (
    ("function", "class", "module", "package", "session")
    if "loop_scope" in inspect.signature(pytest_asyncio.fixture).parameters
    else ("function",)
)
"""The loop scopes that the pytest-asyncio at hand has."""


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
    """Although it awaits something else; the report has the state, the last words and the events of the service."""
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


def test_overseer_of_the_test_fails_it_for_its_critical_services(suite: pytest.Pytester) -> None:
    """The test is cancelled where it waits, in each loop scope of pytest-asyncio and in anyio's plugin."""
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
    """A test on trio is told so, a plain one what to use instead."""
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


def test_plain_test_is_told_at_its_end(suite: pytest.Pytester) -> None:
    """An error of its own is shown as the cause, or on the way."""
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


def test_failing_test_shows_services_that_are_well(suite: pytest.Pytester) -> None:
    """Those that it uses, also when it asks for them by name only, and no others."""
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


def test_server_that_dies_before_it_is_ready_is_told_at_once(suite: pytest.Pytester) -> None:
    """With its last words, and without the inside of the plugin."""
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


def test_server_that_hangs_is_told_in_time(suite: pytest.Pytester) -> None:
    """Its time is ``ready_timeout``; it is gone afterwards, although it does not want to end, as one that was ready."""
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
            "last 1 lines:",
            "  stdout: waiting for the disk",
            "events:",
            "* +0.000 s  starting * is being started",
            "*fatal *",
        ]
    )


@pytest.mark.parametrize(("what", "outcome"), [("stop", {}), ("warn", {"warnings": 1}), ("fail", {"errors": 1})])
def test_what_a_test_leaves_running_is_stopped_and_told(
    suite: pytest.Pytester, what: str, outcome: dict[str, int]
) -> None:
    """As the option says; what the plugin has started is nobody's to stop."""
    result = run(
        suite,
        """
        @pytest.mark.filterwarnings("default")
        def test_it(threaded_overseer, service_factory):
            threaded_overseer.add("forgotten", "sleep", "100").start()
            service_factory("own", "sleep", "100")
        """,
        "-o",
        f"aioverseer_left_running={what}",
    )
    result.assert_outcomes(passed=1, **outcome)
    assert (what != "stop") == ("has left running: forgotten" in result.stdout.str())


def test_unknown_value_of_the_option_is_refused(suite: pytest.Pytester) -> None:
    """Before anything runs."""
    result = run(suite, "", "-o", "aioverseer_left_running=shout")
    result.stderr.fnmatch_lines(["*aioverseer_left_running='shout' is unknown: use stop, warn, fail*"])


def test_whole_logs_are_kept_in_a_folder(suite: pytest.Pytester) -> None:
    """One folder for each test, however long its name is and wherever it is, and one file for each service."""
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


def test_workers_do_not_write_into_the_same_logs(suite: pytest.Pytester) -> None:
    """What each has for itself is in a folder of its own, with its name."""
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
