"""Long tests, as commands.

``python tests/soak [--minutes N] [--restarts N]``: restarts without end; nothing grows.
``python tests/soak torture [--rounds N]``: hosts end in each way, on each level of containment; nothing is left of a
process tree that ignores signals.
``python tests/soak daemons [--rounds N]``: real servers go into the background, on each level; nothing is left of them.
``python tests/soak wrappers [--rounds N]``: programs below wrappers are stopped, on each level; each saves its data.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from aioverseer._system.containment.cgroup import tree  # noqa: E402  # the line above puts it on the path
from aioverseer._system.containment.shim.client import missing_namespace  # noqa: E402  # as above
from tests.soak.daemons import ENDS, PROGRAMS, rounds_of  # noqa: E402  # as above
from tests.soak.play import soak  # noqa: E402  # the line above puts it on the path
from tests.soak.wrappers import KINDS, LEVELS, lost_by  # noqa: E402  # as above
from tests.support.host_tree import MECHANISMS, WAYS, leftovers_of  # noqa: E402  # as above


def main() -> int:
    """Run the soak, print each sample and everything that has grown."""
    if sys.argv[1:2] == ["torture"]:
        return torture(sys.argv[2:])
    if sys.argv[1:2] == ["daemons"]:
        return daemons(sys.argv[2:])
    if sys.argv[1:2] == ["wrappers"]:
        return wrappers(sys.argv[2:])
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


def daemons(words: list[str]) -> int:
    """Start servers in the background many times on each level, and print how many were left."""
    parser = argparse.ArgumentParser(
        prog="python tests/soak daemons", description="No server is left in the background."
    )
    parser.add_argument("--rounds", type=int, default=100, help="daemons of each kind (default: 100)")
    parser.add_argument("--levels", default=",".join(MECHANISMS), help="mechanisms, with commas between")
    parser.add_argument(
        "--programs", default=",".join(program.name for program in PROGRAMS), help="with commas between"
    )
    given = parser.parse_args(words)
    bad = total = 0
    missing: list[str] = []
    for program in PROGRAMS:
        if program.name not in given.programs.split(","):
            continue
        if program.path is None:
            missing.append(program.name)
            continue
        for level in given.levels.split(","):
            if (reason := _missing_level(level)) is not None:
                print(f"{program.name:<9} {level:<8} skipped: {reason}", flush=True)  # noqa: T201  # it is a command
                continue
            for way in ENDS:
                if (level, way) == ("basic", "SIGKILL"):
                    continue
                result = rounds_of(program, level, way, given.rounds)
                bad, total = bad + len(result.left), total + result.rounds
                print(  # noqa: T201
                    f"{program.name:<9} {level:<8} {way:<18} {result.rounds} daemons, {len(result.left)} left",
                    flush=True,
                )
                for line in result.left[:3]:
                    print(f"    {line}")  # noqa: T201
    skipped = f"; not installed: {', '.join(missing)}" if missing else ""
    print(f"{total} daemons, {bad} left{skipped}")  # noqa: T201
    return 1 if bad else 0


def wrappers(words: list[str]) -> int:
    """Stop programs below wrappers many times on each level, and print how many could not save."""
    parser = argparse.ArgumentParser(
        prog="python tests/soak wrappers", description="No program below a wrapper loses its data at a stop."
    )
    parser.add_argument("--rounds", type=int, default=100, help="stops of each kind (default: 100)")
    parser.add_argument("--levels", default=",".join(LEVELS), help="values of containment, with commas between")
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds of wrappers, with commas between")
    given = parser.parse_args(words)
    logging.getLogger("aioverseer").setLevel(logging.CRITICAL)  # it warns of each program that is left behind
    bad = total = 0
    missing: set[str] = set()
    for level in LEVELS:
        if level not in given.levels.split(","):
            continue
        if level == "pidns" and (reason := missing_namespace()) is not None:
            print(f"{level:<8} skipped: {reason}", flush=True)  # noqa: T201  # it is a command
            continue
        for kind in KINDS:
            if kind not in given.kinds.split(","):
                continue
            lost = asyncio.run(lost_by(level, kind, given.rounds))
            if lost is None:
                missing.add(kind)
                continue
            bad, total = bad + lost, total + given.rounds
            print(f"{level:<8} {kind:<15} {given.rounds} stops, {lost} lost", flush=True)  # noqa: T201
    skipped = f"; not installed: {', '.join(sorted(missing))}" if missing else ""
    print(f"{total} stops, {bad} lost{skipped}")  # noqa: T201
    return 1 if bad else 0


def _missing_level(level: str) -> str | None:
    if level == "cgroup":
        return tree().missing()
    return missing_namespace() if level == "pidns" else None


raise SystemExit(main())
