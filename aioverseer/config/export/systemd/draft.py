"""UnitDraft: one service file in the making, which each part of this package adds to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aioverseer import Spec
from aioverseer.config.export.app import App
from aioverseer.config.export.given import Given
from aioverseer.config.export.placeholders import fill
from aioverseer.config.export.systemd.unit_text import Unit

__all__ = ["Kind", "UnitDraft"]

Kind = Literal["exec", "forking", "notify", "oneshot"]
"""Value of ``Type=``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitDraft:
    """A service file in the making.

    Attributes:
        app: All services.
        given: Options of the service, and its notes.
        unit: The file.
        kind: The value of ``Type=``.
        sockets: The units of the sockets that it gets, by the names of ``listen``.
    """

    app: App
    given: Given
    unit: Unit
    kind: Kind
    sockets: Mapping[str, str]

    @property
    def spec(self) -> Spec:
        """The service."""
        return self.given.spec

    @property
    def values(self) -> Mapping[str, str]:
        """The values of placeholders."""
        return self.given.values

    def service(self, name: str, value: Any) -> None:
        """Add a setting to the section of the service."""
        self.unit.set("Service", name, str(value))

    def path(self, path: str = "") -> str:
        """Return the absolute form of a path that begins at the working directory."""
        return self.app.absolute(fill(self.spec.cwd or "", self.values), fill(path, self.values))
