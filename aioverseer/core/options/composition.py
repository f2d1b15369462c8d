"""The base of all probes, and the logic of composed ones: ``a & b`` and ``a | b``.

Every Spec needs this file to check its options; the kinds of probes are in ``probes.py``, which few programs need.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import ClassVar

from aioverseer.core.export import exported_from

__all__ = ["AllOf", "AnyOf", "Probe", "is_fulfilled", "leaves", "pending"]


@exported_from("aioverseer.ready")
class Probe:
    """A test whether a program can do its work; made by the functions of ``aioverseer.ready``.

    ``a & b`` succeeds when both have succeeded, ``a | b`` when one of them has.
    """

    __slots__ = ()

    reads_lines: ClassVar[bool] = False
    """Whether the probe needs the lines that the program writes."""
    awaits: ClassVar[str] = "an answer"
    """Words for the answer that one attempt waits for."""
    comes_once: ClassVar[bool] = False
    """Whether the program sends its answer once, so that it cannot be asked again."""

    @property
    def is_template(self) -> bool:
        """Whether the probe can be used only once its placeholders are replaced."""
        return False

    @property
    def program(self) -> str | None:
        """Program that each attempt starts; None for a probe that starts none."""
        return None

    def __and__(self, other: Probe) -> AllOf:
        """Return a probe that succeeds when both have succeeded."""
        if not isinstance(other, Probe):  # Python then raises a TypeError that names both operands
            return NotImplemented
        return AllOf(probes=(*_parts(AllOf, self), *_parts(AllOf, other)))

    def __or__(self, other: Probe) -> AnyOf:
        """Return a probe that succeeds when one of them has succeeded."""
        if not isinstance(other, Probe):
            return NotImplemented
        return AnyOf(probes=(*_parts(AnyOf, self), *_parts(AnyOf, other)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf(Probe):
    """Success of all probes, each at its own time."""

    probes: tuple[Probe, ...]

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return " and ".join(f"({probe})" if isinstance(probe, AnyOf) else str(probe) for probe in self.probes)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf(Probe):
    """Success of one of the probes."""

    probes: tuple[Probe, ...]

    def __str__(self) -> str:
        """Return the probe as words of a sentence."""
        return " or ".join(str(probe) for probe in self.probes)


def _parts(kind: type[AllOf | AnyOf], probe: Probe) -> tuple[Probe, ...]:
    """Return the parts that a probe adds to a composed one: ``a & b & c`` has three parts, not two."""
    return probe.probes if isinstance(probe, kind) else (probe,)


def leaves(probe: Probe) -> tuple[Probe, ...]:
    """Return the simple probes in a probe, each once, in the order in which they are written."""
    return tuple(dict.fromkeys(_walk(probe)))


def _walk(probe: Probe) -> Iterator[Probe]:
    if isinstance(probe, AllOf | AnyOf):
        for part in probe.probes:
            yield from _walk(part)
    else:
        yield probe


def is_fulfilled(probe: Probe, done: AbstractSet[Probe]) -> bool:
    """Return whether a probe has succeeded, given the leaves that have."""
    match probe:
        case AllOf(probes=probes):
            return all(is_fulfilled(part, done) for part in probes)
        case AnyOf(probes=probes):
            return any(is_fulfilled(part, done) for part in probes)
        case _:
            return probe in done


def pending(probe: Probe, done: AbstractSet[Probe]) -> frozenset[Probe]:
    """Return the leaves whose answer still matters: none when the whole probe has succeeded."""
    if is_fulfilled(probe, done):
        return frozenset()
    if isinstance(probe, AllOf | AnyOf):
        return frozenset(leaf for part in probe.probes for leaf in pending(part, done))
    return frozenset({probe})
