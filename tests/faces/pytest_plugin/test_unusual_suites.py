"""Suites with wrong functions, doctests, or services that ended in an unusual way; in real runs of pytest."""

from __future__ import annotations

import pytest


def test_function_that_returns_no_spec_is_refused(suite: pytest.Pytester) -> None:
    """The message says what to return."""
    suite.makepyfile(
        """
        from aioverseer.pytest_plugin import service_fixture

        @service_fixture(scope="module")
        def web():
            return ["sleep", "100"]

        def test_it(web):
            pass
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*UsageError: *web*Spec*"])


def test_function_of_a_service_gets_the_request(suite: pytest.Pytester) -> None:
    """It is an ordinary fixture of pytest."""
    suite.makepyfile(
        """
        from aioverseer import Spec
        from aioverseer.pytest_plugin import service_fixture

        @service_fixture(scope="module")
        def web(request):
            return Spec(id=request.scope, argv=("sleep", "100"))

        def test_it(web):
            assert "module" == web.id
        """
    )
    suite.runpytest_subprocess().assert_outcomes(passed=1)


def test_doctest_runs_beside_an_automatic_service(suite: pytest.Pytester) -> None:
    """A doctest is an item without a function."""
    suite.makepyfile(
        documented='''
        def one():
            """Return 1.

            >>> one()
            1
            """
            return 1
        '''
    )
    suite.makeconftest(
        """
        from aioverseer import Spec
        from aioverseer.pytest_plugin import service_fixture

        @service_fixture(scope="session", autouse=True)
        def web():
            return Spec(id="web", argv=("sleep", "100"))
        """
    )
    suite.runpytest_subprocess("--doctest-modules", "documented.py").assert_outcomes(passed=1)


def test_report_shows_services_as_they_are(suite: pytest.Pytester) -> None:
    """One was never started, and one was ended by a signal without a name."""
    suite.makepyfile(
        """
        from aioverseer import Restart

        def test_it(threaded_overseer):
            threaded_overseer.add("never", "sleep", "100")
            ended = threaded_overseer.add("ended", "sleep", "100", restart=Restart("never")).start()
            ended.signal(40)
            ended.wait()
            assert False
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*last exit: signal 40 after*"])
    text = result.stdout.str()
    never = text[text.index("service never") :]
    assert "events:" not in never.partition("service ended")[0].partition("short test summary")[0]


def test_run_without_workers_has_one_id(suite: pytest.Pytester) -> None:
    """Named ports and shared services ask for the id of the run."""
    suite.makepyfile(
        """
        import sys
        from aioverseer import Spec, ready
        from aioverseer.pytest_plugin import service_fixture
        from server import SERVER, ask

        @service_fixture(scope="session", shared=True)
        def web(free_port_factory):
            port = free_port_factory("web")
            return Spec(id="web", argv=(*SERVER, str(port)), ready=ready.tcp(port))

        def test_it(web, free_port_factory):
            assert b"A" == ask(free_port_factory("web"), b"a")
        """
    )
    suite.runpytest_subprocess().assert_outcomes(passed=1)


def test_error_of_the_keeper_is_shown(suite: pytest.Pytester) -> None:
    """The readiness function of a shared service is in a module that the keeper cannot import."""
    suite.makepyfile(
        """
        import sys, types
        from aioverseer import Spec, ready
        from aioverseer.pytest_plugin import service_fixture

        module = types.ModuleType("only_here")
        exec("async def is_up():\\n    return True", module.__dict__)
        module.is_up.__module__ = "only_here"
        sys.modules["only_here"] = module

        @service_fixture(scope="session", shared=True)
        def web():
            return Spec(id="web", argv=("sleep", "100"), ready=ready.check(module.is_up))

        def test_it(web):
            pass
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*only_here*"])
