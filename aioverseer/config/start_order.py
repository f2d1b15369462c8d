"""The order in which services start, as a tree of text and as a graph for Mermaid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from aioverseer import After, Cron, Every, Spec
from aioverseer.core.export import exported_from

__all__ = ["draw_graph", "draw_tree"]

_CONDITIONS = {"started": "has started", "ready": "is ready", "finished": "has ended", "success": "has succeeded"}
_LINES = {True: ("├─ ", "└─ ", "│  "), False: ("|- ", "`- ", "|  ")}
"""Marks of a branch, of the last branch, and of a branch that passes; with UTF-8 and without."""


@exported_from("aioverseer.config")
def draw_tree(specs: Iterable[Spec], *, fancy: bool = True, hide: Callable[[str, str], str] | None = None) -> str:
    """Return a line for each service, below the last of the services that it waits for.

    Args:
        specs: The Specs. Each service stands once; its line names all that it waits for.
        fancy: Whether to draw with characters beyond ASCII.
        hide: A function that takes values of the environment out of a text about a service, given its id and the
            text, such as ``config.hidden``.
    """
    order = _Order(specs, hide)
    branch, last, passing = _LINES[fancy]
    drawn: list[tuple[str, str]] = []
    # A stack of its own: a chain of services may be longer than the stack of Python.
    stack = [(spec, "", "") for spec in reversed(order.roots)]
    while stack:
        spec, lead, mark = stack.pop()
        count = "" if spec.instances is None else f" ({spec.instances})"
        drawn.append((f"{lead}{mark}{spec.id}{count}", order.about(spec)))
        lead += "" if not mark else passing if mark == branch else " " * len(passing)
        children = order.children[spec.id]
        stack += [(child, lead, last if child is children[-1] else branch) for child in reversed(children)]
    width = max((len(name) for name, _ in drawn), default=0)
    return "\n".join(f"{name:<{width}}  {about}".rstrip() for name, about in drawn)


@exported_from("aioverseer.config")
def draw_graph(specs: Iterable[Spec]) -> str:
    """Return the text of a Mermaid flowchart: an arrow from each service to those that wait for it.

    Args:
        specs: The Specs.
    """
    order = _Order(specs)
    nodes = {id: f"s{number}" for number, id in enumerate(order.specs)}
    lines = ["flowchart TD"]
    for id, spec in order.specs.items():
        count = "" if spec.instances is None else f" ({spec.instances})"
        lines.append(f'    {nodes[id]}["{_escaped(id + count)}"]')
    for id, spec in order.specs.items():
        for edge in spec.after:
            if (name := order.named(edge)) is not None:
                arrow = "-->" if edge.hard else "-.->"
                lines.append(f"    {nodes[name]} {arrow}|{edge.until}| {nodes[id]}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    # Mermaid takes entities with a number sign, and would end the label at a quote.
    return text.replace("#", "#35;").replace('"', "#quot;")


class _Order:
    """Services, and the places at which they are drawn.

    Attributes:
        specs: The Specs by their ids, in the order of the file.
        roots: Specs that wait for no other one.
        children: For each service, the Specs below it.
    """

    def __init__(self, specs: Iterable[Spec], hide: Callable[[str, str], str] | None = None) -> None:
        self._hide = hide or _as_it_is
        self.specs: Mapping[str, Spec] = {spec.id: spec for spec in specs}
        self.roots: list[Spec] = []
        self.children: dict[str, list[Spec]] = {id: [] for id in self.specs}
        levels = self._levels()
        for id, spec in self.specs.items():
            above = [name for name in self._before(spec) if levels[name] < levels[id]]
            if above:
                self.children[max(above, key=levels.__getitem__)].append(spec)
            else:
                self.roots.append(spec)

    def named(self, edge: After) -> str | None:
        """Return the service, or the set of the instance, that a dependency names; None if it is not in the file."""
        if edge.name in self.specs:
            return edge.name
        name, _, index = edge.name.rpartition(".")
        return name if index.isdecimal() and name in self.specs else None

    def about(self, spec: Spec) -> str:
        """Return what a service waits for, and when it is ready, as words."""
        parts: list[str] = []
        if spec.after:
            parts.append("after " + _listed([self._condition(edge) for edge in spec.after]))
        match spec.schedule:
            case Cron():
                parts.append(f"runs at {self._hide(spec.id, spec.schedule.expression)!r}")
            case Every():
                parts.append(f"runs every {spec.schedule.period:g} s")
            case _:
                pass
        if spec.on_demand:
            parts.append("starts at the first connection")
        if spec.ready is not None:
            parts.append(f"ready by {self._hide(spec.id, str(spec.ready))}")
        return "; ".join(parts)

    def _condition(self, edge: After) -> str:
        soft = "" if edge.hard else " (if it can be)" if self.named(edge) else " (not in this file)"
        again = " (and restarts with it)" if edge.on_restart == "restart" else ""
        return f"{edge.name} {_CONDITIONS[edge.until]}{soft}{again}"

    def _before(self, spec: Spec) -> list[str]:
        return [name for edge in spec.after if (name := self.named(edge)) is not None]

    def _levels(self) -> dict[str, int]:
        """Return the length of the longest chain that leads to each service."""
        before = {id: self._before(spec) for id, spec in self.specs.items()}
        after: dict[str, list[str]] = {id: [] for id in self.specs}
        for id, names in before.items():
            for name in names:
                after[name].append(id)
        left = {id: len(names) for id, names in before.items()}
        # A circle has no level of its own. Reading the file refuses it, so it is drawn at the root.
        levels = dict.fromkeys(self.specs, 0)
        free = [id for id, count in left.items() if count == 0]
        for id in free:
            for name in after[id]:
                levels[name] = max(levels[name], levels[id] + 1)
                left[name] -= 1
                if left[name] == 0:
                    free.append(name)
        return levels


def _as_it_is(_: str, text: str) -> str:
    return text


def _listed(items: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
