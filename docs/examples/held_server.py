"""A web server on the held socket, with asyncio alone. It ends without losing a request."""

import asyncio
import os
import signal
import socket

answering: set[asyncio.Task[None] | None] = set()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    task = asyncio.current_task()
    answering.add(task)
    try:
        await reader.readuntil(b"\r\n\r\n")
        body = str(os.getpid()).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
    finally:
        writer.close()
        answering.discard(task)


async def main() -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    held = socket.socket(fileno=3)
    await asyncio.start_server(answer, sock=held)
    print("ready", flush=True)
    await stopped.wait()
    loop.remove_reader(held)  # new connections wait in the socket, for the next run
    await asyncio.sleep(0.5)  # connections that were just taken send their requests
    await asyncio.gather(*filter(None, answering), return_exceptions=True)


asyncio.run(main())
