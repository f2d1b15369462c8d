"""Reader of the JSON of pm2."""

from __future__ import annotations

from aioverseer.config.convert.pm2.ecosystem import read_pm2

__all__ = ["read_pm2"]
