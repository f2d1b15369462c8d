"""Each test of the contract runs with real programs and with scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.bench import Bench
from tests.support.programs import limit


@pytest.fixture(params=["scripted", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Launches by the one or the other."""
    bench = Bench(request.param)
    yield bench
    async with limit(10, "the clearing"):
        await bench.clear()
