"""A launcher serves services with containment levels of their own."""

from __future__ import annotations

from aioverseer import Overseer
from tests.support.programs import limit


async def test_level_of_a_service_is_kept_between_its_runs() -> None:
    """The second start finds it."""
    async with limit(20), Overseer(containment="basic") as overseer:
        service = await overseer.add("x", "sleep", "100", containment="guarded").start()
        first = service.pid
        await service.restart()
        assert first != service.pid
        assert "basic" == overseer.containment.level
