"""What tests need costs nobody else anything."""

from __future__ import annotations

import subprocess
import sys

import aioverseer.testing


def test_the_library_does_not_import_it() -> None:
    """Not even once all of its names were asked for."""
    code = (
        "import sys, aioverseer\n"
        "for name in aioverseer.__all__: getattr(aioverseer, name)\n"
        "print(*[name for name in sys.modules if name.startswith('aioverseer.testing')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=25, check=False)
    assert (0, "\n", "") == (done.returncode, done.stdout, done.stderr)


def test_every_public_name_is_there() -> None:
    """Sorted, as they are read."""
    names = aioverseer.testing.__all__
    assert sorted(names) == names
    assert all(hasattr(aioverseer.testing, name) for name in names)
