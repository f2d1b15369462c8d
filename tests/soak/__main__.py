"""``python tests/soak [--minutes N] [--restarts N]``: restarts without end, and nothing grows; see ``play.py``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)
sys.path.insert(1, str(Path(__file__).resolve().parent.parent.parent))

from soak.play import soak  # noqa: E402  # found by the lines above


def main() -> int:
    """Play, print each sample, and say what has grown."""
    parser = argparse.ArgumentParser(prog="python tests/soak", description="Restarts without end: nothing grows.")
    parser.add_argument("--minutes", type=float, default=None, help="play for so long, however many restarts that is")
    parser.add_argument("--restarts", type=int, default=10_000, help="how many restarts (default: 10000)")
    given = parser.parse_args()
    grown = asyncio.run(
        soak(
            restarts=given.restarts if given.minutes is None else None,
            seconds=None if given.minutes is None else 60 * given.minutes,
            told=lambda sample: print(sample, flush=True),  # noqa: T201  # it is a command
        )
    )
    result = "\n".join(f"GROWN: {line}" for line in grown) or "nothing has grown, no event was missed"
    print(result)  # noqa: T201
    return 1 if grown else 0


raise SystemExit(main())
