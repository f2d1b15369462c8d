"""App: the services of a file as the exporters see them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from aioverseer import Spec
from aioverseer.config.convert.conversion import Notes
from aioverseer.config.loaded import Config, ControlOptions

__all__ = ["App", "note_overseer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Services of one file.

    Attributes:
        name: Name of the project.
        path: Absolute path of the file.
        specs: The services.
        awaited: For each service, the conditions that others wait for.
    """

    name: str
    path: str
    specs: tuple[Spec, ...]
    awaited: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, config: Config) -> App:
        """Make the App of a file."""
        specs = config.specs
        awaited: dict[str, set[str]] = {}
        for spec in specs:
            for each in spec.after:
                awaited.setdefault(each.name, set()).add(each.until)
        conditions = {name: frozenset(untils) for name, untils in awaited.items()}
        return cls(name=config.name, path=config.path, specs=specs, awaited=conditions)

    @property
    def folder(self) -> str:
        """Folder of the file."""
        return posixpath.dirname(self.path)

    def find(self, id: str) -> Spec | None:
        """Return the service, or the set of instances, of this name."""
        return next((spec for spec in self.specs if spec.id == id), None)

    def runs_to_its_end(self, spec: Spec) -> bool:
        """Return whether other services wait for the end of this one."""
        return not self.awaited.get(spec.id, frozenset()).isdisjoint({"finished", "success"})

    def absolute(self, folder: str, path: str = "") -> str:
        """Return a path as an absolute one.

        Args:
            folder: Working directory of a service; empty for the folder of the file.
            path: Path that begins at the working directory, which is the default.
        """
        return posixpath.normpath(posixpath.join(self.folder, folder, path))


def note_overseer(config: Config, notes: Notes, reasons: Mapping[str, str]) -> None:
    """Add a note about each part of a file that belongs to the overseer, and not to a service.

    Args:
        config: The file.
        notes: The notes.
        reasons: Advice, by the option of the overseer, or by ``"groups"``, ``"hooks"`` and ``"control"``.
    """
    for name in config.overseer_options.keywords():
        notes.lost("overseer", name, reasons.get(name, "there is no overseer there"))
    for group in config.groups:
        notes.lost(f"groups.{group.name}", "strategy", reasons["groups"])
    for number, _ in enumerate(config.hooks):
        notes.lost(f"hooks[{number}]", "run", reasons["hooks"])
    if config.control != ControlOptions():
        notes.lost("", "control", reasons["control"])
