"""An application under uvicorn that loses no request when it is stopped, on the listening socket that it was given."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer each request."""
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


class Server(uvicorn.Server):
    """A server that takes no new connection at its stop, and lets the clients close the old ones."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so for `ready.line("serving")`."""
        await super().startup(sockets)
        print("serving", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: close the listeners, answer with `Connection: close` for a moment, then end."""
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        await asyncio.sleep(0.5)
        await super().shutdown(sockets)


if __name__ == "__main__":
    config = uvicorn.Config(app, lifespan="off", access_log=False)
    Server(config).run(sockets=[socket.socket(fileno=3)])  # descriptor 3 is the first socket of `listen`
