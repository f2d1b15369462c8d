"""``aioverseer.testing`` is not loaded unless it is imported by name."""

from __future__ import annotations

import subprocess
import sys

import aioverseer.testing


def test_library_does_not_import_testing() -> None:
    """All public names of the library are loaded first."""
    code = (
        "import sys, aioverseer\n"
        "for name in aioverseer.__all__: getattr(aioverseer, name)\n"
        "print(*[name for name in sys.modules if name.startswith('aioverseer.testing')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=25, check=False)
    assert (0, "\n", "") == (done.returncode, done.stdout, done.stderr)


def test_public_names_exist_and_are_sorted() -> None:
    """``__all__`` is what the reference page shows."""
    names = aioverseer.testing.__all__
    assert sorted(names) == names
    assert all(hasattr(aioverseer.testing, name) for name in names)
