"""The difference between the services of today and those that are wanted: a list of steps, in their order."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from aioverseer.core.errors import DuplicateService, SpecError
from aioverseer.core.machine.dependencies import DependencyGraph, has_schedule
from aioverseer.core.options.after import After
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.spec_data import option_to_data
from aioverseer.core.report.changes import OptionChange, PlanStep
from aioverseer.core.report.option_changes import option_changes

__all__ = ["Present", "by_id", "diff", "digest_of", "target_levels"]


@dataclass(slots=True, kw_only=True)
class Present:
    """A service of today.

    Attributes:
        spec: Its options.
        runs: Whether it is live and wanted, and armed if it has a trigger, or has ended by itself as a success.
        live: Whether a program runs, starts, stops or waits to restart.
    """

    spec: Spec
    runs: bool
    live: bool


def target_levels(wanted: Mapping[str, Spec], others: Mapping[str, tuple[After, ...]]) -> tuple[tuple[str, ...], ...]:
    """Return the wanted services by levels: each depends on services of earlier levels only.

    Args:
        wanted: The Specs.
        others: The dependencies of services that are no part of the plan.

    Raises:
        SpecError: If a service depends on one that is not there, or has a schedule.
        DependencyCycle: If services wait for each other in a cycle.
    """
    for id, spec in wanted.items():
        for edge in _by_sets(spec.after, wanted):
            if edge.name in wanted and wanted[edge.name].schedule is not None:
                raise has_schedule(id, edge.name)
    needs = {**others, **{id: spec.after for id, spec in wanted.items()}}
    graph = DependencyGraph({id: _by_sets(edges, needs) for id, edges in needs.items()})
    levels = (tuple(id for id in level if id in wanted) for level in graph.levels)
    return tuple(level for level in levels if level)


def _by_sets(edges: Iterable[After], known: Container[str]) -> list[After]:
    """Return dependencies with the name of the set, as ``web``, in place of that of an instance, as ``web.0``."""
    return [edge if edge.name in known else dataclasses.replace(edge, name=_owner(edge.name, known)) for edge in edges]


def _owner(name: str, known: Container[str]) -> str:
    owner, _, index = name.rpartition(".")
    return owner if index.isdecimal() and owner in known else name


def by_id(specs: Iterable[Spec]) -> dict[str, Spec]:
    """Return Specs by their ids.

    Raises:
        SpecError: If two have one id, or one is no Spec.
        DuplicateService: If one has the id of an instance of another.
    """
    found: dict[str, Spec] = {}
    for spec in specs:
        if not isinstance(spec, Spec):
            raise SpecError(f"a plan takes Specs, and {type(spec).__name__} is none: pass Spec.of(id, argv, ...)")
        if spec.id in found:
            raise SpecError(f"service {spec.id!r} is in the plan twice: take one away", option="id", value=spec.id)
        found[spec.id] = spec
    for id in found:
        owner, _, index = id.rpartition(".")
        if index.isdecimal() and owner in found and int(index) < (found[owner].instances or 0):
            raise DuplicateService(f"service {id!r} and an instance of {owner!r} have one name: take another name")
    return found


def diff(
    present: Mapping[str, Present], wanted: Mapping[str, Spec], levels: Iterable[Iterable[str]]
) -> tuple[PlanStep, ...]:
    """Return the steps that make the services of today those that are wanted.

    Removals come first, dependents before their dependencies; then options that change while the program goes on; then
    all starts, dependencies first. A restart stops its service with the removals, and counts among the starts.

    Args:
        present: The services of today, in the order in which they were added.
        wanted: The Specs of all services that are wanted.
        levels: Their ids by levels, as of ``target_levels``.
    """
    order = {id: number for number, id in enumerate(id for level in levels for id in level)}
    removed = [id for id in present if id not in wanted]
    changes = {
        id: option_changes(present[id].spec, spec)
        for id, spec in wanted.items()
        if id in present and present[id].spec is not spec
    }
    reasons: dict[str, list[str]] = {}
    restarted = {
        id
        for id, each in changes.items()
        if any(one.effect == "restart" for one in each) or _is_set(present[id].spec) != _is_set(wanted[id])
    }
    rolled = {id for id in restarted if present[id].runs and _is_set(present[id].spec) and _is_set(wanted[id])}
    started = {id for id in wanted if id not in present or not present[id].runs}
    stopped = {*removed, *(restarted - rolled)}
    restarted |= _follow(present, wanted, stopped, started, reasons)
    steps = [_removal(id, present[id]) for id in _dependents_first(removed, present)]
    later: list[PlanStep] = []
    for id in sorted(wanted, key=order.__getitem__):
        spec, now, changed = wanted[id], present.get(id), changes.get(id, ())
        if now is None:
            later.append(PlanStep(id=id, action="add", after=spec))
        elif now.live and id not in restarted and any(change.option == "instances" for change in changed):
            later.append(_step("scale", now, spec, changed, reasons))
        elif id in restarted and now.live:
            action = "roll" if id in rolled and id not in reasons else "restart"
            later.append(_step(action, now, spec, changed, reasons))
        elif id in restarted or id in started:
            later.append(_step("start", now, spec, changed, reasons))
        elif changed:
            steps.append(_step("update", now, spec, changed, reasons))
    return (*steps, *later)


def _is_set(spec: Spec) -> bool:
    return spec.instances is not None


def _step(
    action: str, now: Present, spec: Spec, changed: tuple[OptionChange, ...], reasons: Mapping[str, list[str]]
) -> PlanStep:
    why = list(reasons.get(spec.id, ()))
    if action == "start" and not changed:
        why.append("no run of it follows the present one" if now.live else "it does not run")
    return PlanStep(
        id=spec.id,
        action=action,  # type: ignore[arg-type]  # one of the three of ``diff``
        reasons=tuple(why),
        changes=changed,
        before=now.spec,
        after=spec,
    )


def _removal(id: str, now: Present) -> PlanStep:
    return PlanStep(id=id, action="remove", before=now.spec)


def _follow(
    present: Mapping[str, Present],
    wanted: Mapping[str, Spec],
    stopped: Iterable[str],
    started: Iterable[str],
    reasons: dict[str, list[str]],
) -> set[str]:
    """Return the services that restart because another one does, by ``on_restart`` or ``on_end``, with reasons.

    A roll is no reason: its set serves all along.
    """
    followers: dict[str, list[tuple[str, After, bool]]] = {}
    for id, spec in wanted.items():
        now = present.get(id)
        if now is None or not now.live or not now.runs:
            continue
        for edge in _by_sets(spec.after, wanted):
            followers.setdefault(edge.name, []).append((id, edge, True))
        for edge in _by_sets(now.spec.after, present):
            followers.setdefault(edge.name, []).append((id, edge, False))
    if not followers:
        return set()
    causes = {id for id in stopped if present[id].live}
    queue = [*((id, True) for id in sorted(causes)), *((id, False) for id in sorted(started))]
    following: set[str] = set()
    while queue:
        cause, stops = queue.pop()
        for id, edge, is_new in followers.get(cause, ()):
            if stops and edge.on_end == "stop":
                how = 'on_end="stop"'
            elif is_new and edge.on_restart == "restart" and cause in wanted:
                how = 'on_restart="restart"'
            else:
                continue
            if id not in causes:
                causes.add(id)
                following.add(id)
                reasons.setdefault(id, []).append(f"it follows {cause!r}, after with {how}")
                queue.append((id, True))
    return following


def _dependents_first(ids: list[str], present: Mapping[str, Present]) -> list[str]:
    """Return ids in the order of their stop."""
    if not ids:
        return ids
    try:
        known = {
            id: [edge for edge in _by_sets(now.spec.after, present) if edge.name in present]
            for id, now in present.items()
        }
        levels = DependencyGraph(known).stop_levels
    except SpecError:  # each was started on its own, so there is no order to keep
        return ids[::-1]
    chosen = set(ids)
    return [id for level in levels for id in level if id in chosen]


def digest_of(steps: Iterable[PlanStep]) -> str:
    """Return a text that is the same for equal steps, in each process and on each machine.

    Equal digests mean equal effects: a step is made of the options that it changes, with their old and new values.
    """
    text = json.dumps([_as_data(step) for step in steps], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _as_data(step: PlanStep) -> list[object]:
    before, after = step.before, step.after
    if before is None or after is None:
        return [step.id, step.action, *(None if each is None else each.to_dict() for each in (before, after))]
    names = dict.fromkeys(change.root for change in step.changes)
    values = {name: [option_to_data(name, getattr(each, name)) for each in (before, after)] for name in names}
    return [step.id, step.action, values]
