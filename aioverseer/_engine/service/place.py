"""InstancePlace: which instance of which set a service is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["InstancePlace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePlace:
    """The place of a service in a set of instances.

    Attributes:
        name: The name of the set.
        index: The number of the instance, from 0.
    """

    name: str
    index: int

    @property
    def id(self) -> str:
        """The name of the service."""
        return f"{self.name}.{self.index}"
