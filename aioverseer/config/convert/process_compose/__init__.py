"""Reader of the YAML of process-compose."""

from __future__ import annotations

from aioverseer.config.convert.process_compose.project import read_process_compose

__all__ = ["read_process_compose"]
