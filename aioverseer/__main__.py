"""``python -m aioverseer``: the command, for where its script is not on PATH. Nothing else lives here."""

from __future__ import annotations

import sys

from aioverseer.cli import main

if __name__ == "__main__":
    sys.exit(main())
