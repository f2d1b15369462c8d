"""Pipelines: a Spec whose input is the output of another one."""

from __future__ import annotations

from collections.abc import Iterator

from aioverseer.core.options.framing import Lines
from aioverseer.core.options.spec import Spec
from aioverseer.core.typing import HasDescriptor

__all__ = ["ladder_seconds", "pipeline", "read_from", "stop_seconds", "written_to"]

_END_TIMEOUT = 2.0
"""Seconds for a program to end by itself once its input has ended."""


def pipeline(spec: Spec) -> Iterator[Spec]:
    """Yield the Spec and those of the programs before it in its pipeline, the last program first."""
    each: object = spec
    while isinstance(each, Spec):
        yield each
        each = each.stdin


def ladder_seconds(spec: Spec) -> float:
    """Return the seconds that the programs before this one in its pipeline take to be stopped; 0 for none."""
    upstream = spec.stdin
    return stop_seconds(upstream) + _END_TIMEOUT if isinstance(upstream, Spec) else 0.0


def stop_seconds(spec: Spec) -> float:
    """Return the seconds that a stop takes at most, with the last output, over the whole pipeline."""
    return ladder_seconds(spec) + spec.stop.total + spec.drain_timeout


def written_to(spec: Spec, end: HasDescriptor) -> Spec:
    """Return the Spec for a launcher of a program whose standard output is one end of a pipe."""
    return spec.updated(stdout=end, buffered=False, streaming=False, framing=Lines(), ready=None, log=None)


def read_from(spec: Spec, end: HasDescriptor) -> Spec:
    """Return the Spec for a launcher of a program whose standard input is one end of a pipe."""
    return spec.updated(stdin=end)
