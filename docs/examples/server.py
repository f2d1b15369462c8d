"""A small web server. It hands out the numbers of jobs, and ends on request or after some seconds."""

from __future__ import annotations

import errno
import itertools
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LONGEST = 12.0
"""Seconds after which it ends without a request."""


class Handler(BaseHTTPRequestHandler):
    """The handler of one request."""

    jobs = itertools.count(1)

    def do_GET(self) -> None:
        """Answer ``/``, ``/work`` and ``/quit``."""
        if self.path == "/":
            self.answer(200, "hello")
        elif self.path == "/work":
            self.answer(200, str(next(self.jobs)))
        elif self.path == "/quit":
            self.answer(200, "good bye")
            # shutdown() waits for the loop that handles this request, so it needs another thread.
            threading.Thread(target=self.server.shutdown).start()
        else:
            self.answer(404, "there is nothing here")

    def answer(self, code: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        print(format % args, flush=True)


def main() -> None:
    port = int(sys.argv[1])
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"port {port} is taken: choose another one, for example SERVER_PORT={port + 1} aioverseer up ...")
    with server:
        print(f"serves http://127.0.0.1:{port}", flush=True)
        limit = threading.Timer(LONGEST, server.shutdown)
        limit.start()
        server.serve_forever()
        limit.cancel()
    print("has served enough", flush=True)


if __name__ == "__main__":
    main()
