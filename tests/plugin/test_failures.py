"""What a failing test tells of its services, and how soon; in real runs of pytest."""

from __future__ import annotations

import re
import time

import pytest


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
    begin = time.monotonic()
    result = run(
        suite,
        """
        @pytest.mark.asyncio
        async def test_it(service_factory, free_port):
            service_factory("web", *SERVER, str(free_port), ready=ready.tcp(free_port))
            ask(free_port, b"die")
            await asyncio.sleep(100)
        """,
    )
    assert time.monotonic() - begin < 30
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*await asyncio.sleep(100)*",
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
    """The test is cancelled where it waits, in pytest-asyncio and in anyio's plugin."""
    text = """
        @pytest.mark.{}
        async def test_it(overseer{}):
            await overseer.add("web", "sleep", "100", critical=True, restart=Restart("never")).start()
            overseer["web"].signal(signal.SIGKILL)
            await asyncio.sleep(100)

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
    """
    for plugin, more in (("asyncio", ""), ("anyio", ", anyio_backend")):
        result = run(suite, text.format(plugin, more))
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            ["*CriticalServiceEnded*'web' is interrupted: was killed by SIGKILL*", "last exit: SIGKILL*"]
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
    """Those that it uses, and no others."""
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
        """,
    )
    result.assert_outcomes(failed=2)
    assert 1 == result.stdout.str().count("service wide")
    result.stdout.fnmatch_lines(["wide is running for *s: is ready*", "it has written nothing"])


def test_server_that_dies_before_it_is_ready_is_told_at_once(suite: pytest.Pytester) -> None:
    """With its last words, and without the inside of the plugin."""
    begin = time.monotonic()
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
    assert time.monotonic() - begin < 30
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'web' is not ready: *exited with code 1*", "*the disk is full*"])
    assert "aexit" not in result.stdout.str()


def test_server_that_hangs_is_told_in_time(suite: pytest.Pytester) -> None:
    """Its time is ``ready_timeout``; it is gone afterwards."""
    result = run(
        suite,
        """
        def test_it(service_factory, free_port):
            service_factory("web", "sleep", "100", ready=ready.tcp(free_port), ready_timeout=0.2)
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*NotReadyInTime*"])


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
    """One folder for each test, one file for each service."""
    result = run(
        suite,
        """
        @pytest.mark.parametrize("word", ["a/b", "{c}"])
        def test_it(threaded_overseer, word):
            threaded_overseer.add("echo", "echo", word).start().wait()
        """,
        "--aioverseer-logs=logs",
    )
    result.assert_outcomes(passed=2)
    found = {re.sub(r"\W+", "_", path.parent.name): path.read_text() for path in suite.path.glob("logs/*/echo.log")}
    assert {"a/b\n", "{c}\n"} == set(found.values())
    assert 2 == len(found)
