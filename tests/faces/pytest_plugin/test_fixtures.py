"""The fixtures, in real runs of pytest."""

from __future__ import annotations

import inspect

import pytest
import pytest_asyncio


def test_overseer_is_on_the_loop_of_the_test_in_each_loop_scope(suite: pytest.Pytester) -> None:
    """Fixtures of the suite may use the overseer, too."""
    (suite.path / "__init__.py").touch()  # one scope is that of a package
    scoped = "loop_scope" in inspect.signature(pytest_asyncio.fixture).parameters
    scopes = ("function", "class", "module", "package", "session") if scoped else ("function",)
    suite.makepyfile(
        """
        import asyncio, pytest, pytest_asyncio
        from aioverseer import Overseer

        @pytest.fixture
        def ended():
            seen = []
            yield seen
            assert [str(service.state) for service in seen] == ["interrupted"]
        """
        + "".join(
            f"""
        @pytest_asyncio.fixture{f'(loop_scope="{scope}")' if scoped else ""}
        async def sleeper_{scope}(overseer: Overseer):
            return await overseer.add("sleeper", "sleep", "100").start()

        class Test_{scope}:
            @pytest.mark.asyncio{f'(loop_scope="{scope}")' if scoped else ""}
            async def test_it(self, ended, overseer: Overseer, sleeper_{scope}):
                ended.append(sleeper_{scope})
                assert (await overseer.add("true", "true").wait_for(lambda status: True)).ok is False
                assert overseer["sleeper"] is sleeper_{scope}
                assert (await overseer.supervise("true")).ok
        """
            for scope in scopes
        )
    )
    suite.runpytest_subprocess().assert_outcomes(passed=len(scopes))


def test_overseer_in_auto_mode_and_on_anyio(suite: pytest.Pytester) -> None:
    """pytest-asyncio in auto mode and the plugin of anyio both run the fixture."""
    suite.makepyfile(
        test_auto="""
        async def test_it(overseer):
            assert (await overseer.add("true", "true").start()).pid
        """,
    )
    suite.runpytest_subprocess("--asyncio-mode=auto").assert_outcomes(passed=1)
    suite.makepyfile(
        test_auto="""
        import pytest
        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def sleeper(overseer):
            return await overseer.add("sleeper", "sleep", "100").start()

        @pytest.mark.anyio
        async def test_it(overseer, sleeper):
            assert overseer["sleeper"].pid
        """,
    )
    suite.runpytest_subprocess().assert_outcomes(passed=1)
    suite.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=1)


def test_plain_tests_use_threads(suite: pytest.Pytester) -> None:
    """No async plugin is needed; the fixture ``overseer`` names the fixtures to use instead."""
    suite.makepyfile(
        """
        from aioverseer import ready
        from server import SERVER, ask

        def test_factory(service_factory, free_port):
            web = service_factory("web", *SERVER, str(free_port), ready=ready.tcp(free_port))
            assert ask(free_port, b"hello") == b"HELLO"
            assert [line.text for line in web.tail()] == ["listening"]

        def test_threaded(threaded_overseer):
            assert threaded_overseer.add("true", "true").start().wait().ok

        def test_wrong(overseer):
            pass
        """
    )
    result = suite.runpytest_subprocess("-p", "no:asyncio", "-p", "no:anyio")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*for this one use threaded_overseer or service_factory*"])


def test_servers_of_wide_scopes_live_between_the_tests(suite: pytest.Pytester) -> None:
    """Plain and async tests share one server."""
    suite.makepyfile(
        """
        import pytest
        from aioverseer import Spec, ready
        from aioverseer.pytest_plugin import overseer_fixture, service_fixture
        from server import SERVER, ask

        @pytest.fixture(scope="session")
        def port(free_port_factory):
            return free_port_factory("web")

        @service_fixture(scope="session")
        def web(port):
            return Spec.of("web", [*SERVER, str(port)], ready=ready.tcp(port))

        jobs = overseer_fixture(scope="module")
        pids = set()

        def test_plain(web, port, jobs):
            pids.add(web.pid)
            assert ask(port, b"one") == b"ONE"
            jobs.add("sleep", "sleep", "100").start()

        async def test_async(web, port, jobs):
            pids.add(web.pid)
            assert ask(port, b"two") == b"TWO"
            assert jobs["sleep"].state.is_live

        def test_same(web):
            assert pids == {web.pid}
        """
    )
    suite.runpytest_subprocess("--asyncio-mode=auto").assert_outcomes(passed=3)


def test_marked_tests_have_their_services(suite: pytest.Pytester) -> None:
    """Services of the class start before those of the test."""
    suite.makepyfile(
        """
        import pytest, sys
        from aioverseer import ready

        pytestmark = pytest.mark.service("first", "sleep", "100")

        @pytest.mark.service("second", sys.executable, "-u", "-c", "print('up'); input()",
                             stdin="pipe", ready=ready.line("up"))
        def test_both(services):
            assert list(services) == ["first", "second"]
            assert services["first"].state.is_live

        @pytest.mark.service("third", "/there/is/no/such")
        def test_not_there():
            pass
        """
    )
    result = suite.runpytest_subprocess("-p", "no:asyncio")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*there is no file*", "*service third*"])
