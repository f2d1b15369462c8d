"""The command ``aioverseer``: a face of the library, made of its public names only.

Nothing of it is for import but ``main``; whoever wants to supervise from Python uses ``Overseer``.
"""

from __future__ import annotations

from aioverseer.cli.main import main

__all__ = ["main"]
