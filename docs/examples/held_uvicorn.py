"""An ASGI application on the held socket, served by uvicorn. It ends without losing a request."""

import asyncio
import os
import socket
from typing import Any

import uvicorn


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print("ready", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()  # new connections wait in the socket, for the next run
        self.server_state.default_headers.append((b"connection", b"close"))  # kept-alive ones end with an answer
        await asyncio.sleep(0.5)  # connections that were just taken send their requests
        await super().shutdown(sockets)


Server(uvicorn.Config(app, lifespan="off", log_level="warning")).run(sockets=[socket.socket(fileno=3)])
