"""A worker with bad luck. Its first two jobs crash it, and the supervisor restarts it. The third job succeeds."""

from __future__ import annotations

import sys
import time
from urllib.request import urlopen

UNLUCKY = 2
JOBS = 4


def next_job(port: str) -> int:
    """Return the number of a job from the server."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/work", timeout=2) as answer:
            return int(answer.read())
    except (OSError, ValueError) as error:
        # No retry loop is needed: the supervisor restarts this program, a little later each time.
        sys.exit(f"no job from the server: {error}")


def main() -> None:
    port = sys.argv[1]
    for _ in range(JOBS):
        job = next_job(port)
        if job <= UNLUCKY:
            sys.exit(f"job {job} has crashed me")
        print(f"job {job} is done", flush=True)
        time.sleep(1)
    print("has done its work", flush=True)


if __name__ == "__main__":
    main()
