"""Long tests, as commands.

``python tests/soak [--minutes N] [--restarts N]``: restarts without end; nothing grows.
``python tests/soak torture [--rounds N]``: hosts end in each way, on each level of containment; nothing is left of a
process tree that ignores signals.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.soak.play import soak  # noqa: E402  # the line above puts it on the path
from tests.support.host_tree import MECHANISMS, WAYS, leftovers_of  # noqa: E402  # as above


def main() -> int:
    """Run the soak, print each sample and everything that has grown."""
    if sys.argv[1:2] == ["torture"]:
        return torture(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python tests/soak", description="Restarts without end: nothing grows.")
    parser.add_argument("--minutes", type=float, default=None, help="play for so long, however many restarts that is")
    parser.add_argument("--restarts", type=int, default=10_000, help="how many restarts (default: 10000)")
    given = parser.parse_args()
    grown = asyncio.run(
        soak(
            restarts=given.restarts if given.minutes is None else None,
            seconds=None if given.minutes is None else 60 * given.minutes,
            on_sample=lambda sample: print(sample, flush=True),  # noqa: T201  # it is a command
        )
    )
    result = "\n".join(f"GROWN: {line}" for line in grown) or "nothing has grown, no event was missed"
    print(result)  # noqa: T201
    return 1 if grown else 0


def torture(words: list[str]) -> int:
    """End hosts many times in each way and on each level, and print how many left something alive."""
    parser = argparse.ArgumentParser(
        prog="python tests/soak torture", description="However a host ends, nothing is left."
    )
    parser.add_argument("--rounds", type=int, default=100, help="rounds of each (default: 100)")
    parser.add_argument("--levels", default=",".join(MECHANISMS), help="mechanisms, with commas between")
    parser.add_argument("--loop", default="asyncio", choices=["asyncio", "uvloop"])
    parser.add_argument("--user", default=None, help="the user of the hosts; needs root")
    given = parser.parse_args(words)
    bad = 0
    for level in given.levels.split(","):
        for way in WAYS:
            if (level, way) == ("basic", "SIGKILL"):
                print("basic       SIGKILL       promises nothing")  # noqa: T201  # it is a command
                continue
            left = sum(bool(leftovers_of(level, way, loop=given.loop, user=given.user)) for _ in range(given.rounds))
            bad += left
            print(f"{level:<11} {way:<13} {given.rounds} rounds, {left} of them left something", flush=True)  # noqa: T201
    return 1 if bad else 0


raise SystemExit(main())
