"""The command ``aioverseer``, built on public names of the library only.

``main`` is the one name for import. To supervise from Python, use ``Overseer``.
"""

from __future__ import annotations

from aioverseer.cli.main import main

__all__ = ["main"]
