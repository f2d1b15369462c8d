"""Config: the content of a file, ready for an Overseer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aioverseer  # an overseer is imported by those who make one
from aioverseer import EventHook, Group, OverseerOptions, Spec
from aioverseer.config.convert import Note
from aioverseer.config.hidden_values import Hidden
from aioverseer.core.export import exported_from

if TYPE_CHECKING:
    from aioverseer import Overseer, ThreadedOverseer

__all__ = ["Config", "ControlOptions"]


@exported_from("aioverseer.config")
@dataclass(frozen=True, slots=True, kw_only=True)
class ControlOptions:
    """Options of a control interface, beside its Unix socket. They have no effect yet.

    Attributes:
        tcp: Address to listen on, for example ``"127.0.0.1:8470"``; None for none.
        metrics: Whether metrics are offered.
    """

    tcp: str | None = None
    metrics: bool = False


@exported_from("aioverseer.config")
@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that a file says. Iterating yields its Specs, so ``overseer.plan(config)`` works.

    Attributes:
        name: Name of the project.
        path: Absolute path of the file.
        files: Absolute paths of all files that were read, that one first.
        specs: Specs of the services that are part of this load, in the order of the file.
        groups: Groups, each after its parent.
        overseer_options: Options of the overseer.
        hooks: Hooks, in the order of the file.
        control: Options of a control interface, without effect yet.
        notes: Report about each key of the file of another supervisor; empty for a file of ours.
        hidden: Function that takes values of the environment out of a text about a service, given its id and the text.
    """

    name: str
    path: str
    files: tuple[str, ...]
    specs: tuple[Spec, ...]
    groups: tuple[Group, ...] = ()
    overseer_options: OverseerOptions = field(default_factory=OverseerOptions)
    hooks: tuple[EventHook, ...] = ()
    control: ControlOptions = field(default_factory=ControlOptions)
    notes: tuple[Note, ...] = ()
    hidden: Hidden = field(default_factory=Hidden, repr=False, compare=False)

    def __iter__(self) -> Iterator[Spec]:
        """Iterate over the Specs."""
        return iter(self.specs)

    def __len__(self) -> int:
        """Return the number of Specs."""
        return len(self.specs)

    def make_overseer(self, **more: Any) -> Overseer:
        """Return an overseer with the options, groups and hooks of the file, and without services.

        ``await overseer.plan(config).apply()`` adds and starts them.

        Args:
            **more: Further options of ``Overseer``, which override those of the file.
        """
        overseer = aioverseer.Overseer(**self._options(more))
        self._prepare(overseer)
        return overseer

    def make_threaded_overseer(self, **more: Any) -> ThreadedOverseer:
        """Return the same for a program without an event loop.

        Args:
            **more: Further options of ``ThreadedOverseer``, which override those of the file.
        """
        overseer = aioverseer.ThreadedOverseer(**self._options(more))
        self._prepare(overseer)
        return overseer

    def _options(self, more: dict[str, Any]) -> dict[str, Any]:
        return {"name": self.name, **self.overseer_options.keywords(), **more}

    def _prepare(self, overseer: Overseer | ThreadedOverseer) -> None:
        for group in self.groups:
            overseer.group(
                group.name,
                group.strategy,
                restart=group.restart,
                parent=group.parent,
                auto_shutdown=group.auto_shutdown,
                on_give_up=group.on_give_up,
                significant=group.significant,
            )
        for hook in self.hooks:
            overseer.add_hook(hook)
