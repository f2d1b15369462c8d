"""The plugin's tests with other versions of pytest-asyncio.

Each run on the oldest Python tries the oldest version, if it can be installed, with the tests of the fixtures, which
depend on it most. The newest version is that of this environment. All versions in full take some minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OLDEST = "0.23.8"
LONG = pytest.mark.skipif(not os.environ.get("AIOVERSEER_LONG"), reason="takes minutes: set AIOVERSEER_LONG=1")


def install(version: str, folder: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Make an environment with this pytest-asyncio; return its Python and the result of the installation."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    words: list[str | Path] = ["-m", "pip", "--python", python, "install", "-q", "--disable-pip-version-check"]
    packages: list[str | Path] = ["-e", HERE.parents[2], f"pytest-asyncio=={version}", "pytest-xdist"]
    return python, subprocess.run([sys.executable, *words, *packages], capture_output=True, text=True, check=False)


def check(python: Path, *tests: str) -> None:
    """Run tests without the configuration of this suite, as an old version does not know all of its options."""
    options: list[str | Path] = ["-q", "-p", "pytester", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", HERE]
    ran = subprocess.run(
        [python, "-m", "pytest", *options, *(HERE / test for test in tests)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == ran.returncode, ran.stdout
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the oldest pytest-asyncio is tried on the oldest Python")
@pytest.mark.timeout(300)
def test_fixtures_with_the_oldest_pytest_asyncio(tmp_path: Path) -> None:
    """The environment is made for the test."""
    python, installed = install(OLDEST, tmp_path / "venv")
    if installed.returncode:
        pytest.skip(f"pytest-asyncio {OLDEST} cannot be installed: {installed.stderr.strip()[-300:]}")
    check(python, "test_fixtures.py", "test_imports.py")


@LONG
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("version", [OLDEST, "0.26.0", "1.0.0", "1.3.0", "1.5.0"])
def test_plugin_with_versions_of_pytest_asyncio(version: str, tmp_path: Path) -> None:
    """The environment is made for the test."""
    python, installed = install(version, tmp_path / "venv")
    assert 0 == installed.returncode, installed.stderr
    check(python, "test_fixtures.py", "test_failures.py", "test_ends.py", "test_imports.py", "test_shared.py")
