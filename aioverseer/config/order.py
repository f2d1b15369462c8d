"""Order of services: names that do not exist, and cycles, found before anything is started."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from aioverseer import Group, Spec
from aioverseer.config.findings import Findings
from aioverseer.config.sections import hint_for

__all__ = ["check_order", "sorted_groups"]


def check_order(
    services: Mapping[str, Spec | None], left_out: Mapping[str, str], findings: Findings, *, is_whole: bool = True
) -> None:
    """Report dependencies that cannot be met.

    Args:
        services: The Specs of the services by name; None for one that has problems of its own.
        left_out: The services that are not part of this load, with the reason.
        findings: Takes the problems.
        is_whole: Whether all files were read. If not, further services may exist.
    """
    specs = {id: spec for id, spec in services.items() if spec is not None}
    needs: dict[str, list[str]] = {}
    for id, spec in specs.items():
        needs[id] = []
        for edge in spec.after:
            name = _set_of(edge.name, services)
            path = ("services", id, "after", edge.name)
            if name not in services:
                if edge.hard and is_whole:
                    hint = left_out.get(edge.name) or hint_for(edge.name, _without(id, services), findings)
                    findings.add(path, f"{edge.name!r} is no service", hint)
            elif name not in specs:
                continue
            elif specs[name].schedule is not None:
                findings.add(path, f"{name!r} has a schedule, so nothing can wait for it", "leave it out")
            else:
                needs[id].append(name)
    for circle in _circles(needs):
        shown = " -> ".join([*circle, circle[0]])
        findings.add(
            ("services", circle[0], "after"), f"services wait for each other: {shown}", "leave one of them out"
        )


def sorted_groups(groups: Mapping[str, Group], known: Iterable[str], findings: Findings) -> tuple[Group, ...]:
    """Return groups in an order in which each comes after its parent, and report parents that there are not.

    Args:
        groups: The groups by name.
        known: Names of all groups, also of those that have problems of their own.
        findings: Takes the problems.
    """
    needs = {name: [group.parent] if group.parent in groups else [] for name, group in groups.items()}
    ordered = sorted(known)
    names = set(ordered)
    for name, group in groups.items():
        if group.parent and group.parent not in names:
            hint = hint_for(group.parent, _without(name, ordered), findings)
            findings.add(("groups", name, "parent"), f"there is no group {group.parent!r}", hint)
    circles = _circles(needs)
    for circle in circles:
        shown = " -> ".join([*circle, circle[0]])
        findings.add(("groups", circle[0], "parent"), f"groups are parents of each other: {shown}", "leave one out")
    found: dict[str, Group] = {}
    for start in groups if not circles else ():
        trail = [start]
        while trail[-1] not in found and needs[trail[-1]]:
            trail += needs[trail[-1]]
        found |= {name: groups[name] for name in reversed(trail)}
    return tuple(found.values())


def _without(name: str, known: Iterable[str]) -> list[str]:
    return [each for each in known if each != name]


def _set_of(name: str, known: Container[str]) -> str:
    """Return the name of the set of an instance, such as ``web.0``; any other name as it is."""
    owner, _, index = name.rpartition(".")
    return owner if name not in known and index.isdecimal() and owner in known else name


def _circles(needs: Mapping[str, list[str]]) -> list[list[str]]:
    """Return circles, each once, from its first service in the order of the file."""
    found: list[list[str]] = []
    done: set[str] = set()
    for start in needs:
        trail: list[str] = []
        on_trail: set[str] = set()
        todo: list[tuple[str, bool]] = [(start, True)]
        while todo:  # no recursion: a chain may be long
            id, enters = todo.pop()
            if not enters:
                on_trail.discard(trail.pop())
                done.add(id)
            elif id in on_trail:
                found.append(trail[trail.index(id) :])
            elif id not in done:
                trail.append(id)
                on_trail.add(id)
                todo.append((id, False))
                todo += [(name, True) for name in reversed(needs[id])]
    return found
