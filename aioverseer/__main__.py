"""``python -m aioverseer``: the command, where its script is not on PATH."""

from __future__ import annotations

import sys

from aioverseer.cli import main

if __name__ == "__main__":
    sys.exit(main())
