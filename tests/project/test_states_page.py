"""docs/reference/states.md is made of the two tables.

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

Two tables decide everything that happens: that of a Process, which runs once, and that of a Service, which runs its
program again. Each is fed with inputs, one at a time, and answers with what is to be done, and last with the news when
its state has changed. A stop has a rule in every state. What has no rule cannot happen; if it did, it would raise, and
change nothing.
"""

MACHINES: list[tuple[type[Machine[Any]], str, str]] = [
    (
        ProcessMachine,
        "A Process: one run",
        "A stop takes the steps of the ladder, each when the one before has had its time. The last is always SIGKILL.",
    ),
    (
        ServiceMachine,
        "A Service: run, judge, back off, run again",
        "Whether it is wanted is kept apart from what it does at the moment: a restart is a stop, and still wanted.",
    ),
]


def arrows(machine: type[Machine[Any]]) -> set[tuple[State, str, State]]:
    """The arrows of a machine, as its tests walk them: each place of theirs, each input that has a rule there."""
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
    """A picture of the arrows."""
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
    """Every rule, state by state, each with the first line of its docstring."""
    yield "| state | input | what follows |"
    yield "|---|---|---|"
    for state, given, said in sorted(rows(machine), key=lambda row: row[0]):
        yield f"| {state.name} | {given.__name__} | {said} |"


def words(names: Mapping[str, object], base: str) -> Iterator[str]:
    """The inputs or the actions among some names, each with the first line of its docstring."""
    for name, value in names.items():
        kinds = [kind.__name__ for kind in getattr(value, "__mro__", ())[1:]]
        if inspect.isclass(value) and base in kinds:
            yield f"| {name} | {(value.__doc__ or '').strip().splitlines()[0]} |"


def _of_service() -> dict[str, object]:
    """The names that its table knows: first those that it has in common with the other one."""
    known = vars(inputs_of_service)
    return {name: value for name, value in vars(service).items() if name not in known} | known


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for machine, title, said in MACHINES:
        names = vars(process) if machine is ProcessMachine else _of_service()
        lines += [f"## {title}", "", said, "", *diagram(machine), "", *table(machine), ""]
        for base, heading in (("Input", "Its inputs"), ("Action", "Its actions")):
            lines += [f"### {heading}", "", "| name | meaning |", "|---|---|", *words(names, base), ""]
    return "\n".join(lines).rstrip() + "\n"


def test_the_page_is_that_of_the_tables() -> None:
    """After a change of a rule the page is written anew, by the command above."""
    assert page() == PAGE.read_text(encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
