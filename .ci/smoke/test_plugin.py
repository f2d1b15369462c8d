"""The pytest plugin of the installed package: fixtures are found, and the keeper shares a service between workers."""

from __future__ import annotations

import sys

from aioverseer import Spec, ready
from aioverseer.pytest_plugin import service_fixture

SERVER = "import time; print('up', flush=True); time.sleep(1000)"


@service_fixture(scope="session", shared=True)
def server() -> Spec:
    return Spec.of("server", [sys.executable, "-c", SERVER], ready=ready.line("up"))


def test_shared_service_is_running(server) -> None:
    assert server.pid
