"""A web application that runs redis: an overseer in its lifespan starts, restarts and stops the server.

Run ``uvicorn --app-dir docs/examples web_app:app``. Then open ``localhost:8000`` and ``localhost:8000/services``.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from aioverseer import Overseer, Restart, ready

PORT = int(os.environ.get("REDIS_PORT", "6399"))


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncGenerator[dict[str, Overseer]]:
    async with Overseer() as overseer:
        words = ["redis-server", "--port", str(PORT), "--bind", "127.0.0.1", "--save", ""]
        overseer.add("redis", *words, ready=ready.tcp(PORT), restart=Restart("always"))
        await overseer.start_all()
        yield {"overseer": overseer}


async def count(_request: Request) -> JSONResponse:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"INCR visits\r\n")
    answer = await reader.readline()
    writer.close()
    return JSONResponse({"visits": int(answer[1:])})


async def services(request: Request) -> JSONResponse:
    overseer: Overseer = request.state.overseer
    return JSONResponse({id: overseer.to_json(id) for id in overseer})


app = Starlette(routes=[Route("/", count), Route("/services", services)], lifespan=lifespan)
