"""The register of runs is shared by all threads of a host."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from aioverseer.system.containment.runs import Runs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture(autouse=True)
def eager_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_look_at_a_process_goes_on_while_runs_end_in_other_threads() -> None:
    """What lives beside, without a marker, is compared with sessions that come and go meanwhile."""
    runs = Runs()
    runs.end(runs.begin(), 1, kept=False)
    over = threading.Event()

    def end_many() -> None:
        while not over.is_set():
            runs.end(runs.begin(), 1, kept=False)

    stranger = subprocess.Popen(["sleep", "100"], env={})
    others = [threading.Thread(target=end_many) for _ in range(2)]
    for other in others:
        other.start()
    try:
        assert [False] * 2000 == [runs.is_stray(stranger.pid) for _ in range(2000)]
    finally:
        over.set()
        for other in others:
            other.join()
        stranger.kill()
        stranger.wait()
