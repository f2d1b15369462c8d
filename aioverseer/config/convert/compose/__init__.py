"""Reader of the YAML of compose, as far as its services are commands."""

from __future__ import annotations

from aioverseer.config.convert.compose.project import read_compose

__all__ = ["read_compose"]
