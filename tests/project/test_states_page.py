"""docs/reference/states.md is written from the two tables.

``python tests/project/test_states_page.py --write`` writes it, in the environment of the tests.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aioverseer.core.machine import inputs as inputs_of_service
from aioverseer.core.machine import process, service
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.machine.service import ServiceMachine
from aioverseer.core.machine.table import Machine, Transition, rows
from aioverseer.core.state import State

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "states.md"

HEAD = """\
# States and transitions

<!-- Written by `python tests/project/test_states_page.py --write` from the tables in aioverseer/core. -->

## State

`aioverseer.State` is an `IntEnum`. `str(state)` is its text, `state.is_final` says whether nothing more happens by
itself, and `state.is_live` whether something runs, or is being started, waited for or stopped. `state.is_up` says
whether a start has come to its end: in RUNNING and in WAITING. BACKOFF and WAITING belong to services alone. A service
is WAITING while a schedule, or another trigger, will start its next run.

| member | number | text | final | live |
|---|---|---|---|---|
{states}

## How the tables work

A Process runs once, and has the first table. A Service runs its program again, and has the second. A table gets one
input at a time. It answers with actions, and at last with the transition, if the state has changed. A stop has a rule
in every state. An input without a rule raises an error and changes nothing.
"""

MACHINES: list[tuple[type[Machine[Any]], str, str]] = [
    (
        ProcessMachine,
        "A Process: one run",
        "A stop takes the steps of the ladder, one after the other, each for its time. The last one is always SIGKILL.",
    ),
    (
        ServiceMachine,
        "A Service: run, judge, back off, run again",
        "A Service keeps whether it is wanted apart from its state: after a stop for a restart it is still wanted.",
    ),
]


def arrows(machine: type[Machine[Any]]) -> set[tuple[State, str, State]]:
    """Return the arrows of a machine. Its tests lead it to every place, and know the inputs with a rule there."""
    tests = _tests_of(machine)
    found: set[tuple[State, str, State]] = set()
    for place, inputs in tests.EXPECTED.items():
        for name in inputs:
            one = tests.led(tests.PLACES[place])
            for action in one.feed(tests.INPUTS[name], 100.0):
                if isinstance(action, Transition):
                    found.add((action.previous, type(tests.INPUTS[name]).__name__, action.state))
    return found


def _tests_of(machine: type[Machine[Any]]) -> Any:
    # Loaded by path, because the tests are no package.
    file = Path(__file__).parents[1] / "core" / "machine" / f"test_{machine.name}.py"
    spec = importlib.util.spec_from_file_location(f"_{file.stem}_for_docs", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def diagram(machine: type[Machine[Any]]) -> Iterator[str]:
    """Yield the lines of a picture of the arrows."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> INITIAL"
    labels: dict[tuple[State, State], list[str]] = {}
    for previous, given, state in sorted(arrows(machine)):
        labels.setdefault((previous, state), []).append(given)
    for (previous, state), inputs in labels.items():
        yield f"    {previous.name} --> {state.name}: {', '.join(inputs)}"
    yield "```"


def table(machine: type[Machine[Any]]) -> Iterator[str]:
    """Yield a row for every rule, state by state, with the first line of its docstring."""
    yield "| state | input | effect |"
    yield "|---|---|---|"
    for state, given, said in sorted(rows(machine), key=lambda row: row[0]):
        yield f"| {state.name} | {given.__name__} | {said} |"


def words(names: Mapping[str, object], base: str) -> Iterator[str]:
    """Yield a row for each input or action among some names, with the first line of its docstring."""
    for name, value in names.items():
        kinds = [kind.__name__ for kind in getattr(value, "__mro__", ())[1:]]
        if inspect.isclass(value) and base in kinds:
            yield f"| {name} | {(value.__doc__ or '').strip().splitlines()[0]} |"


def _of_service() -> dict[str, object]:
    """Return the names of its table. The names that both tables have come last."""
    known = vars(inputs_of_service)
    return {name: value for name, value in vars(service).items() if name not in known} | known


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def page() -> str:
    """Return the whole page."""
    states = [f"| `{s.name}` | {s.value} | {s} | {_yes(s.is_final)} | {_yes(s.is_live)} |" for s in State]
    lines = [HEAD.format(states="\n".join(states))]
    for machine, title, said in MACHINES:
        names = vars(process) if machine is ProcessMachine else _of_service()
        lines += [f"## {title}", "", said, "", *diagram(machine), "", *table(machine), ""]
        for base, heading in (("Input", "Its inputs"), ("Action", "Its actions")):
            lines += [f"### {heading}", "", "| name | meaning |", "|---|---|", *words(names, base), ""]
    return "\n".join(lines).rstrip() + "\n"


def test_the_page_is_that_of_the_tables() -> None:
    """After a change of a rule, the command at the top of this file writes the page anew."""
    assert page() == PAGE.read_text(encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
