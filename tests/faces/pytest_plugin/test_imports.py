"""Modules that the plugin imports. pytest loads it in every environment that has the library."""

from __future__ import annotations

import subprocess
import sys

import pytest

OWN = {"", ".async_plugins", ".deferred", ".usage", ".xdist", ".user_fixtures"}
"""The modules that make options, hooks and fixtures."""


def test_run_without_services_loads_no_module_for_them(suite: pytest.Pytester) -> None:
    """Fixtures that no test uses are defined, too."""
    bare = subprocess.run(
        [sys.executable, "-c", "import sys, aioverseer; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    suite.makeconftest(
        """
        from aioverseer.pytest_plugin import overseer_fixture, service_fixture

        jobs = overseer_fixture(scope="module")

        @service_fixture(scope="session")
        def web():
            return 1 / 0
        """
    )
    suite.makepyfile(
        """
        import sys

        def test_it():
            print("modules", *sys.modules)

        class TestMore:
            async def test_that_is_async(self):
                pass
        """
    )
    result = suite.runpytest_subprocess("-s", "--asyncio-mode=auto")
    result.assert_outcomes(passed=2)
    (line,) = (line for line in result.outlines if "modules" in line)
    found = {name for name in line.split() if name.partition(".")[0] == "aioverseer"}
    assert {f"aioverseer.pytest_plugin{name}" for name in OWN} == found - set(bare.stdout.split())
