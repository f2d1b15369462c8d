"""A client. It sends requests to the server for some seconds, then asks it to quit."""

from __future__ import annotations

import sys
import time
from urllib.request import urlopen

REQUESTS = 6


def get(port: str, path: str) -> str:
    """Return the answer of the server."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return str(answer.read().strip(), "utf-8")
    except OSError as error:
        # No retry loop is needed: the supervisor restarts this program, a little later each time.
        sys.exit(f"the server does not answer: {error}")


def main() -> None:
    port = sys.argv[1]
    for number in range(1, REQUESTS + 1):
        print(f"request {number}: the server says {get(port, '/')!r}", flush=True)
        time.sleep(1)
    print(f"told it to quit: it says {get(port, '/quit')!r}", flush=True)


if __name__ == "__main__":
    main()
