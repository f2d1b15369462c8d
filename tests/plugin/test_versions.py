"""The plugin's tests again, with the versions of pytest-asyncio that people have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(not os.environ.get("AIOVERSEER_LONG"), reason="installs packages: set AIOVERSEER_LONG=1")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", ["0.23.8", "0.26.0", "1.0.0", "1.3.0", "1.5.0"])
def test_with_pytest_asyncio(version: str, tmp_path: Path) -> None:
    """In an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    packages: list[str | Path] = ["-e", HERE.parent.parent, f"pytest-asyncio=={version}", "pytest-xdist"]
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    files = [HERE / name for name in ("test_fixtures.py", "test_failures.py", "test_ends.py")]
    # Without the configuration of this suite: an old version does not know all of its options.
    options: list[str | Path] = ["-q", "-p", "pytester", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", HERE]
    environment = {**os.environ, "PYTEST_ASYNCIO_VERSION": version}
    ran = subprocess.run(
        [python, "-m", "pytest", *options, *files], capture_output=True, text=True, check=False, env=environment
    )
    assert 0 == ran.returncode, ran.stdout
