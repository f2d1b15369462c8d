"""A program of a user, for a type checker: it must see the types of the installed package."""

from __future__ import annotations

import asyncio

from aioverseer import Backoff, Overseer, Restart, Service, Status, ready


async def main() -> int | None:
    async with Overseer(name="typed") as overseer:
        policy = Restart("on-failure", backoff=Backoff(min=0.1))
        service: Service = overseer.add("one", "echo", "up", restart=policy, ready=ready.line("up"))
        status: Status = await overseer.supervise("one")
        for line in service.tail(5):
            print(line.text)
        return status.exit_code


assert asyncio.run(main()) == 0
